//! A CSV file about every user of a mirror made into a plan, beside COPY of the rows of that plan
//! into a table like the ledger's in the same Postgres. The file is in no order that the mirror
//! knows; nine rows in ten change something.

use std::error::Error;
use std::path::Path;

use futures::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::io::AsyncWriteExt;

use super::line::{Better, Line, Target};
use super::mirror::{Measured, Mirror, measure};
use super::process::Simulator;
use super::server::Server;

/// What planning may take, whatever the size of the file: a plan holds rows of the file and of the
/// mirror side by side, and people run one at their desk.
const PEAK_MIB: Target = Target::Figure(128.0);

/// The simulator draws these keys and may give one to several people, whom a plan could not tell
/// apart.
const KEYS: &str = "
    update user_foreign_keys set key = 'c' || numbered.number
    from (select user_id, row_number() over (order by user_id) as number from users) as numbered
    where system = 'crm' and user_foreign_keys.user_id = numbered.user_id;
    insert into user_foreign_keys (user_id, system, key, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
    select user_id, 'crm', 'k' || row_number() over (order by user_id), _zephr_run_id, now(), now(), now(), '' from users u
    where not exists (select from user_foreign_keys f where f.user_id = u.user_id and f.system = 'crm')";

/// A text, an option, a number and an answer, of which a row changes some or, one row in ten, none.
const FILE: &str = "
    copy (
        select {name} as \"{by}\",
               case when drawn % 10 > 0 then 'Town ' || drawn % 1000 else attributes ->> 'city' end as city,
               case when drawn % 10 > 4 then (array['GB','IE','DE','FR','CH','US','BR'])[1 + drawn % 7] else attributes ->> 'country' end as country,
               (attributes ->> 'loyalty-points')::bigint + case when drawn % 10 > 0 then drawn % 5000 + 1 else 0 end as \"loyalty-points\",
               ((attributes ->> 'newsletter')::boolean <> (drawn % 10 > 6))::text as newsletter
        from (select *, abs(hashtext(user_id)::bigint) as drawn from users) u {join}
        where jsonb_typeof(attributes) = 'object' and attributes ? 'city' and {name} is not null
        order by drawn
    ) to stdout with (format csv, header)";

/// What the yardstick copies.
const COLUMNS: &str = "plan_id, row_number, line, identifier, user_id, action, registered_at, old_values, new_values, state, message";

/// A value a round.
#[derive(Default)]
struct Rounds {
    plans: Vec<Measured>,
    copies: Vec<Measured>,
    rows: i64,
}

pub async fn lines(
    server: &Server,
    users: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &[]).await?;
    let mut mirror = Mirror::new(server, &simulator).await?;
    mirror.full().await?;
    mirror.connection.execute(KEYS).await?;
    mirror.connection.execute("vacuum analyze").await?;
    let directory = tempfile::tempdir()?;
    let mut lines = Vec::new();
    for (what, by, name, join) in [
        ("by e-mail", "email", "email", ""),
        (
            "by foreign key",
            "foreign_key:crm",
            "key",
            "join user_foreign_keys f on f.user_id = u.user_id and f.system = 'crm'",
        ),
    ] {
        let file = directory.path().join("people.csv");
        let query = FILE.replace("{name}", name).replace("{by}", by);
        copy_out(mirror.url(), &query.replace("{join}", join), &file).await?;
        let mut all = Rounds::default();
        for round in 1..=rounds {
            eprintln!("  {what}, round {round}");
            all.plan(&mut mirror, &file).await?;
            let copied = directory.path().join("rows");
            all.copy(&mut mirror, &copied).await?;
        }
        lines.extend(all.lines(&format!("plan {users}: {what}")));
    }
    mirror.drop(server).await?;
    simulator.stop().await?;
    Ok(lines)
}

impl Rounds {
    async fn plan(&mut self, mirror: &mut Mirror<'_>, file: &Path) -> Result<(), Box<dyn Error>> {
        let connection = &mut mirror.connection;
        connection
            .execute("truncate bulk_plans, bulk_rows cascade")
            .await?;
        let file = file.to_str().ok_or("no text")?;
        self.plans
            .push(mirror.run(&["bulk", "plan", file, "--json"]).await?);
        let planned = "select rows_read from bulk_plans";
        self.rows = mirror.connection.fetch_one(planned).await?.get(0);
        Ok(())
    }

    /// The rows that were planned, into a table with the same columns, checks and indexes.
    async fn copy(&mut self, mirror: &mut Mirror<'_>, file: &Path) -> Result<(), Box<dyn Error>> {
        let query = format!("copy (select {COLUMNS} from bulk_rows order by row_number) to stdout");
        copy_out(mirror.url(), &query, file).await?;
        mirror
            .connection
            .execute("drop table if exists copied; create table copied (like bulk_rows including all); checkpoint")
            .await?;
        let copy = measure(&mut mirror.connection, async |connection| {
            let statement = format!("copy copied ({COLUMNS}) from stdin");
            let mut copy = connection.copy_in_raw(&statement).await?;
            copy.read_from(tokio::fs::File::open(file).await?).await?;
            copy.finish().await?;
            Ok(())
        });
        self.copies.push(copy.await?);
        Ok(())
    }

    fn lines(self, name: &str) -> [Line; 2] {
        let rates = self
            .plans
            .iter()
            .map(|plan| self.rows as f64 / plan.seconds);
        let ratios = self.plans.iter().zip(&self.copies);
        let ratios = ratios.map(|(plan, copy)| copy.seconds / plan.seconds);
        let peak = self
            .plans
            .iter()
            .map(|plan| plan.peak_mib)
            .fold(0.0, f64::max);
        let plan = Line::timed(name.to_owned(), "rows/s", Better::More, rates.collect());
        let memory = Line::counted(format!("{name}, peak memory"), "MiB", vec![peak]);
        [
            plan.beside("COPY", ratios.collect()),
            memory.wants(PEAK_MIB),
        ]
    }
}

async fn copy_out(url: &str, query: &str, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut connection = PgConnection::connect(url).await?;
    connection
        .execute("set search_path = zephr, zephr_sync")
        .await?;
    let mut file = tokio::io::BufWriter::new(tokio::fs::File::create(to).await?);
    let mut rows = connection.copy_out_raw(query).await?;
    while let Some(bytes) = rows.try_next().await? {
        file.write_all(&bytes).await?;
    }
    drop(rows);
    file.flush().await?;
    Ok(connection.close().await?)
}
