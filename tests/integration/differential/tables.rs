//! The tables that are compared: whose they are, what names a row in truth and mirror alike, and
//! what a tenant held of them at a moment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;
use simulator::{List, Tenant};
use sqlx::Row;

use crate::support::{Mirror, truth};

/// A job of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    Users,
    Accounts,
    Segments,
    Schema,
    Catalog,
    Events,
    Webhooks,
    Rules,
    Sessions,
}

impl Job {
    pub const ALL: [Self; 9] = [
        Self::Users,
        Self::Accounts,
        Self::Segments,
        Self::Schema,
        Self::Catalog,
        Self::Events,
        Self::Webhooks,
        Self::Rules,
        Self::Sessions,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Accounts => "accounts",
            Self::Segments => "segments",
            Self::Schema => "schema",
            Self::Catalog => "catalog",
            Self::Events => "events",
            Self::Webhooks => "webhooks",
            Self::Rules => "rules",
            Self::Sessions => "sessions",
        }
    }

    pub fn named(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|job| job.name() == name);
        found.unwrap_or_else(|| panic!("no job {name}"))
    }

    /// Its file, without a schedule: nothing runs that nobody asked for.
    pub fn file(self, grants: bool) -> String {
        let incremental = "mode = 'incremental'\n";
        let list = |path: &str, table: &str, key: &str, columns: &str| {
            format!(
                "resource = 'list'\npath = '{path}'\ntable = '{table}'\nkey = '{key}'\ncolumns = {{ {columns} }}\n"
            )
        };
        match self {
            Self::Users => format!("resource = 'users'\n{incremental}grants = {grants}\n"),
            Self::Accounts => format!("resource = 'accounts'\n{incremental}"),
            Self::Segments => {
                format!("resource = 'segments'\n{incremental}full_every = 'never'\n")
            }
            Self::Schema => "resource = 'schema'\n".into(),
            Self::Catalog => "resource = 'catalog'\n".into(),
            Self::Events => {
                format!("resource = 'events'\n{incremental}overlap = '1d'\nfull_every = 'never'\n")
            }
            Self::Webhooks => list(
                "/v3/webhooks",
                "webhooks",
                "webhook_id",
                "label = 'text', method = 'text', target = 'text', triggers = 'jsonb'",
            ),
            Self::Rules => list(
                "/v3/rules/request",
                "request_rules",
                "id",
                "label = 'text', description = 'text', active = 'boolean'",
            ),
            Self::Sessions => format!(
                "{}for_each = 'users'\n{incremental}full_every = 'never'\n",
                list(
                    "/v3/users/{user_id}/sessions",
                    "user_sessions",
                    "session_id",
                    "last_updated = 'text'"
                )
            ),
        }
    }
}

/// Where the truth of a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Users,
    /// In the users.
    ForeignKeys,
    List(List),
}

/// What the rows of a table are below of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    Nothing,
    Users,
    Accounts,
}

impl Below {
    /// The table of the parents.
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Users => Some("users"),
            Self::Accounts => Some("accounts"),
        }
    }

    fn key(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Users => Some("user_id"),
            Self::Accounts => Some("account_id"),
        }
    }
}

/// A table.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub job: Job,
    source: Source,
    /// What names a row, the same in the truth: a label where the API may show no identifier.
    named_by: &'static [&'static str],
    pub below: Below,
    /// Whether the API can be asked for a row by its identifier before it is believed to be gone.
    pub has_witness: bool,
    /// Whether rows are ever marked as gone.
    pub forgets: bool,
}

const fn list(
    name: &'static str,
    job: Job,
    list: List,
    named_by: &'static [&'static str],
    below: Below,
) -> Table {
    Table {
        name,
        job,
        source: Source::List(list),
        named_by,
        below,
        has_witness: false,
        forgets: true,
    }
}

