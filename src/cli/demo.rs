//! `zephr-sync demo`: the whole thing in under a minute, on the simulator and a private Postgres,
//! with nothing configured.

mod push;

use serde::Serialize;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::output::{Output, table, thousands};
use super::sync::{Night, summary};
use super::tenant::client;
use crate::bulk::document::Document;
use crate::config::Settings;
use crate::job;
use crate::sync::{Extent, Start};
use lifecycle::Shutdown;
use mirror::postgres::connect::Schemas;
use mirror::state::runs::{self, Run};
use push::Push;
use simulator::{Edits, Options, Shape, Simulator};
use zephr::{BaseUrl, KeyPair, Reader};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Users of the simulated tenant
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    users: u32,
    /// Leave the simulator and Postgres running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// What happens at the simulated tenant after the first run.
const CHANGES: Edits = Edits {
    updates: 20,
    creations: 5,
    ..Edits::NONE
};

/// What happens after the second.
const DELETIONS: Edits = Edits {
    deletions: 3,
    ..Edits::NONE
};

/// Changed users shown.
const SHOWN: i64 = 5;

const QUERY: &str = "select date_trunc('month', registered_at)::date as month, count(*) as users \
from zephr.users_current group by 1 order by 1 desc limit 6";

/// Runs the command.
///
/// # Errors
/// Postgres is not installed, or something that should not fail did.
pub async fn run(settings: &Settings, args: Args, output: Output) -> Result<Exit, Failure> {
    let shutdown = Shutdown::on_signals()?;
    say(
        output,
        &format!(
            "Starting a simulated Zephr tenant with {} users and a private Postgres …",
            thousands(args.users.into())
        ),
    );
    let shape = Shape {
        people: args.users,
        ..Shape::default()
    };
    let simulator = Simulator::start(Options {
        shape,
        ..Options::default()
    })
    .await?;
    let schemas = Schemas::named("zephr").map_err(|error| Failure::new(error.to_string(), ""))?;
    // Beside the operator's own cluster, never in it: the demo begins with an empty database each
    // time.
    let mirror = opened::open_private(&settings.data_dir.join("demo"), &schemas).await?;
    let shown = show(settings, &args, &simulator, &mirror, &shutdown, output).await;
    let closed = mirror.close().await;
    simulator.stop().await;
    closed?;
    shown
}

/// Shows what a mirror is for, run after run, and what a push is.
async fn show(
    settings: &Settings,
    args: &Args,
    simulator: &Simulator,
    mirror: &Opened,
    shutdown: &Shutdown,
    output: Output,
) -> Result<Exit, Failure> {
    let mut connection = mirror.database.connect().await?;
    empty(&mut connection, mirror.database.schemas()).await?;
    mirror.migrate(output).await?;

    let client = client(settings, api(simulator)?)?.until(shutdown.clone());
    let reader = Reader::new(client.clone(), settings.ignored.clone());
    let night = Night {
        settings,
        reader: &reader,
        mirror,
        shutdown,
        output,
        among: None,
    };
    let Some(runs) = three_runs(night, simulator, &mut connection).await? else {
        return Ok(Exit::Interrupted);
    };
    let push = Push {
        settings,
        client: &client,
        mirror,
        shutdown,
    };
    let pushes = there_and_back(&push, simulator, output).await?;
    if shutdown.is_requested() {
        return Ok(Exit::Interrupted);
    }

    let text = if output.is_json() {
        String::new()
    } else {
        look(&mut connection, &runs[1]).await?
    };
    drop(connection);
    output.result(&Shown { runs, pushes }, |_| text)?;
    if args.keep {
        keep(simulator, mirror, shutdown, output).await;
    } else {
        say(
            output,
            "Everything is stopped again; `zephr-sync demo --keep` leaves it running for psql.",
        );
    }
    say(
        output,
        "Next: `zephr-sync init` writes a settings file for your tenant, and `zephr-sync check` tests it.",
    );
    Ok(Exit::Done)
}

/// Tells people what happens; a program that reads along gets the document alone.
fn say(output: Output, text: &str) {
    if !output.is_json() {
        output.note(text);
    }
}

/// Where the simulated tenant is, and its keys.
fn api(simulator: &Simulator) -> Result<(BaseUrl, KeyPair), Failure> {
    let keys = simulator.keys();
    let keys = KeyPair::new(keys.access.clone().into(), keys.secret.clone().into());
    let base = BaseUrl::parse(&simulator.base_url())
        .map_err(|error| Failure::new(error.to_string(), ""))?;
    Ok((base, keys))
}

