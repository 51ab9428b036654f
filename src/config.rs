//! Settings: flag over environment over `zephr-sync.toml` over default, checked once. Nothing further in sees the environment.

mod place;
mod tenants;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::bulk;
use crate::job;
use crate::notify;
use crate::sync::Brakes;
use crate::web;
use mirror::postgres::connect::{Database, SchemaError, Schemas, UrlError};
use place::{Named, Place};
use privacy::{self, Choices, HashKey};
use telemetry::LogFormat;
use toml_file;
use zephr::{BaseUrl, BaseUrlError, KeyPair, Limits};

/// The settings file, in the current directory unless a flag says otherwise.
pub const FILE: &str = "zephr-sync.toml";

/// The page size the API has by default (contract section 5.1).
const DEFAULT_RPP: u64 = 500;

/// Design section 3.9.
const DEFAULT_IN_FLIGHT: usize = 8;

/// Zephr's edge asks for seconds or minutes; a run that waits for longer holds up those after it, and its lease.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// What everybody should see, and nothing that scrolls it away.
const DEFAULT_LOG: &str = "info";

/// Design section 3.3.
const DEFAULT_DELETE_FRACTION: f64 = 0.02;

/// A tenant that doubles between two scans is possible after an import; one that grows further is more often an export without an end.
const DEFAULT_GROWTH_FRACTION: f64 = 1.0;

/// Scans go on within a day of their beginning and slots are made up for within days: nothing that is younger than this may be removed.
const LEAST_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// More records than a person looks through: then something is wrong with all of them.
const DEFAULT_MAX_REJECTS: u64 = 10_000;

const KEYS: [&str; 34] = [
    "tenant",
    "base_url",
    "access_key",
    "secret_key",
    "secret_key_file",
    "database_url",
    "database_url_file",
    "schema",
    "data_dir",
    "jobs_dir",
    "inbox",
    "log",
    "log_format",
    "rpp",
    "max_in_flight",
    "max_requests_per_second",
    "max_retry_after",
    "ignore_fields",
    "max_delete_fraction",
    "max_growth_fraction",
    "max_rejects",
    "bookkeeping_retention",
    "hash_key",
    "hash_key_file",
    "privacy",
    "bulk",
    "notify",
    "hooks",
    "tenants",
    "listen",
    "token",
    "token_file",
    "allowed_hosts",
    "max_upload_bytes",
];

/// Settings as flags give them. Secrets have no flag: process arguments are visible to everybody on the machine.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Settings file [default: zephr-sync.toml in the current directory]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// One of the tenants of the settings file, by the name of its table
    #[arg(long, value_name = "NAME", global = true)]
    pub tenant: Option<String>,
    /// Address of the API, instead of a tenant [env: ZEPHR_BASE_URL]
    #[arg(long, value_name = "URL", global = true)]
    pub base_url: Option<String>,
    /// Schema for analysts; bookkeeping is in the schema of this name with _sync [env: ZEPHR_SYNC_SCHEMA] [default: zephr]
    #[arg(long, value_name = "NAME", global = true)]
    pub schema: Option<String>,
    /// Directory of the private Postgres [env: ZEPHR_SYNC_DATA_DIR] [default: .zephr-sync beside the settings file]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Directory of job files; must be there when it is named [env: ZEPHR_SYNC_JOBS_DIR] [default: jobs beside the settings file]
    #[arg(long, value_name = "DIR", global = true)]
    pub jobs_dir: Option<PathBuf>,
    /// Log filter, for example info or zephr_sync=debug [env: ZEPHR_SYNC_LOG] [default: info]
    #[arg(long, value_name = "FILTER", global = true)]
    pub log: Option<String>,
    /// Form of log lines [env: ZEPHR_SYNC_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
    /// Records per page [env: ZEPHR_SYNC_RPP] [default: 500]
    #[arg(long, value_name = "N", global = true)]
    pub rpp: Option<u64>,
    /// Requests in flight at most [env: ZEPHR_SYNC_MAX_IN_FLIGHT] [default: 8]
    #[arg(long, value_name = "N", global = true)]
    pub max_in_flight: Option<usize>,
    /// Requests per second at most [env: ZEPHR_SYNC_MAX_REQUESTS_PER_SECOND] [default: no cap]
    #[arg(long, value_name = "N", global = true)]
    pub max_requests_per_second: Option<f64>,
    /// Share of the living rows that may be missing from a full scan before nobody is marked as deleted [env: ZEPHR_SYNC_MAX_DELETE_FRACTION] [default: 0.02]
    #[arg(long, value_name = "SHARE", global = true)]
    pub max_delete_fraction: Option<f64>,
    /// Share of the known rows by which a tenant may grow between two scans before a scan is stopped [env: ZEPHR_SYNC_MAX_GROWTH_FRACTION] [default: 1]
    #[arg(long, value_name = "SHARE", global = true)]
    pub max_growth_fraction: Option<f64>,
    /// Records that may be unstorable before a run is stopped [env: ZEPHR_SYNC_MAX_REJECTS] [default: 10000]
    #[arg(long, value_name = "N", global = true)]
    pub max_rejects: Option<u64>,
}