/// All of them; parents before what is below them.
pub static TABLES: [Table; 18] = [
    Table {
        source: Source::Users,
        has_witness: true,
        ..list(
            "users",
            Job::Users,
            List::UserGrants,
            &["user_id"],
            Below::Nothing,
        )
    },
    // What is in the record of a user goes with the record.
    Table {
        source: Source::ForeignKeys,
        has_witness: true,
        ..list(
            "user_foreign_keys",
            Job::Users,
            List::UserGrants,
            &["user_id", "system", "key"],
            Below::Users,
        )
    },
    Table {
        has_witness: true,
        ..list(
            "user_grants",
            Job::Users,
            List::UserGrants,
            &["grant_id"],
            Below::Users,
        )
    },
    Table {
        has_witness: true,
        ..list(
            "accounts",
            Job::Accounts,
            List::Accounts,
            &["account_id"],
            Below::Nothing,
        )
    },
    list(
        "account_users",
        Job::Accounts,
        List::AccountUsers,
        &["account_id", "user_id"],
        Below::Accounts,
    ),
    list(
        "account_grants",
        Job::Accounts,
        List::AccountGrants,
        &["account_id", "grant_id"],
        Below::Accounts,
    ),
    list(
        "segments",
        Job::Segments,
        List::Segments,
        &["label"],
        Below::Nothing,
    ),
    list(
        "user_segments",
        Job::Segments,
        List::UserSegments,
        &["user_id", "segment_id"],
        Below::Users,
    ),
    list(
        "user_schema",
        Job::Schema,
        List::UserSchema,
        &["slug"],
        Below::Nothing,
    ),
    list(
        "companies",
        Job::Catalog,
        List::Companies,
        &["name"],
        Below::Nothing,
    ),
    list(
        "products",
        Job::Catalog,
        List::Products,
        &["label"],
        Below::Nothing,
    ),
    list(
        "bundles",
        Job::Catalog,
        List::Bundles,
        &["label"],
        Below::Nothing,
    ),
    list(
        "entitlements",
        Job::Catalog,
        List::Entitlements,
        &["label"],
        Below::Nothing,
    ),
    list(
        "meters",
        Job::Catalog,
        List::Meters,
        &["label"],
        Below::Nothing,
    ),
    list(
        "credits",
        Job::Catalog,
        List::Credits,
        &["label"],
        Below::Nothing,
    ),
    list(
        "webhooks",
        Job::Webhooks,
        List::Webhooks,
        &["label"],
        Below::Nothing,
    ),
    list(
        "request_rules",
        Job::Rules,
        List::RequestRules,
        &["label"],
        Below::Nothing,
    ),
    list(
        "user_sessions",
        Job::Sessions,
        List::UserSessions,
        &["session_id"],
        Below::Users,
    ),
];

/// The table of the events, which are only ever added.
pub static EVENTS: Table = Table {
    forgets: false,
    ..list(
        "user_events",
        Job::Events,
        List::UserEvents,
        &["user_id", "event_type", "occurred_at"],
        Below::Nothing,
    )
};

/// All tables of some jobs.
pub fn of_jobs(jobs: &[Job]) -> impl Iterator<Item = &'static Table> {
    let all = TABLES.iter().chain([&EVENTS]);
    all.filter(|table| jobs.contains(&table.job))
}

/// Rows of awkward short lists that a table keyed by identifiers may or may not hold.
const ODD_LABELS: [&str; 2] = ["No id", "A long id"];

/// A row of the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The row it is below of.
    pub parent: Option<String>,
    /// As the tenant holds it.
    pub line: String,
    /// Whether a mirror can hold it word for word.
    pub is_plain: bool,
}

/// What a tenant held at a moment, by table and by what names a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<&'static str, BTreeMap<String, Entry>>);

type Fields = BTreeMap<String, Box<RawValue>>;

