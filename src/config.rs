//! Settings: flag over environment over `zephr-sync.toml` over default, checked once. Nothing
//! further in sees the environment.

mod keys;
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
use keys::{Key, Set, Sources};
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

/// Zephr's edge asks for seconds or minutes; a run that waits for longer holds up those after it,
/// and its lease.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// What everybody should see, and nothing that scrolls it away.
const DEFAULT_LOG: &str = "info";

/// Design section 3.3.
const DEFAULT_DELETE_FRACTION: f64 = 0.02;

/// A tenant that doubles between two scans is possible after an import; one that grows further is
/// more often an export without an end.
const DEFAULT_GROWTH_FRACTION: f64 = 1.0;

/// Scans go on within a day of their beginning and slots are made up for within days: nothing that
/// is younger than this may be removed.
const LEAST_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// More records than a person looks through: then something is wrong with all of them.
const DEFAULT_MAX_REJECTS: u64 = 10_000;

/// Settings as flags give them. Secrets have no flag: process arguments are visible to everybody on
/// the machine.
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
    /// Schema for analysts; bookkeeping is in the schema of this name with _sync [env:
    /// ZEPHR_SYNC_SCHEMA] [default: zephr]
    #[arg(long, value_name = "NAME", global = true)]
    pub schema: Option<String>,
    /// Directory of the private Postgres [env: ZEPHR_SYNC_DATA_DIR] [default: .zephr-sync beside
    /// the settings file]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Directory of job files; must be there when it is named [env: ZEPHR_SYNC_JOBS_DIR] [default:
    /// jobs beside the settings file]
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
    /// Share of the living rows that may be missing from a full scan before nobody is marked as
    /// deleted [env: ZEPHR_SYNC_MAX_DELETE_FRACTION] [default: 0.02]
    #[arg(long, value_name = "SHARE", global = true)]
    pub max_delete_fraction: Option<f64>,
    /// Share of the known rows by which a tenant may grow between two scans before a scan is
    /// stopped [env: ZEPHR_SYNC_MAX_GROWTH_FRACTION] [default: 1]
    #[arg(long, value_name = "SHARE", global = true)]
    pub max_growth_fraction: Option<f64>,
    /// Records that may be unstorable before a run is stopped [env: ZEPHR_SYNC_MAX_REJECTS]
    /// [default: 10000]
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

