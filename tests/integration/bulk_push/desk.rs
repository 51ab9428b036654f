//! Somebody with a CSV: a tenant, its mirror, and the program between them.

use std::collections::BTreeMap;

use serde_json::Value;
use simulator::{Does, Options, Outcome, Shape, Simulator};

use crate::support::{Ended, Mirror, Program, tenant};

/// Updates in a request: small, so that a push has many of them.
pub const CHUNK: usize = 50;

pub struct Desk {
    pub simulator: Simulator,
    pub mirror: Mirror,
    pub program: Program,
}

impl Desk {
    /// A tenant of so many people, mirrored.
    pub async fn new(people: u32) -> Self {
        Self::with(people, |_| {}).await
    }

    /// A tenant that behaves as `how` says, mirrored.
    pub async fn with(people: u32, how: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            shape: Shape {
                people,
                ..Shape::default()
            },
            ..Options::default()
        };
        how(&mut options);
        let simulator = tenant(options).await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror)
            .telling_phases()
            .with("ZEPHR_SYNC_BULK_CHUNK_ROWS", CHUNK.to_string())
            .with("ZEPHR_SYNC_BULK_GRACE", "1s")
            .with("ZEPHR_SYNC_BULK_POLL", "300ms");
        let desk = Self {
            simulator,
            mirror,
            program,
        };
        desk.program.run(&["sync", "users"]).await.expect(0);
        desk
    }

    /// Writes a file of these lines.
    pub fn file(&self, name: &str, lines: impl IntoIterator<Item = String>) {
        let text: Vec<String> = lines.into_iter().collect();
        let path = self.program.directory().join(name);
        std::fs::write(path, text.join("\n")).expect("a file");
    }

    /// A file that gives each of these people a city of their own.
    pub fn cities(&self, name: &str, people: std::ops::Range<u32>, city: &str) {
        let header = std::iter::once("user_id,city".to_owned());
        let rows = people.map(|person| format!("{},{city} {person}", self.id(person)));
        self.file(name, header.chain(rows));
    }

    pub fn id(&self, person: u32) -> String {
        self.simulator.tenant().user_id(person)
    }

    /// Plans a file, which must go without a complaint.
    pub async fn plan(&self, name: &str) -> String {
        let planned = self
            .program
            .run(&["bulk", "plan", name, "--json"])
            .await
            .expect(0);
        id(&planned.json())
    }

    pub async fn apply(&self, plan: &str) -> Ended {
        self.program
            .run(&["bulk", "apply", plan, "--yes", "--json"])
            .await
    }

    pub async fn resume(&self) -> Ended {
        self.program.run(&["bulk", "resume", "--json"]).await
    }

    pub async fn status(&self, plan: &str) -> Value {
        self.program
            .run(&["bulk", "status", plan, "--json"])
            .await
            .expect(0)
            .json()
    }

    pub async fn results(&self, plan: &str) -> Vec<Value> {
        let ended = self
            .program
            .run(&["bulk", "results", plan, "--json"])
            .await
            .expect(0);
        ended.json()["results"].as_array().expect("rows").clone()
    }

    /// A person's city as the tenant has it.
    pub fn city(&self, person: u32) -> Option<String> {
        let value = self.simulator.tenant().attribute(person, "city")?;
        serde_json::from_str(value.get()).expect("text")
    }

    /// How often each person's city was set.
    pub fn applied(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for action in self.simulator.tenant().bulk_applied() {
            if action.outcome == Outcome::Applied && action.action == Does::SetAttribute {
                *times.entry(action.user_id.expect("an id")).or_default() += 1;
            }
        }
        times
    }

    /// How often each person was deleted.
    pub fn deleted(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for action in self.simulator.tenant().bulk_applied() {
            if action.outcome == Outcome::Applied && action.action == Does::DeleteUser {
                *times.entry(action.user_id.expect("an id")).or_default() += 1;
            }
        }
        times
    }

    /// Fails unless each of these people has the city that was pushed, set once.
    #[track_caller]
    pub fn expect_cities(&self, people: std::ops::Range<u32>, city: &str, context: &str) {
        let applied = self.applied();
        for person in people {
            let expected = format!("{city} {person}");
            assert_eq!(
                self.city(person),
                Some(expected),
                "{context}: person {person}"
            );
            let times = applied.get(&self.id(person)).copied().unwrap_or_default();
            assert_eq!(times, 1, "{context}: person {person}");
        }
    }
}

/// The plan a document is about.
pub fn id(document: &Value) -> String {
    document["plan_id"].as_str().expect("a plan").to_owned()
}

/// How many rows of a document are in a state.
pub fn outcome(document: &Value, state: &str) -> i64 {
    document["outcomes"][state].as_i64().expect("a number")
}
