//! The mirror's database for a command: the one that was given, or the private cluster while the
//! command runs.

use std::path::Path;

use sqlx::{Connection, PgConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use crate::config::{Mirror, Settings};
use crate::identity;
use crate::sync;
use ::privacy::Policy;
use mirror::postgres::connect::{Database, Schemas};
use mirror::postgres::migrate;
use mirror::state::privacy::{self, Access};
use private_postgres::PrivateCluster;
use zephr::{BaseUrl, Reader};

use super::exit::Failure;
use super::output::Output;

/// A database that is there as long as this is.
#[derive(Debug)]
pub struct Opened {
    /// The database.
    pub database: Database,
    session: Mutex<Option<PgConnection>>,
    cluster: Option<PrivateCluster>,
    /// The tenant that it is opened for, where the settings name one.
    base: Option<BaseUrl>,
}

/// Opens the mirror; starts the private cluster where no database was given.
///
/// # Errors
/// The cluster does not start.
pub async fn open(settings: &Settings) -> Result<Opened, Failure> {
    let opened = match &settings.mirror {
        Mirror::Given(database) => Opened::new(Database::clone(database), None),
        Mirror::Private => open_private(&settings.data_dir, &settings.schemas).await?,
    };
    Ok(Opened {
        base: settings.base.clone(),
        ..opened
    })
}

/// Opens the private cluster under a directory.
///
/// # Errors
/// The cluster does not start.
pub async fn open_private(data_dir: &Path, schemas: &Schemas) -> Result<Opened, Failure> {
    let cluster = PrivateCluster::start(data_dir).await?;
    let database = Database::new(cluster.connect_options(), schemas.clone());
    Ok(Opened::new(database, Some(cluster)))
}

impl Opened {
    fn new(database: Database, cluster: Option<PrivateCluster>) -> Self {
        Self {
            session: Mutex::default(),
            database,
            cluster,
            base: None,
        }
    }

    /// The session of the command's own questions. There is one, which they share: to open another
    /// takes as long as all of them. Whoever has it waits for nobody else who may want it.
    pub async fn session(&self) -> Result<MappedMutexGuard<'_, PgConnection>, sqlx::Error> {
        let mut held = self.session.lock().await;
        // What a long command found gone in between is opened anew.
        let usable = match held.take() {
            Some(mut session) => session.ping().await.is_ok().then_some(session),
            None => None,
        };
        let session = match usable {
            Some(session) => session,
            None => self.database.connect().await?,
        };
        Ok(MutexGuard::map(held, |held| held.insert(session)))
    }

    /// Brings the schema up to date, unless the mirror is another tenant's. Every command that
    /// works with it begins here.
    ///
    /// # Errors
    /// As the migration, or the mirror is another tenant's.
    pub async fn migrate(&self, output: Output) -> Result<migrate::Migrated, Failure> {
        self.refuse_others().await?;
        let migrated = self.migrate_any(output).await?;
        if let Some(base) = &self.base {
            identity::claim(&mut *self.session().await?, base).await?;
        }
        Ok(migrated)
    }

    /// Makes sure that there is a schema to read from. Every command that changes nothing begins
    /// here: it changes no table or view for which somebody may have to wait, unless it could read
    /// nothing otherwise.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    pub async fn ready(&self, output: Output) -> Result<(), Failure> {
        self.refuse_others().await?;
        if !migrate::is_current(&mut *self.session().await?).await? {
            self.migrate(output).await?;
        }
        Ok(())
    }

    /// Refuses what the address alone tells to be another tenant.
    ///
    /// # Errors
    /// It is another one, or Postgres.
    pub async fn refuse_others(&self) -> Result<(), Failure> {
        match &self.base {
            Some(base) => {
                let checked = identity::check_address(&mut *self.session().await?, base).await;
                Ok(checked.map_err(sync::Error::from)?)
            }
            None => Ok(()),
        }
    }

    /// Makes sure that this reader reads the tenant that the mirror holds, for what does not do so
    /// by itself.
    ///
    /// # Errors
    /// It does not, or it could not be found out.
    pub async fn is_of(&self, reader: &Reader) -> Result<(), Failure> {
        let mut session = self.session().await?;
        let checked = identity::check(&mut session, reader, identity::Access::Write).await;
        Ok(checked.map_err(sync::Error::from)?)
    }

    /// Brings the schema up to date, whoever's the mirror is, and says what somebody else has to
    /// do.
    ///
    /// # Errors
    /// As the migration.
    pub async fn migrate_any(&self, output: Output) -> Result<migrate::Migrated, Failure> {
        let mut session = self.session().await?;
        let migrated = migrate::run(&mut session, self.database.schemas()).await?;
        if let Some(sql) = &migrated.role_sql {
            output.note(&format!(
                "The role {} could not be set up with the rights at hand. For analysts to read, somebody with more rights runs:\n{sql}",
                self.database.schemas().reader()
            ));
        }
        Ok(migrated)
    }

    /// The privacy settings with the key of this mirror's hashes.
    ///
    /// # Errors
    /// The key is not the one that was used before.
    pub async fn policy(&self, settings: &Settings, access: Access) -> Result<Policy, Failure> {
        let mut connection = self.session().await?;
        let (choices, given) = (&settings.privacy, settings.hash_key.as_ref());
        Ok(privacy::policy(&mut connection, choices, given, access).await?)
    }

    /// How to reach it with psql, when it is the private one.
    pub fn psql(&self) -> Option<String> {
        self.cluster
            .as_ref()
            .map(|cluster| format!("psql '{}'", cluster.url()))
    }

    /// Leaves it; the private cluster stops when nobody else uses it.
    ///
    /// # Errors
    /// The cluster does not stop.
    pub async fn close(self) -> Result<(), Failure> {
        if let Some(session) = self.session.into_inner() {
            // It is of no use any more, whatever becomes of it.
            let _ = session.close().await;
        }
        match self.cluster {
            Some(cluster) => Ok(cluster.stop().await?),
            None => Ok(()),
        }
    }
}