/// Settings as the file gives them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tenant: Option<String>,
    base_url: Option<String>,
    access_key: Option<SecretString>,
    secret_key: Option<SecretString>,
    secret_key_file: Option<PathBuf>,
    database_url: Option<SecretString>,
    database_url_file: Option<PathBuf>,
    schema: Option<String>,
    data_dir: Option<PathBuf>,
    jobs_dir: Option<PathBuf>,
    inbox: Option<PathBuf>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    rpp: Option<u64>,
    max_in_flight: Option<usize>,
    max_requests_per_second: Option<f64>,
    max_retry_after: Option<String>,
    ignore_fields: Option<Vec<String>>,
    max_delete_fraction: Option<f64>,
    max_growth_fraction: Option<f64>,
    max_rejects: Option<u64>,
    bookkeeping_retention: Option<String>,
    hash_key: Option<SecretString>,
    hash_key_file: Option<PathBuf>,
    #[serde(default)]
    privacy: toml::Table,
    #[serde(default)]
    bulk: bulk::settings::Given,
    #[serde(default)]
    notify: Vec<notify::Settings>,
    #[serde(default)]
    hooks: notify::HookSettings,
    listen: Option<String>,
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
    allowed_hosts: Option<Vec<String>>,
    max_upload_bytes: Option<u64>,
    /// Read again by [`tenants`], each over what stands above it; here for complaints to say where.
    #[serde(default)]
    tenants: BTreeMap<String, File>,
}

impl File {
    /// With its paths as they are from here: in the file they go by its own place.
    fn placed(mut self, place: &Place) -> Self {
        let paths = [
            &mut self.secret_key_file,
            &mut self.database_url_file,
            &mut self.hash_key_file,
            &mut self.token_file,
            &mut self.data_dir,
            &mut self.jobs_dir,
            &mut self.inbox,
        ];
        let told = self.notify.iter_mut().flat_map(notify::Settings::files);
        for path in paths.into_iter().chain(told).flatten() {
            *path = place.beside(&*path);
        }
        self
    }
}

/// The settings of each tenant that the settings file names; of the one and only where it names none.
#[derive(Debug)]
pub struct Loaded {
    first: Settings,
    others: Vec<Settings>,
}

impl Loaded {
    /// For what no tenant matters to: logs, directories.
    pub fn any(&self) -> &Settings {
        &self.first
    }

