//! `make bench`: a CSV file about every user of a mirror made into a plan, beside COPY of the rows of that plan into a table like the ledger's in the same
//! Postgres, in one run. The file is in no order that the mirror knows; nine rows in ten change something.
//!
//! Options: `--users N` (1,000,000), `--rounds N` (3). Memory is to be the same whatever N is.

// Of the shared support this uses only a part.
#![allow(dead_code, reason = "the other benchmarks use the rest")]

mod support;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use futures::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, Row};
use support::process::{self, Simulator};
use support::report::median;
use support::server::Server;
use tokio::io::AsyncWriteExt;

/// The simulator draws these keys and may give one to several people, whom a plan could not tell apart.
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

/// What one way to name users came to, a value a round.
#[derive(Debug, Default)]
struct Measured {
    rows: i64,
    changing: i64,
    planning: Vec<f64>,
    copying: Vec<f64>,
    peak_kib: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let users = support::option("--users", 1_000_000);
    let rounds = support::option("--rounds", 3);
    let server = Server::start().await?;
    let simulator = Simulator::start(users, &[]).await?;
    let url = server.database().await?.url;
    eprintln!("filling a mirror with {users} users …");
    process::run(&simulator, &url, &["sync", "users"]).await?;
    let mut connection = PgConnection::connect(&url).await?;
    connection
        .execute("set search_path = zephr, zephr_sync")
        .await?;
    connection.execute(KEYS).await?;
    connection.execute("vacuum analyze").await?;

    let directory = tempfile::tempdir()?;
    let mut results = Vec::new();
    for (by, name, join) in [
        ("email", "email", ""),
        (
            "foreign_key:crm",
            "key",
            "join user_foreign_keys f on f.user_id = u.user_id and f.system = 'crm'",
        ),
    ] {
        let file = directory.path().join("people.csv");
        let query = FILE.replace("{name}", name).replace("{by}", by);
        copy_out(&url, &query.replace("{join}", join), &file).await?;
        let mut measured = Measured::default();
        for round in 1..=rounds {
            eprintln!("{by}, round {round}");
            let plan = measured.plan(&simulator, &url, &mut connection, &file);
            plan.await?;
            let copied = directory.path().join("rows");
            measured.copy(&url, &mut connection, &copied).await?;
        }
        results.push((by, measured));
    }
    simulator.stop().await?;
    server.stop().await?;
    for (by, measured) in results {
        println!("{}", measured.report(by));
    }
    Ok(())
}

impl Measured {
    async fn plan(
        &mut self,
        simulator: &Simulator,
        url: &str,
        connection: &mut PgConnection,
        file: &Path,
    ) -> Result<(), Box<dyn Error>> {
        connection
            .execute("truncate bulk_plans, bulk_rows cascade")
            .await?;
        connection.execute("checkpoint").await?;
        let file = file.to_str().ok_or("no text")?;
        let began = Instant::now();
        let peak = process::run(simulator, url, &["bulk", "plan", file, "--json"]).await?;
        self.planning.push(began.elapsed().as_secs_f64());
        self.peak_kib = self.peak_kib.max(peak);
        let row = connection
            .fetch_one("select rows_read, rows_planned from bulk_plans")
            .await?;
        (self.rows, self.changing) = (row.get(0), row.get(1));
        Ok(())
    }

    /// The rows that were planned, into a table with the same columns, checks and indexes.
    async fn copy(
        &mut self,
        url: &str,
        connection: &mut PgConnection,
        file: &Path,
    ) -> Result<(), Box<dyn Error>> {
        let query = format!("copy (select {COLUMNS} from bulk_rows order by row_number) to stdout");
        copy_out(url, &query, file).await?;
        connection
            .execute("drop table if exists copied; create table copied (like bulk_rows including all); checkpoint")
            .await?;
        let began = Instant::now();
        let statement = format!("copy copied ({COLUMNS}) from stdin");
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.read_from(tokio::fs::File::open(file).await?).await?;
        copy.finish().await?;
        self.copying.push(began.elapsed().as_secs_f64());
        Ok(())
    }

    fn report(self, by: &str) -> String {
        let ratios = self.planning.iter().zip(&self.copying);
        let ratio = median(ratios.map(|(plan, copy)| plan / copy).collect());
        let (planning, copying) = (median(self.planning), median(self.copying));
        let rate = |seconds: f64| self.rows as f64 / seconds;
        format!(
            "by {by}: {} rows, {} of them changing something, planned in {planning:.1} s ({:.0} a second), {ratio:.2} x as long as COPY of the plan's rows ({:.0} a second); peak memory {:.1} MiB",
            self.rows,
            self.changing,
            rate(planning),
            rate(copying),
            self.peak_kib as f64 / 1024.0
        )
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