fn text(fields: &Fields, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

impl Snapshot {
    pub fn of(tenant: &Tenant, jobs: &[Job]) -> Self {
        let mut all = Self::default();
        for table in of_jobs(jobs) {
            let rows = all.rows_of(tenant, table);
            all.0.insert(table.name, rows);
        }
        all
    }

    pub fn rows(&self, table: &str) -> &BTreeMap<String, Entry> {
        static NONE: BTreeMap<String, Entry> = BTreeMap::new();
        self.0.get(table).unwrap_or(&NONE)
    }

    pub fn has(&self, table: &str, name: &str) -> bool {
        self.rows(table).contains_key(name)
    }

    fn rows_of(&self, tenant: &Tenant, table: &Table) -> BTreeMap<String, Entry> {
        match table.source {
            Source::Users => users(tenant),
            Source::ForeignKeys => {
                let plain = self.rows("users").iter().filter(|(_, user)| user.is_plain);
                plain
                    .flat_map(|(id, user)| foreign_keys(id, &user.line))
                    .collect()
            }
            Source::List(list) => {
                let lines = String::from_utf8(tenant.truth_of(list)).expect("text");
                let rows = lines
                    .lines()
                    .filter_map(|line| self.row(tenant, table, line));
                rows.collect()
            }
        }
    }

    /// A row of a list with its name, if a mirror can hold it.
    fn row(&self, tenant: &Tenant, table: &Table, line: &str) -> Option<(String, Entry)> {
        let fields: Fields = serde_json::from_str(line).expect(line);
        let named: Option<Vec<String>> = table
            .named_by
            .iter()
            .map(|name| text(&fields, name))
            .collect();
        let name = named?.join(" ");
        let parent = match table.below.key() {
            Some(key) => Some(text(&fields, key)?),
            None => None,
        };
        let parents = table.below.table().zip(parent.as_ref());
        let parent_is_plain = match parents {
            Some((parents, parent)) => self.rows(parents).get(parent)?.is_plain,
            None => true,
        };
        let is_storable =
            !name.is_empty() && name.len() <= 800 && !ODD_LABELS.contains(&name.as_str());
        let is_awkward = || {
            let account = tenant.account_index(&name);
            table.name == "accounts"
                && account.is_some_and(|index| tenant.is_awkward_account(index))
        };
        // Below somebody awkward the truth names them otherwise than the API does.
        (is_storable && (parent_is_plain || table.below == Below::Accounts)).then(|| {
            let is_plain = parent_is_plain && !is_awkward();
            let line = line.to_owned();
            (
                name.clone(),
                Entry {
                    parent,
                    line,
                    is_plain,
                },
            )
        })
    }
}

fn users(tenant: &Tenant) -> BTreeMap<String, Entry> {
    let lines = truth::lines(tenant).into_iter();
    let rows = lines.filter_map(|line| {
        let id = truth::key(&line)?;
        let index = tenant.index_of(&id);
        let is_plain = index.is_some_and(|index| !tenant.is_awkward(index));
        Some((
            id,
            Entry {
                parent: None,
                line,
                is_plain,
            },
        ))
    });
    rows.collect()
}

/// The foreign keys in the record of a user, in any of the forms they have.
fn foreign_keys(id: &str, line: &str) -> Vec<(String, Entry)> {
    let item: Value = serde_json::from_str(line).expect(line);
    let mut keys = Vec::new();
    match &item["user"]["foreign_keys"] {
        Value::Object(systems) => {
            for (system, value) in systems {
                let values = match value {
                    Value::Array(several) => several.iter().collect(),
                    one => vec![one],
                };
                keys.extend(
                    values
                        .into_iter()
                        .filter_map(|key| Some((system.clone(), key.as_str()?))),
                );
            }
        }
        Value::Array(pairs) => {
            for pair in pairs {
                let either = |name: &str, other: &str| pair[name].as_str().or(pair[other].as_str());
                let system = either("system", "foreign_system");
                let key = either("key", "foreign_key");
                keys.extend(system.map(str::to_owned).zip(key));
            }
        }
        other => panic!("foreign keys of somebody plain: {other}"),
    }
    let entry = |(system, key): (String, &str)| {
        let parent = Some(id.to_owned());
        let line = format!("{system} {key}");
        (
            format!("{id} {line}"),
            Entry {
                parent,
                line,
                is_plain: true,
            },
        )
    };
    keys.into_iter().map(entry).collect()
}

/// What the mirror holds at a moment, by table and by what names a row.
#[derive(Debug, Clone, Default)]
pub struct Held {
    living: BTreeMap<&'static str, BTreeMap<String, Option<String>>>,
    dead: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Held {
    pub async fn of(mirror: &Mirror, jobs: &[Job]) -> Self {
        let known =
            "select table_name::text from information_schema.tables where table_schema = 'zephr'";
        let known: BTreeSet<String> = mirror
            .rows(known)
            .await
            .iter()
            .map(|row| row.get(0))
            .collect();
        let tables: Vec<&Table> = of_jobs(jobs)
            .filter(|table| known.contains(table.name))
            .collect();
        let selects: Vec<String> = tables
            .iter()
            .enumerate()
            .map(|(at, table)| {
                let named_by: Vec<&str> = table
                    .named_by
                    .iter()
                    .map(|name| column(table, name))
                    .collect();
                let dead = if table.forgets {
                    "_zephr_deleted_at is not null"
                } else {
                    "false"
                };
                format!(
                    "select {at}, concat_ws(' ', {}), {}::text, {dead} from {}",
                    named_by.join(", "),
                    table.below.key().unwrap_or("null"),
                    table.name
                )
            })
            .collect();
        let mut held = Self::default();
        for row in mirror.rows(&selects.join(" union all ")).await {
            let table = tables[row.get::<i32, _>(0) as usize];
            let (name, parent, dead): (String, Option<String>, bool) =
                (row.get(1), row.get(2), row.get(3));
            if ODD_LABELS.contains(&name.as_str()) {
                continue;
            }
            if dead {
                held.dead.entry(table.name).or_default().insert(name);
            } else {
                held.living
                    .entry(table.name)
                    .or_default()
                    .insert(name, parent);
            }
        }
        held
    }

    /// The living rows of a table, each with what it is below of.
    pub fn living(&self, table: &str) -> &BTreeMap<String, Option<String>> {
        static NONE: BTreeMap<String, Option<String>> = BTreeMap::new();
        self.living.get(table).unwrap_or(&NONE)
    }

    pub fn lives(&self, table: &str, name: &str) -> bool {
        self.living(table).contains_key(name)
    }

    /// The rows of a table that are marked as gone, and of which none of that name lives.
    pub fn dead(&self, table: &str) -> impl Iterator<Item = &str> {
        let dead = self
            .dead
            .get(table)
            .into_iter()
            .flatten()
            .map(String::as_str);
        dead.filter(move |name| !self.lives(table, name))
    }
}

/// The column that holds what the truth has under a name.
fn column(table: &Table, name: &'static str) -> &'static str {
    match (table.name, name) {
        ("user_events", "event_type") => "type",
        ("user_events", "occurred_at") => {
            "to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        }
        (_, name) => name,
    }
}
