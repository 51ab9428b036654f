//! The demo's push: a CSV planned, applied and taken back.

use std::sync::Arc;

use super::super::exit::Failure;
use super::super::opened::Opened;
use crate::bulk::document::Document;
use crate::bulk::plan::{self, Planned};
use crate::bulk::push::{self, Allowed};
use crate::bulk::settings::Settings as BulkSettings;
use crate::bulk::undo;
use crate::config::Settings;
use clock::Clock;
use lifecycle::Shutdown;
use mirror::state::privacy::Access;
use simulator::Simulator;
use zephr::updates::Writer;
use zephr::{Client, Reader};

/// Rows of the file.
const ROWS: u32 = 40;

/// Who does it, in the ledger.
const OPERATOR: &str = "the demo";

/// What the push works with.
pub(super) struct Push<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: &'a Client,
    pub(super) mirror: &'a Opened,
    pub(super) shutdown: &'a Shutdown,
}

impl Push<'_> {
    /// Plans a file that moves some readers to another city, with two rows that are wrong.
    pub(super) async fn plan(&self, simulator: &Simulator) -> Result<Document, Failure> {
        // Kept, with the rows that were left out, for people to look at.
        let directory = tempfile::Builder::new()
            .prefix("zephr-sync-demo-")
            .tempdir()?
            .keep();
        let file = directory.join("moved.csv");
        let tenant = simulator.tenant();
        let people =
            (0..tenant.living()).filter(|person| tenant.attribute(*person, "city").is_some());
        let rows = people
            .take(ROWS as usize)
            .map(|person| format!("{},Port Reader,", tenant.user_id(person)));
        let header = std::iter::once("user_id,city,country".to_owned());
        let wrong = [
            "nobody-knows-me,Port Reader,".to_owned(),
            format!("{},,Atlantis", tenant.user_id(1)),
        ];
        let lines: Vec<String> = header.chain(rows).chain(wrong).collect();
        std::fs::write(&file, lines.join("\n"))?;
        let env = plan::Environment {
            database: self.mirror.database.clone(),
            reader: Reader::new(self.client.clone(), Vec::new()),
            policy: self.mirror.policy(self.settings, Access::ReadOnly).await?,
            wire: BulkSettings::default().values,
            operator: OPERATOR.into(),
            progress: Arc::default(),
        };
        let planned = plan::plan(&env, &file, &plan::Options::default()).await?;
        self.document(planned).await
    }

    async fn document(&self, planned: Planned) -> Result<Document, Failure> {
        match planned.plan_id {
            Some(plan_id) => Ok(self.read(plan_id).await?.planned(planned)),
            None => Ok(Document::without_plan(planned)),
        }
    }

    /// Applies a plan.
    pub(super) async fn apply(&self, plan_id: uuid::Uuid) -> Result<Document, Failure> {
        let env = push::Environment {
            database: self.mirror.database.clone(),
            reader: Reader::new(self.client.clone(), Vec::new()),
            writer: Writer::new(self.client.clone()),
            clock: Clock::system(),
            settings: BulkSettings::default(),
            rpp: self.settings.rpp,
            max_in_flight: self.settings.limits.max_in_flight,
            max_delete_fraction: self.settings.brakes.max_delete_fraction,
            operator: OPERATOR.into(),
            progress: Arc::default(),
            shutdown: self.shutdown.clone(),
        };
        push::apply(&env, plan_id, Allowed::default(), |_| {}).await?;
        self.read(plan_id).await
    }

    /// Takes a plan back.
    pub(super) async fn undo(&self, plan_id: uuid::Uuid) -> Result<Document, Failure> {
        let options = undo::Options {
            clear: false,
            wire: BulkSettings::default().values,
        };
        let (undo_id, impossible) =
            undo::plan(&self.mirror.database, plan_id, options, OPERATOR).await?;
        Ok(self.apply(undo_id).await?.leaving(impossible))
    }

    async fn read(&self, plan_id: uuid::Uuid) -> Result<Document, Failure> {
        let mut connection = self.mirror.database.connect().await?;
        Ok(Document::read(&mut connection, plan_id).await?)
    }
}
