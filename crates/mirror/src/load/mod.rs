//! The data tables: the only room that writes them.
//!
//! [`compare`] asks the mirror whether anything is new: by hashes, before any document is sent.
//! [`merge`] writes what is, with its foreign keys, inside the caller's transaction; [`rows`] does
//! both for every table that is described and not programmed, [`define`] makes those that only a
//! job file knows, and [`events`] appends; what Postgres refuses is found with [`pieces`].
//! [`freshness`] tells how late something was heard of,
//! [`unfit`] which columns are not to be relied on, [`unsaid`] of whose grants nothing was said, and [`sample`] draws some of what is there, to
//! be compared with the API. [`redact`] rewrites what is stored for new privacy settings,
//! [`erase`] removes a person, and [`mentions`] finds the rows of others that still name them.

pub mod compare;
pub mod define;
pub mod erase;
pub mod events;
pub mod freshness;
pub mod mentions;
pub mod merge;
pub mod people;
pub mod pieces;
pub mod redact;
pub mod rows;
pub mod sample;
pub mod unfit;
pub mod unsaid;

/// The schema for analysts, quoted: new tables are made in it, whatever else is on the search path.
async fn data_schema(connection: &mut sqlx::PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select relnamespace::regnamespace::text as "name!" from pg_class where oid = 'users'::regclass"#
    )
    .fetch_one(connection)
    .await
}
