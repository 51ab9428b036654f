//! How long answers take to arrive, and what that means for the runs.

use std::time::Duration;

use super::Check;
use crate::cli::output::thousands;
use crate::config::Settings;
use crate::sync::forecast::{Distances, Forecast};
use mirror::load::compare;
use mirror::postgres::connect::{self, Database};

/// For how many users it is explained where nothing says how many there are.
const USUAL_USERS: u64 = 100_000;

/// How far away Postgres is.
pub(super) struct Distance {
    round_trip: Duration,
    /// About how many users are in the mirror, if there are any.
    users: Option<u64>,
}

/// How far away it is. What keeps that from being told is told by the other checks.
pub(super) async fn distance(database: &Database) -> Option<Distance> {
    let mut connection = database.connect().await.ok()?;
    let round_trip = connect::round_trip(&mut connection).await.ok()?;
    // Before the first migration there is no table.
    let users = compare::about_living(&mut connection).await.ok();
    Some(Distance {
        round_trip,
        users: users.map(i64::unsigned_abs).filter(|users| *users > 0),
    })
}

/// What the distances mean for this tenant, or for one of a usual size.
pub(super) fn check(settings: &Settings, to_postgres: Distance, to_api: Duration) -> Check {
    let distances = Distances {
        postgres: to_postgres.round_trip,
        api: to_api,
        in_flight: settings.limits.max_in_flight,
    };
    let users = to_postgres.users.unwrap_or(USUAL_USERS);
    let Forecast { load, unchanged } = distances.forecast(users);
    let whose = match to_postgres.users {
        Some(_) => "the mirror's ",
        None => "",
    };
    Check::good(
        "latency",
        format!(
            "Postgres answers in {}, the API in {}: to load {whose}{} users takes at least {}, to read them again without a change {}",
            milliseconds(to_postgres.round_trip),
            milliseconds(to_api),
            thousands(users as i64),
            seconds(load),
            seconds(unchanged),
        ),
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

fn seconds(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs().max(1));
    humantime::format_duration(whole).to_string()
}