/// A first run, one after changes and one after deletions; none when it was interrupted.
async fn three_runs(
    night: Night<'_>,
    simulator: &Simulator,
    connection: &mut PgConnection,
) -> Result<Option<Vec<Run>>, Failure> {
    let (shutdown, output) = (night.shutdown, night.output);
    say(output, "\nFirst run: everything is new.");
    let first = sync(night, Extent::AsDue, connection).await?;
    say(output, &summary(&first));
    if shutdown.is_requested() {
        return Ok(None);
    }

    let edited = simulator.tenant().edit(CHANGES);
    say(
        output,
        &format!(
            "Meanwhile at the tenant: {} users change, {} register. Second run: only what changed is read and written.",
            edited.updated.len(),
            edited.created.len()
        ),
    );
    let second = sync(night, Extent::AsDue, connection).await?;
    say(output, &summary(&second));
    if shutdown.is_requested() {
        return Ok(None);
    }

    let edited = simulator.tenant().edit(DELETIONS);
    say(
        output,
        &format!(
            "Now {} users are deleted. Third run, in full: whoever is missing is asked for by id, and kept as a tombstone.",
            edited.deleted.len()
        ),
    );
    let third = sync(night, Extent::Full(Start::Resume), connection).await?;
    say(output, &summary(&third));
    let done = vec![first, second, third];
    Ok((!shutdown.is_requested()).then_some(done))
}

/// A push that is planned, applied and taken back.
async fn there_and_back(
    push: &Push<'_>,
    simulator: &Simulator,
    output: Output,
) -> Result<Vec<Document>, Failure> {
    say(
        output,
        "And back: a CSV with new cities is checked whole, and nothing is sent before somebody says so.",
    );
    let planned = push.plan(simulator).await?;
    say(output, &planned.preview());
    let plan_id = planned.plan_id();
    let mut pushes = vec![planned];
    if let Some(plan_id) = plan_id {
        say(output, "Applied, and then taken back:");
        for pushed in [push.apply(plan_id).await?, push.undo(plan_id).await?] {
            say(output, &pushed.report());
            pushes.push(pushed);
        }
    }
    Ok(pushes)
}

/// Everything that was done, as one document.
#[derive(Debug, Serialize)]
struct Shown {
    runs: Vec<Run>,
    pushes: Vec<Document>,
}

async fn keep(simulator: &Simulator, mirror: &Opened, shutdown: &Shutdown, output: Output) {
    let keys = simulator.keys();
    output.note(&format!(
        "Running until Ctrl-C. Look at the mirror:\n  {}\nOr sync by hand, in another terminal:\n  export ZEPHR_BASE_URL={} ZEPHR_ACCESS_KEY={} ZEPHR_SECRET_KEY={}",
        mirror.psql().unwrap_or_default(),
        simulator.base_url(),
        keys.access,
        keys.secret,
    ));
    shutdown.requested().await;
}

/// A demo begins with an empty database; the schemas are the demo's own.
async fn empty(connection: &mut PgConnection, schemas: &Schemas) -> Result<(), sqlx::Error> {
    // The names were checked by `Schemas::named`: letters, digits and underscores.
    let sql = format!(
        r#"drop schema if exists "{}", "{}" cascade"#,
        schemas.data(),
        schemas.state()
    );
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

async fn sync(
    night: Night<'_>,
    extent: Extent,
    connection: &mut PgConnection,
) -> Result<Run, Failure> {
    let job = job::chosen(job::built_in()?, &["users".to_owned()])?.remove(0);
    let ended = night.run_job(&job, extent).await?;
    runs::get(connection, ended.run_id)
        .await?
        .ok_or_else(|| Failure::new("the run has no record", "Please report this."))
}

async fn look(connection: &mut PgConnection, run: &Run) -> Result<String, sqlx::Error> {
    let mut text = format!(
        "What the second run changed ({} of {} rows):\n",
        SHOWN,
        run.rows_inserted + run.rows_updated
    );
    text.push_str(&changed(connection, run.run_id).await?);
    text.push_str(&format!("\nA query to try:\n  {QUERY}\n"));
    let months: Vec<(String, i64)> = sqlx::query_as(
        "select to_char(date_trunc('month', registered_at), 'YYYY-MM-DD') as month, count(*) as users
         from users_current group by 1 order by 1 desc limit 6",
    )
    .fetch_all(connection)
    .await?;
    let rows: Vec<_> = months
        .into_iter()
        .map(|(month, users)| [month, thousands(users)])
        .collect();
    text.push_str(&table(["month", "users"], &rows));
    Ok(text)
}

async fn changed(connection: &mut PgConnection, run_id: Uuid) -> Result<String, sqlx::Error> {
    let rows: Vec<(String, bool, String)> = sqlx::query_as(
        "select user_id, _zephr_first_seen_at = _zephr_loaded_at, to_char(_zephr_loaded_at, 'HH24:MI:SS')
         from users where _zephr_run_id = $1 order by user_id limit $2",
    )
    .bind(run_id)
    .bind(SHOWN)
    .fetch_all(connection)
    .await?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(id, new, at)| [id, if new { "new" } else { "changed" }.to_owned(), at])
        .collect();
    Ok(table(["user_id", "what", "_zephr_loaded_at"], &rows))
}
