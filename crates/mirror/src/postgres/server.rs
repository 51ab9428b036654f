//! Whether a server and its database can hold a mirror at all, asked before anything is written.

use sqlx::PgConnection;

/// The oldest server that has what we use, as Postgres counts versions.
const OLDEST: i32 = 140_000;

/// The encoding in which every name and address can be written.
const ENCODING: &str = "UTF8";

/// Why no mirror can be here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// Its version.
    #[error("Postgres {0} is too old; zephr-sync needs Postgres 14 or newer")]
    TooOld(String),
    /// It follows another one.
    #[error(
        "this Postgres is a hot standby, in which nobody can write; let DATABASE_URL name the primary (several hosts in one address are not tried in turn)"
    )]
    Standby,
    /// Somebody prescribed that nothing is written.
    #[error(
        "default_transaction_read_only is on for this role, this database or the whole server, so nothing can be written; `\\drds` in psql shows where it is set, `alter role … reset default_transaction_read_only` takes it back"
    )]
    ReadOnly,
    /// Names would be lost.
    #[error(
        "the encoding of this database is {0}, in which not every name can be written; zephr-sync needs UTF8: create database … encoding 'UTF8' template template0"
    )]
    Encoding(String),
}

/// What a server says of itself.
#[derive(Debug, sqlx::FromRow)]
struct Server {
    number: i32,
    version: String,
    encoding: String,
    follows: bool,
    reads_only: bool,
}

/// Makes sure that a mirror can be here, and says which version of Postgres it is.
///
/// # Errors
/// The reason why not; as sqlx.
pub async fn require(connection: &mut PgConnection) -> Result<String, RequireError> {
    let server: Server = sqlx::query_as(
        "select current_setting('server_version_num')::int4 as number, current_setting('server_version') as version,
                current_setting('server_encoding') as encoding, pg_is_in_recovery() as follows,
                current_setting('transaction_read_only') = 'on' as reads_only",
    )
    .fetch_one(connection)
    .await?;
    Ok(server.fit()?)
}

/// Why it is not known that a mirror can be here.
#[derive(Debug, thiserror::Error)]
pub enum RequireError {
    /// It cannot.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Postgres itself.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Server {
    /// Its version, if it is fit.
    fn fit(self) -> Result<String, Unfit> {
        if self.number < OLDEST {
            Err(Unfit::TooOld(self.version))
        } else if self.encoding != ENCODING {
            Err(Unfit::Encoding(self.encoding))
        } else if self.follows {
            Err(Unfit::Standby)
        } else if self.reads_only {
            Err(Unfit::ReadOnly)
        } else {
            Ok(self.version)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            number: 150_000,
            version: "15.0".into(),
            encoding: "UTF8".into(),
            follows: false,
            reads_only: false,
        }
    }

    #[test]
    fn what_cannot_hold_a_mirror_is_named() {
        assert_eq!(server().fit(), Ok("15.0".into()));
        let old = Server {
            number: 130_009,
            version: "13.9".into(),
            ..server()
        };
        assert_eq!(old.fit(), Err(Unfit::TooOld("13.9".into())));
        // A standby is always read-only: what it is comes first.
        let standby = Server {
            follows: true,
            reads_only: true,
            ..server()
        };
        assert_eq!(standby.fit(), Err(Unfit::Standby));
    }
}