    /// For what is done to one tenant.
    ///
    /// # Errors
    /// There are several, and none was named.
    pub fn one(&self) -> Result<&Settings, Error> {
        match self.others.as_slice() {
            [] => Ok(&self.first),
            [_, ..] => Err(Error::WhichTenant(
                self.all()
                    .map(|one| one.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            )),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Settings> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Settings that are right as far as they can be checked without a network.
#[derive(Debug)]
pub struct Settings {
    /// What the tenant is called here: the name of its table in the settings file, or of its schema where there is one tenant.
    pub name: String,
    /// Where the API is; none when neither tenant nor address was given.
    pub base: Option<BaseUrl>,
    /// The key pair; none when it was not given.
    pub keys: Option<KeyPair>,
    /// Where the mirror is.
    pub mirror: Mirror,
    /// Directory of private clusters.
    pub data_dir: PathBuf,
    /// The tenant's pair of schemas.
    pub schemas: Schemas,
    /// Directory of job files.
    pub jobs_dir: PathBuf,
    /// Where people drop CSV files.
    pub inbox: bulk::inbox::Where,
    /// The setting that names the inbox, if one does.
    named_inbox: Option<Named>,
    /// Log filter.
    pub log: String,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Records per page.
    pub rpp: u64,
    /// Ceilings of the governor.
    pub limits: Limits,
    /// Fields of a record that do not count as a change, by their path.
    pub ignored: Vec<String>,
    /// What stops a run gone wrong.
    pub brakes: Brakes,
    /// How long bookkeeping is kept; none means for ever.
    pub bookkeeping_retention: Option<Duration>,
    /// What is hashed or dropped.
    pub privacy: Choices,
    /// The key of the hashes; none when zephr-sync is to make one.
    pub hash_key: Option<HashKey>,
    /// How bulk updates are sent.
    pub bulk: bulk::settings::Settings,
    /// Who is told how runs went.
    pub receivers: Vec<notify::Receiver>,
    /// The command after a successful run.
    pub hook: Option<notify::Hook>,
    /// Where the daemon's page is and who may see it.
    pub web: web::Settings,
}

/// Where the mirror is.
#[derive(Debug)]
pub enum Mirror {
    /// In the database that `DATABASE_URL` names.
    Given(Box<Database>),
    /// In the private cluster.
    Private,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] toml_file::Error),
    /// A file that holds a secret.
    #[error("{name} names {}, which cannot be read", .path.display())]
    SecretFile {
        /// The setting.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A variable or flag whose value does not fit.
    #[error("{name}: {message}")]
    Value {
        /// The variable.
        name: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A directory that is named and is not there.
    #[error("{key} names {}, {what}; make the directory, or correct the setting", .path.display())]
    NoDirectory {
        /// The setting, where it stands.
        key: String,
        /// The directory.
        path: PathBuf,
        /// What is there instead.
        what: &'static str,
    },
    /// The API's address.
    #[error("ZEPHR_BASE_URL or ZEPHR_TENANT: {0}")]
    Base(#[from] BaseUrlError),
    /// What is wrong in a tenant's table.
    #[error("tenants.{0}: {1}")]
    Tenant(String, String),
    /// What belongs to one tenant stands above several.
    #[error(
        "{0} would be for all tenants; write it into the table of the tenant it belongs to, [tenants.NAME]"
    )]
    OneForAll(String),
    /// Several tenants, and a command for one.
    #[error("the settings file keeps several tenants; say which with --tenant: {0}")]
    WhichTenant(String),
    /// A name that no tenant has.
    #[error("the settings file has no tenant `{0}`{known}", known = if .1.is_empty() { "; it has no [tenants.NAME] at all".to_owned() } else { format!(": {}", .1) })]
    NoSuchTenant(String, String),
    /// Two tenants with one inbox.
    #[error(
        "tenants.{0} and tenants.{1} have the same inbox, so nobody could tell whose a file is; give one of them another `inbox`"
    )]
    SharedInbox(String, String),
    /// Two tenants in one schema.
    #[error(
        "tenants.{0} and tenants.{1} have the same schema, so each would overwrite the other's users; give one of them another `schema`"
    )]
    SharedSchema(String, String),
    /// Both ways of saying where the API is.
    #[error("both a tenant and a base URL are set; keep one of ZEPHR_TENANT and ZEPHR_BASE_URL")]
    TwoBases,
    /// What is hashed or dropped.
    #[error(transparent)]
    Privacy(#[from] privacy::Error),
    /// How bulk updates are sent.
    #[error("bulk.{0}: {1}")]
    Bulk(&'static str, String),
    /// Who is told how runs went.
    #[error(transparent)]
    Notify(#[from] notify::Error),
    /// Where the daemon's page is and who may see it.
    #[error(transparent)]
    Web(#[from] web::settings::Error),
    /// The schema's name.
    #[error("schema: {0}")]
    Schema(#[from] SchemaError),
    /// The database's address.
    #[error(transparent)]
    Database(#[from] UrlError),
    /// The API is needed and its address was not given.
    #[error(
        "no tenant is set. Set ZEPHR_TENANT (`news` means https://news.api.zephr.com) or ZEPHR_BASE_URL, or try `zephr-sync demo`, which needs nothing"
    )]
    NoBase,
    /// The API is needed and the key pair was not given.
    #[error(
        "no key pair is set. Set ZEPHR_ACCESS_KEY and ZEPHR_SECRET_KEY (or ZEPHR_SECRET_KEY_FILE)"
    )]
    NoKeys,
}

/// The environment, as far as it holds our settings. An empty variable counts as unset: compose files pass on what is not there.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that holds several values, with commas between them.
fn listed(name: &str) -> Option<Vec<String>> {
    let list = variable(name)?;
    Some(list.split(',').map(|one| one.trim().to_owned()).collect())
}

/// What the environment says about a setting of `[bulk]`.
fn bulk_variable(name: &'static str) -> Option<String> {
    let name = format!("ZEPHR_SYNC_BULK_{}", name.to_uppercase());
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<T: std::str::FromStr>(name: &'static str) -> Result<Option<T>, Error> {
    match variable(name) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Error::Value {
            name,
            message: format!("`{text}` is not a number that fits"),
        }),
    }
}