/// The settings of each tenant that the settings file names; of the one and only where it names
/// none.
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
    /// What the tenant is called here: the name of its table in the settings file, or of its schema
    /// where there is one tenant.
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
    #[error("{at} names {}, which cannot be read", .path.display())]
    SecretFile {
        /// The setting, where it stands.
        at: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A setting whose value does not fit.
    #[error("{at}: {message}")]
    Value {
        /// The flag, the variable, or the key and its file.
        at: String,
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

/// The environment, as far as it holds our settings. An empty variable counts as unset: compose
/// files pass on what is not there.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the environment says about a setting of `[bulk]`.
fn bulk_variable(name: &'static str) -> Option<String> {
    let name = format!("ZEPHR_SYNC_BULK_{}", name.to_uppercase());
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The keys of the settings file, in the order of its documentation.
pub fn keys() -> impl Iterator<Item = &'static str> {
    keys::NAMES.into_iter()
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load(flags: Flags) -> Result<Loaded, Error> {
        let path = flags.config.clone().unwrap_or_else(|| PathBuf::from(FILE));
        let file: Option<File> = toml_file::read(&path, &keys::NAMES)?;
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
        let sources = Sources::of(place, name.as_deref());
        let base = base(&flags, &file)?;
        let pair = key_pair(&sources, &file)?;
        let schema = sources.text(&keys::SCHEMA, flags.schema.clone(), file.schema.clone());
        let schemas = Schemas::named(schema.as_ref().map_or("zephr", |set| &set.value))?;
        let mirror = mirror(&sources, &file, &schemas)?;
        let data_dir = data_dir(&sources, &flags, &file, place);
        let jobs_dir = jobs_dir(&sources, &flags, &file, place)?;
        let named_inbox = sources.text(&keys::INBOX, None, file.inbox.clone());
        let named_inbox = named_inbox.map(Named::from);
        let inbox = inbox(named_inbox.as_ref(), name.as_deref(), place);
        let tables = job::list_tables(&jobs_dir);
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        let settings = Self {
            base,
            keys: pair,
            mirror,
            data_dir,
            jobs_dir,
            inbox,
            named_inbox,
            log: log(&sources, &flags, &file),
            log_format: log_format(&sources, &flags, &file)?,
            rpp: rpp(&sources, &flags, &file)?,
            limits: limits(&sources, &flags, &file)?,
            ignored: ignored(&sources, &file),
            brakes: brakes(&sources, &flags, &file)?,
            bookkeeping_retention: bookkeeping_retention(&sources, &file)?,
            privacy: Choices::parse(&file.privacy, &tables)?,
            hash_key: hash_key(&sources, &file)?,
            web: web(&sources, &file)?,
            bulk: bulk::settings::Settings::resolve(file.bulk, bulk_variable)
                .map_err(|(name, message)| Error::Bulk(name, message))?,
            hook: hook(file.hooks, &file.notify)?,
            receivers: receivers(file.notify)?,
            name: name.unwrap_or_else(|| schemas.data().to_owned()),
            schemas,
        };
        Ok(settings)
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

/// Flag over environment over file; a tenant and an address from the same source contradict each
/// other.
fn base(flags: &Flags, file: &File) -> Result<Option<BaseUrl>, Error> {
    let given = |key: &Key| key.variable.and_then(variable);
    let sources = [
        (None, flags.base_url.clone()),
        (given(&keys::TENANT), given(&keys::BASE_URL)),
        (file.tenant.clone(), file.base_url.clone()),
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

/// The key pair; none when either key was not given.
fn key_pair(sources: &Sources<'_>, file: &File) -> Result<Option<KeyPair>, Error> {
    let access = sources.text::<String>(&keys::ACCESS_KEY, None, None);
    let access = access.map(|set| SecretString::from(set.value));
    let secret = sources.secret(
        (&keys::SECRET_KEY, file.secret_key.as_ref()),
        (&keys::SECRET_KEY_FILE, file.secret_key_file.as_ref()),
    )?;
    let pair = access.or_else(|| file.access_key.clone()).zip(secret);
    Ok(pair.map(|(access, secret)| KeyPair::new(access, secret.value)))
}

/// Where a private Postgres and what else is ours is kept.
fn data_dir(sources: &Sources<'_>, flags: &Flags, file: &File, place: &Place) -> PathBuf {
    let (flag, in_file) = (flags.data_dir.clone(), file.data_dir.clone());
    let set = sources.text(&keys::DATA_DIR, flag, in_file);
    set.map_or_else(|| place.beside(".zephr-sync"), |set| set.value)
}

/// Where job files are; one that is named has to be there.
fn jobs_dir(
    sources: &Sources<'_>,
    flags: &Flags,
    file: &File,
    place: &Place,
) -> Result<PathBuf, Error> {
    let (flag, in_file) = (flags.jobs_dir.clone(), file.jobs_dir.clone());
    match sources.text(&keys::JOBS_DIR, flag, in_file) {
        Some(set) => Named::from(set).there(),
        None => Ok(place.beside("jobs")),
    }
}

/// Where people drop CSV files: where somebody says, and otherwise where such a directory is.
fn inbox(named: Option<&Named>, tenant: Option<&str>, place: &Place) -> bulk::inbox::Where {
    match (named, tenant) {
        (Some(named), _) => bulk::inbox::Where::Given(named.path().to_owned()),
        (None, None) => bulk::inbox::Where::IfThere(place.beside("inbox")),
        (None, Some(name)) => bulk::inbox::Where::IfThere(place.beside("inbox").join(name)),
    }
}

fn mirror(sources: &Sources<'_>, file: &File, schemas: &Schemas) -> Result<Mirror, Error> {
    let url = sources.secret(
        (&keys::DATABASE_URL, file.database_url.as_ref()),
        (&keys::DATABASE_URL_FILE, file.database_url_file.as_ref()),
    )?;
    Ok(match url {
        Some(url) => Mirror::Given(Box::new(Database::from_url(&url.value, schemas.clone())?)),
        None => Mirror::Private,
    })
}

fn hash_key(sources: &Sources<'_>, file: &File) -> Result<Option<HashKey>, Error> {
    let key = sources.secret(
        (&keys::HASH_KEY, file.hash_key.as_ref()),
        (&keys::HASH_KEY_FILE, file.hash_key_file.as_ref()),
    )?;
    let Some(key) = key else { return Ok(None) };
    let unfit = |short: privacy::key::TooShort| key.unfit(short.to_string());
    HashKey::given(&key.value).map(Some).map_err(unfit)
}

fn log(sources: &Sources<'_>, flags: &Flags, file: &File) -> String {
    let filter = sources.text(&keys::LOG, flags.log.clone(), file.log.clone());
    filter.map_or_else(|| DEFAULT_LOG.into(), |set| set.value)
}

fn log_format(sources: &Sources<'_>, flags: &Flags, file: &File) -> Result<LogFormat, Error> {
    let parse = |text: &str| {
        let unfit = |_| format!("`{text}` is neither text nor json");
        clap::ValueEnum::from_str(text, true).map_err(unfit)
    };
    let format = sources
        .read(&keys::LOG_FORMAT, flags.log_format, file.log_format, parse)
        .map_err(|(name, message)| Error::Value {
            at: name.to_owned(),
            message,
        })?;
    Ok(format.map(|set| set.value).unwrap_or_default())
}

/// The number if it fits, the default where there is none.
fn fitting<T: Copy>(
    set: Option<Set<T>>,
    default: T,
    fits: impl Fn(T) -> bool,
    otherwise: &str,
) -> Result<T, Error> {
    match set {
        None => Ok(default),
        Some(set) if fits(set.value) => Ok(set.value),
        Some(set) => Err(set.unfit(otherwise)),
    }
}

fn rpp(sources: &Sources<'_>, flags: &Flags, file: &File) -> Result<u64, Error> {
    let rpp = sources.number(&keys::RPP, flags.rpp, file.rpp)?;
    fitting(rpp, DEFAULT_RPP, |rpp| rpp > 0, "must be at least 1")
}

fn limits(sources: &Sources<'_>, flags: &Flags, file: &File) -> Result<Limits, Error> {
    let in_flight = sources.number(
        &keys::MAX_IN_FLIGHT,
        flags.max_in_flight,
        file.max_in_flight,
    )?;
    let rate = sources.number(
        &keys::MAX_REQUESTS_PER_SECOND,
        flags.max_requests_per_second,
        file.max_requests_per_second,
    )?;
    if let Some(set) = &rate
        && (!set.value.is_finite() || set.value <= 0.0)
    {
        return Err(set.unfit("must be above 0"));
    }
    let longest = duration(
        sources,
        &keys::MAX_RETRY_AFTER,
        file.max_retry_after.as_ref(),
    )?;
    Ok(Limits {
        max_in_flight: fitting(
            in_flight,
            DEFAULT_IN_FLIGHT,
            |n| n > 0,
            "must be at least 1",
        )?,
        max_per_second: rate.map(|set| set.value),
        max_retry_after: longest.map_or(DEFAULT_RETRY_AFTER, |set| set.value),
    })
}

fn brakes(sources: &Sources<'_>, flags: &Flags, file: &File) -> Result<Brakes, Error> {
    let (key, flag) = (&keys::MAX_DELETE_FRACTION, flags.max_delete_fraction);
    let deletions = sources.number(key, flag, file.max_delete_fraction)?;
    let (key, flag) = (&keys::MAX_GROWTH_FRACTION, flags.max_growth_fraction);
    let growth = sources.number(key, flag, file.max_growth_fraction)?;
    let rejects = sources.number(&keys::MAX_REJECTS, flags.max_rejects, file.max_rejects)?;
    Ok(Brakes {
        max_delete_fraction: fitting(
            deletions,
            DEFAULT_DELETE_FRACTION,
            |share| (0.0..=1.0).contains(&share),
            "must be a share, from 0 to 1",
        )?,
        max_growth_fraction: fitting(
            growth,
            DEFAULT_GROWTH_FRACTION,
            |share: f64| share.is_finite() && share >= 0.0,
            "must be a share, 0 or more: 1 means that a tenant may double",
        )?,
        max_rejects: rejects.map_or(DEFAULT_MAX_REJECTS, |set| set.value),
    })
}

fn ignored(sources: &Sources<'_>, file: &File) -> Vec<String> {
    let fields = sources.list(&keys::IGNORE_FIELDS, file.ignore_fields.clone());
    let mut ignored = fields.unwrap_or_default();
    // Differs with the position on the page (contract section 5.1).
    ignored.push("seq-no".into());
    ignored
}

/// A length of time, and where it was set.
fn duration(
    sources: &Sources<'_>,
    key: &Key,
    in_file: Option<&String>,
) -> Result<Option<Set<Duration>>, Error> {
    let Some(set) = sources.text(key, None, in_file.cloned()) else {
        return Ok(None);
    };
    let length = schedule::duration(key.name, Some(&set.value));
    let length = length.map_err(|message| set.unfit(message))?;
    Ok(length.map(|value| Set { value, at: set.at }))
}

/// How long bookkeeping is kept.
fn bookkeeping_retention(sources: &Sources<'_>, file: &File) -> Result<Option<Duration>, Error> {
    let in_file = file.bookkeeping_retention.as_ref();
    match duration(sources, &keys::BOOKKEEPING_RETENTION, in_file)? {
        Some(kept) if kept.value < LEAST_RETENTION => Err(kept.unfit(
            "it is too short: people look for what went wrong last week; write at least \"7d\"",
        )),
        kept => Ok(kept.map(|set| set.value)),
    }
}

fn web(sources: &Sources<'_>, file: &File) -> Result<web::Settings, Error> {
    let listen = sources.text(&keys::LISTEN, None, file.listen.clone());
    let token = sources.secret(
        (&keys::TOKEN, file.token.as_ref()),
        (&keys::TOKEN_FILE, file.token_file.as_ref()),
    )?;
    let upload = sources.number(&keys::MAX_UPLOAD_BYTES, None, file.max_upload_bytes)?;
    Ok(web::Settings::resolve(web::settings::Given {
        listen: listen.map(|set| set.value),
        token: token.map(|set| set.value),
        allowed_hosts: sources.list(&keys::ALLOWED_HOSTS, file.allowed_hosts.clone()),
        max_upload_bytes: upload.map(|set| set.value),
    })?)
}

/// The command after a success, which sees no secret of the receivers.
fn hook(
    hooks: notify::HookSettings,
    receivers: &[notify::Settings],
) -> Result<Option<notify::Hook>, Error> {
    let secret = receivers.iter().flat_map(notify::Settings::variables);
    Ok(hooks.hook(secret.map(ToOwned::to_owned).collect())?)
}

fn receivers(entries: Vec<notify::Settings>) -> Result<Vec<notify::Receiver>, Error> {
    let each = entries.into_iter().map(|entry| entry.receiver(&variable));
    Ok(each.collect::<Result<_, _>>()?)
}
