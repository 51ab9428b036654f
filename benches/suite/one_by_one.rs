//! What Zephr tells one at a time: members and grants of accounts, segments of users. Beside it the
//! same number of bare requests.

use std::error::Error;

use sqlx::{Executor, Row};

use super::bare;
use super::line::{Better, Line};
use super::mirror::{Measured, Mirror};
use super::process::Simulator;
use super::server::Server;
use super::users::{PEAK_MIB, costs};

/// Enough to be members.
const PEOPLE: usize = 20_000;

pub async fn accounts(
    server: &Server,
    accounts: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(PEOPLE, &["--accounts", &accounts.to_string()]).await?;
    let job = ["sync", "accounts", "--full"];
    let mut all = OneByOne::default();
    for round in 1..=rounds {
        eprintln!("  round {round}");
        let mut mirror = Mirror::new(server, &simulator).await?;
        let ids = "select account_id from accounts";
        let paths =
            |id: &str| ["", "/users", "/grants"].map(|below| format!("/v3/accounts/{id}{below}"));
        all.round(&simulator, &mut mirror, &job, ids, |id| paths(id).to_vec())
            .await?;
        mirror.drop(server).await?;
    }
    simulator.stop().await?;
    Ok(all.lines(&format!("accounts {accounts}"), "accounts/s", accounts))
}

pub async fn segments(
    server: &Server,
    users: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &[]).await?;
    let job = ["sync", "segments", "--full"];
    let mut all = OneByOne::default();
    for round in 1..=rounds {
        eprintln!("  round {round}");
        let mut mirror = Mirror::new(server, &simulator).await?;
        mirror.full().await?;
        let ids = "select user_id from users";
        let path = |id: &str| vec![format!("/v4/users/{id}/segments")];
        all.round(&simulator, &mut mirror, &job, ids, path).await?;
        mirror.drop(server).await?;
    }
    simulator.stop().await?;
    Ok(all.lines(&format!("segments {users}"), "users/s", users))
}

/// A value a round.
#[derive(Default)]
struct OneByOne {
    runs: Vec<Measured>,
    /// Requests a second, bare.
    bare: Vec<f64>,
}

impl OneByOne {
    async fn round(
        &mut self,
        simulator: &Simulator,
        mirror: &mut Mirror<'_>,
        job: &[&str],
        ids: &'static str,
        paths: impl Fn(&str) -> Vec<String>,
    ) -> Result<(), Box<dyn Error>> {
        self.runs.push(mirror.run(job).await?);
        let rows = mirror.connection.fetch_all(ids).await?;
        let paths: Vec<String> = rows
            .iter()
            .flat_map(|row| paths(row.get::<&str, _>(0)))
            .collect();
        let requests = paths.len() as f64;
        self.bare
            .push(requests / bare::seconds(simulator, paths).await?);
        Ok(())
    }

    fn lines(self, name: &str, unit: &str, count: usize) -> Vec<Line> {
        let rates = self.runs.iter().map(|run| count as f64 / run.seconds);
        let ratios = self.runs.iter().zip(&self.bare);
        let ratios = ratios.map(|(run, bare)| run.requests / run.seconds / bare);
        let requests = self.runs.iter().map(|run| run.requests / count as f64);
        let peak = self.runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max);
        let whole = Line::timed(name.to_owned(), unit, Better::More, rates.collect());
        let mut lines = vec![
            whole.beside("bare", ratios.collect()),
            Line::counted(format!("{name}, requests"), "each", requests.collect()),
            Line::counted(format!("{name}, peak memory"), "MiB", vec![peak]).wants(PEAK_MIB),
        ];
        lines.extend(costs(name, &self.runs, count));
        lines
    }
}