/// A secret from the variable, the file that another variable names, or the same two in the settings file.
fn secret(
    (name, file_name): (&'static str, &'static str),
    in_file: Option<SecretString>,
    path_in_file: Option<PathBuf>,
) -> Result<Option<SecretString>, Error> {
    if let Some(value) = variable(name) {
        return Ok(Some(value.into()));
    }
    let path = match (variable(file_name), in_file) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(value)) => return Ok(Some(value)),
        (None, None) => match path_in_file {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let text = std::fs::read_to_string(&path).map_err(|source| Error::SecretFile {
        name: file_name,
        path,
        source,
    })?;
    Ok(Some(text.trim().to_owned().into()))
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load(flags: Flags) -> Result<Loaded, Error> {
        let path = flags.config.clone().unwrap_or_else(|| PathBuf::from(FILE));
        let file: Option<File> = toml_file::read(&path, &KEYS)?;
        if file.is_none() && flags.config.is_some() {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(toml_file::Error::Unreadable { path, source }.into());
        }
        let place = Place::of(&path, file.is_some());
        let file = file.unwrap_or_default();
        let tenants = match file.tenants.is_empty() {
            true => Vec::new(),
            false => tenants::each(&path)?,
        };
        let names = tenants.iter().map(|(name, _)| name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        if tenants.is_empty() {
            if let Some(name) = flags.tenant {
                return Err(Error::NoSuchTenant(name, names));
            }
            return Ok(Loaded {
                first: Self::resolve(flags, file, &place, None)?,
                others: Vec::new(),
            });
        }
        if flags.base_url.is_some() || flags.schema.is_some() {
            return Err(Error::OneForAll("--base-url or --schema".into()));
        }
        let mut all = Vec::new();
        for (name, file) in tenants {
            let one = Self::resolve(flags.clone(), file, &place, Some(name))?;
            if let Some(other) = all
                .iter()
                .find(|other: &&Self| other.schemas.data() == one.schemas.data())
            {
                return Err(Error::SharedSchema(other.name.clone(), one.name));
            }
            if let Some(other) = all.iter().find(|other: &&Self| other.inbox == one.inbox) {
                return Err(Error::SharedInbox(other.name.clone(), one.name));
            }
            all.push(one);
        }
        if let Some(name) = flags.tenant {
            all.retain(|one| one.name == name);
            if all.is_empty() {
                return Err(Error::NoSuchTenant(name, names));
            }
        }
        let mut all = all.into_iter();
        match all.next() {
            Some(first) => Ok(Loaded {
                first,
                others: all.collect(),
            }),
            None => Err(Error::NoBase),
        }
    }

    fn resolve(
        flags: Flags,
        file: File,
        place: &Place,
        name: Option<String>,
    ) -> Result<Self, Error> {
        let file = file.placed(place);
        let base = base(flags.base_url, file.tenant, file.base_url)?;
        let access = variable("ZEPHR_ACCESS_KEY")
            .map(SecretString::from)
            .or(file.access_key);
        let secret_key = secret(
            ("ZEPHR_SECRET_KEY", "ZEPHR_SECRET_KEY_FILE"),
            file.secret_key,
            file.secret_key_file,
        )?;
        let url = secret(
            ("DATABASE_URL", "DATABASE_URL_FILE"),
            file.database_url,
            file.database_url_file,
        )?;
        let hash_key = secret(
            ("ZEPHR_SYNC_HASH_KEY", "ZEPHR_SYNC_HASH_KEY_FILE"),
            file.hash_key,
            file.hash_key_file,
        )?;
        let hash_key = hash_key.as_ref().map(HashKey::given).transpose();
        let hash_key = hash_key.map_err(|short| Error::Value {
            name: "ZEPHR_SYNC_HASH_KEY",
            message: short.to_string(),
        })?;
        let schema = flags
            .schema
            .or_else(|| variable("ZEPHR_SYNC_SCHEMA"))
            .or(file.schema);
        let schemas = Schemas::named(schema.as_deref().unwrap_or("zephr"))?;
        let data_dir = flags
            .data_dir
            .or_else(|| variable("ZEPHR_SYNC_DATA_DIR").map(PathBuf::from))
            .or(file.data_dir)
            .unwrap_or_else(|| place.beside(".zephr-sync"));
        let mirror = match url {
            Some(url) => Mirror::Given(Box::new(Database::from_url(&url, schemas.clone())?)),
            None => Mirror::Private,
        };
        let log_format = match variable("ZEPHR_SYNC_LOG_FORMAT") {
            None => None,
            Some(text) => {
                Some(
                    clap::ValueEnum::from_str(&text, true).map_err(|_| Error::Value {
                        name: "ZEPHR_SYNC_LOG_FORMAT",
                        message: format!("`{text}` is neither text nor json"),
                    })?,
                )
            }
        };
        let rpp = flags
            .rpp
            .or(number("ZEPHR_SYNC_RPP")?)
            .or(file.rpp)
            .unwrap_or(DEFAULT_RPP);
        let in_flight = flags
            .max_in_flight
            .or(number("ZEPHR_SYNC_MAX_IN_FLIGHT")?)
            .or(file.max_in_flight)
            .unwrap_or(DEFAULT_IN_FLIGHT);
        let rate = flags
            .max_requests_per_second
            .or(number("ZEPHR_SYNC_MAX_REQUESTS_PER_SECOND")?)
            .or(file.max_requests_per_second);
        let max_delete_fraction = flags
            .max_delete_fraction
            .or(number("ZEPHR_SYNC_MAX_DELETE_FRACTION")?)
            .or(file.max_delete_fraction)
            .unwrap_or(DEFAULT_DELETE_FRACTION);
        let max_growth_fraction = flags
            .max_growth_fraction
            .or(number("ZEPHR_SYNC_MAX_GROWTH_FRACTION")?)
            .or(file.max_growth_fraction)
            .unwrap_or(DEFAULT_GROWTH_FRACTION);
        let max_rejects = flags
            .max_rejects
            .or(number("ZEPHR_SYNC_MAX_REJECTS")?)
            .or(file.max_rejects)
            .unwrap_or(DEFAULT_MAX_REJECTS);
        let unfit = |name, message: &str| Error::Value {
            name,
            message: message.into(),
        };
        if rpp == 0 {
            return Err(unfit("ZEPHR_SYNC_RPP", "must be at least 1"));
        }
        if in_flight == 0 {
            return Err(unfit("ZEPHR_SYNC_MAX_IN_FLIGHT", "must be at least 1"));
        }
        if rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err(unfit(
                "ZEPHR_SYNC_MAX_REQUESTS_PER_SECOND",
                "must be above 0",
            ));
        }
        if !(0.0..=1.0).contains(&max_delete_fraction) {
            return Err(unfit(
                "ZEPHR_SYNC_MAX_DELETE_FRACTION",
                "must be a share, from 0 to 1",
            ));
        }
        if !max_growth_fraction.is_finite() || max_growth_fraction < 0.0 {
            return Err(unfit(
                "ZEPHR_SYNC_MAX_GROWTH_FRACTION",
                "must be a share, 0 or more: 1 means that a tenant may double",
            ));
        }
        let mut ignored = listed("ZEPHR_SYNC_IGNORE_FIELDS")
            .or(file.ignore_fields)
            .unwrap_or_default();
        // Differs with the position on the page (contract section 5.1).
        ignored.push("seq-no".into());
        let in_file = |key: &str| match &name {
            None => format!("`{key}` in {}", place.file().display()),
            Some(name) => format!("`{key}` for tenants.{name} in {}", place.file().display()),
        };
        let jobs_dir = Named::first([
            ("--jobs-dir".into(), flags.jobs_dir),
            (
                "ZEPHR_SYNC_JOBS_DIR".into(),
                variable("ZEPHR_SYNC_JOBS_DIR").map(PathBuf::from),
            ),
            (in_file("jobs_dir"), file.jobs_dir),
        ]);
        let jobs_dir = match jobs_dir {
            Some(named) => named.there()?,
            None => place.beside("jobs"),
        };
        let named_inbox = Named::first([
            (
                "ZEPHR_SYNC_INBOX".into(),
                variable("ZEPHR_SYNC_INBOX").map(PathBuf::from),
            ),
            (in_file("inbox"), file.inbox),
        ]);
        let inbox = match (&named_inbox, name.as_deref()) {
            (Some(named), _) => bulk::inbox::Where::Given(named.path().to_owned()),
            (None, None) => bulk::inbox::Where::IfThere(place.beside("inbox")),
            (None, Some(name)) => bulk::inbox::Where::IfThere(place.beside("inbox").join(name)),
        };
        let tables = job::list_tables(&jobs_dir);
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        let privacy = Choices::parse(&file.privacy, &tables)?;
        let bulk = bulk::settings::Settings::resolve(file.bulk, bulk_variable)
            .map_err(|(name, message)| Error::Bulk(name, message))?;
        let web = web::Settings::resolve(web::settings::Given {
            listen: variable("ZEPHR_SYNC_LISTEN").or(file.listen),
            token: secret(
                ("ZEPHR_SYNC_TOKEN", "ZEPHR_SYNC_TOKEN_FILE"),
                file.token,
                file.token_file,
            )?,
            allowed_hosts: listed("ZEPHR_SYNC_ALLOWED_HOSTS").or(file.allowed_hosts),
            max_upload_bytes: number("ZEPHR_SYNC_MAX_UPLOAD_BYTES")?.or(file.max_upload_bytes),
        })?;
        let secret = file.notify.iter().flat_map(notify::Settings::variables);
        let secret = secret.map(ToOwned::to_owned).collect();
        let hook = file.hooks.hook(secret)?;
        let receivers = file.notify.into_iter();
        let receivers = receivers.map(|entry| entry.receiver(&variable));
        let receivers = receivers.collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.unwrap_or_else(|| schemas.data().to_owned()),
            base,
            keys: access
                .zip(secret_key)
                .map(|(access, secret)| KeyPair::new(access, secret)),
            mirror,
            data_dir,
            schemas,
            jobs_dir,
            inbox,
            named_inbox,
            log: flags
                .log
                .or_else(|| variable("ZEPHR_SYNC_LOG"))
                .or(file.log)
                .unwrap_or_else(|| DEFAULT_LOG.into()),
            log_format: flags
                .log_format
                .or(log_format)
                .or(file.log_format)
                .unwrap_or_default(),
            rpp,
            limits: Limits {
                max_in_flight: in_flight,
                max_per_second: rate,
                max_retry_after: max_retry_after(file.max_retry_after)?,
            },
            ignored,
            brakes: Brakes {
                max_delete_fraction,
                max_growth_fraction,
                max_rejects,
            },
            bookkeeping_retention: bookkeeping_retention(file.bookkeeping_retention)?,
            bulk,
            privacy,
            hash_key,
            receivers,
            hook,
            web,
        })
    }

    /// Makes sure that an inbox that is named is there, for who takes files from it.
    ///
    /// # Errors
    /// [`Error::NoDirectory`].
    pub fn inbox_is_there(&self) -> Result<(), Error> {
        match &self.named_inbox {
            Some(named) => named.clone().there().map(|_| ()),
            None => Ok(()),
        }
    }

    /// Where the API is and the keys to it, for commands that need both.
    ///
    /// # Errors
    /// [`Error::NoBase`] or [`Error::NoKeys`].
    pub fn api(&self) -> Result<(BaseUrl, KeyPair), Error> {
        let base = self.base.clone().ok_or(Error::NoBase)?;
        let keys = self.keys.clone().ok_or(Error::NoKeys)?;
        Ok((base, keys))
    }
}

