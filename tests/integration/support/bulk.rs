//! A mirrored tenant to push files of people to: the files, and what the program says of them.

use serde_json::Value;
use simulator::{Options, Shape, Simulator};

use super::{Ended, Mirror, Program, tenant};

/// A tenant, its mirror after one sync of users, and the program between them.
#[derive(Debug)]
pub struct Bench {
    pub simulator: Simulator,
    pub mirror: Mirror,
    pub program: Program,
}

/// Somebody of the tenant, as the API shows them.
#[derive(Debug, Clone)]
pub struct Person {
    pub index: u32,
    pub user_id: String,
    pub email: String,
    pub username: Option<String>,
    pub crm: Option<String>,
    pub attributes: Value,
}

impl Person {
    /// An attribute as a person would type it.
    pub fn typed(&self, slug: &str) -> String {
        let value = &self.attributes[slug];
        match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_null() => String::new(),
            None => value.to_string(),
        }
    }
}

impl Bench {
    /// A plain tenant of so many people, mirrored.
    pub async fn of(people: u32) -> Self {
        Self::with(people, Options::default(), |program| program).await
    }

    /// With options and settings of the test's own.
    pub async fn with(
        people: u32,
        options: Options,
        settings: impl FnOnce(Program) -> Program,
    ) -> Self {
        let simulator = tenant(Options {
            shape: Shape {
                people,
                ..options.shape
            },
            ..options
        })
        .await;
        let mirror = Mirror::new().await;
        let program = settings(Program::between(&simulator, &mirror));
        let bench = Self {
            simulator,
            mirror,
            program,
        };
        bench.sync().await;
        bench
    }

    /// Mirrors all users once more.
    pub async fn sync(&self) {
        self.program
            .run(&["sync", "users", "--full"])
            .await
            .expect(0);
    }

    /// Everybody, in the order of their index.
    pub fn persons(&self) -> Vec<Person> {
        let truth = String::from_utf8(self.simulator.tenant().truth()).expect("text");
        let read = |line: &str| {
            let item: Value = serde_json::from_str(line).expect("an item");
            let user = &item["user"];
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let user_id = text(&user["user_id"]).expect("a user_id");
            Person {
                index: self
                    .simulator
                    .tenant()
                    .index_of(&user_id)
                    .expect("somebody"),
                email: text(&user["identifiers"]["email_address"]).expect("an address"),
                username: text(&user["identifiers"]["username"]),
                crm: text(&user["foreign_keys"]["crm"]),
                attributes: user["attributes"].clone(),
                user_id,
            }
        };
        truth.lines().map(read).collect()
    }

    /// Puts a file where the program runs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.program.directory().join(name), content).expect("a file");
    }

    /// A file where the program runs, as text.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.program.directory().join(name)).expect(name)
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.program.directory().join(name).exists()
    }

    /// Runs `bulk` with these arguments.
    pub async fn bulk(&self, arguments: &[&str]) -> Ended {
        self.program.run(&[&["bulk"], arguments].concat()).await
    }

    /// Runs `bulk` with these arguments and `--json`; the document.
    pub async fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.bulk(&arguments).await.expect(code).json()
    }

    /// Writes a file and plans it; the document.
    pub async fn plan(&self, code: i32, content: &str) -> Value {
        self.write("users.csv", content);
        self.json(code, &["plan", "users.csv"]).await
    }

    /// Plans a file and applies the plan, both without a complaint; its id.
    pub async fn push(&self, content: &str) -> String {
        let id = plan_id(&self.plan(0, content).await);
        self.apply(0, &id).await;
        id
    }

    /// Applies a plan; the document.
    pub async fn apply(&self, code: i32, plan_id: &str) -> Value {
        self.json(code, &["apply", plan_id, "--yes"]).await
    }

    /// What became of each row of a plan.
    pub async fn results(&self, plan_id: &str) -> Vec<Value> {
        let document = self.json(0, &["results", plan_id]).await;
        document["results"].as_array().expect("rows").clone()
    }

    /// The mirror without the ledger of bulk updates.
    pub async fn mirrored(&self) -> Vec<String> {
        let mut lines = self.mirror.everything().await;
        lines.retain(|line| !line.starts_with("bulk_"));
        lines
    }

    /// The attributes of a person, now.
    pub fn attributes(&self, index: u32) -> Value {
        let shown = self.simulator.tenant().attributes(index).expect("somebody");
        serde_json::from_str(&shown).expect("attributes")
    }

    /// Sets an attribute of a person at the tenant.
    pub fn set(&self, index: u32, slug: &str, value: &Value) {
        let raw = serde_json::value::to_raw_value(value).expect("a value");
        let there = self
            .simulator
            .tenant()
            .set_attributes(index, [(slug.to_owned(), raw)]);
        assert!(there, "nobody has index {index}");
    }
}

/// The id of the plan that a document is about.
#[track_caller]
pub fn plan_id(document: &Value) -> String {
    let id = document["plan_id"].as_str();
    id.unwrap_or_else(|| panic!("no plan: {document:#}"))
        .to_owned()
}

/// The rows of a CSV text, without a byte order mark.
pub fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let rows = reader.records().map(|row| row.expect("CSV"));
    rows.map(|row| row.iter().map(str::to_owned).collect())
        .collect()
}

impl Bench {
    /// Adds fields to the tenant's user schema.
    pub async fn add_fields(&self, fields: &[Value]) {
        let mut schema = self.schema().await;
        schema.extend_from_slice(fields);
        self.set_schema(&schema);
    }

    /// Has the tenant's user schema want a value of an attribute.
    pub async fn require(&self, slug: &str) {
        let mut schema = self.schema().await;
        let mut fields = schema.iter_mut();
        let field = fields.find(|field| field["slug"] == slug);
        field.expect("the field")["required"] = true.into();
        self.set_schema(&schema);
    }

    async fn schema(&self) -> Vec<Value> {
        let answer = self.program.run(&["api", "GET", "/v3/schema/users"]).await;
        serde_json::from_str(&answer.expect(0).stdout).expect("a list")
    }

    fn set_schema(&self, schema: &[Value]) {
        let schema = serde_json::to_string(schema).expect("JSON");
        let tenant = self.simulator.tenant();
        tenant.set_schema(&schema).expect("a schema");
    }
}