/// How long to wait when Zephr asks for it.
fn max_retry_after(in_file: Option<String>) -> Result<Duration, Error> {
    let name = "ZEPHR_SYNC_MAX_RETRY_AFTER";
    let text = variable(name).or(in_file);
    schedule::duration("max_retry_after", text.as_deref())
        .map(|longest| longest.unwrap_or(DEFAULT_RETRY_AFTER))
        .map_err(|message| Error::Value { name, message })
}

/// How long bookkeeping is kept.
fn bookkeeping_retention(in_file: Option<String>) -> Result<Option<Duration>, Error> {
    let name = "ZEPHR_SYNC_BOOKKEEPING_RETENTION";
    let unfit = |message| Error::Value { name, message };
    let text = variable(name).or(in_file);
    let kept = schedule::duration("bookkeeping_retention", text.as_deref()).map_err(unfit)?;
    match kept {
        Some(kept) if kept < LEAST_RETENTION => Err(unfit(format!(
            "`{}` is too short: people look for what went wrong last week; write at least \"7d\"",
            text.unwrap_or_default()
        ))),
        kept => Ok(kept),
    }
}

/// Flag over environment over file; a tenant and an address from the same source contradict each other.
fn base(
    flag: Option<String>,
    tenant_in_file: Option<String>,
    url_in_file: Option<String>,
) -> Result<Option<BaseUrl>, Error> {
    let sources = [
        (None, flag),
        (variable("ZEPHR_TENANT"), variable("ZEPHR_BASE_URL")),
        (tenant_in_file, url_in_file),
    ];
    for source in sources {
        match source {
            (None, None) => {}
            (Some(tenant), None) => return Ok(Some(BaseUrl::of_tenant(&tenant)?)),
            (None, Some(url)) => return Ok(Some(BaseUrl::parse(&url)?)),
            (Some(_), Some(_)) => return Err(Error::TwoBases),
        }
    }
    Ok(None)
}
