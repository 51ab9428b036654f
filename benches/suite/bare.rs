//! The yardstick of what is asked for one by one: the same number of signed requests, with nothing
//! done about the answers.

use std::error::Error;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use zephr::KeyPair;
use zephr::signing::Signed;

use super::process::Simulator;

/// The product's own ceiling.
const IN_FLIGHT: usize = 8;

/// Asks for each path once; the seconds it took.
pub async fn seconds(simulator: &Simulator, paths: Vec<String>) -> Result<f64, Box<dyn Error>> {
    let client = reqwest::Client::new();
    let (access, secret) = simulator.keys();
    let keys = KeyPair::new(access.to_owned().into(), secret.to_owned().into());
    let began = Instant::now();
    stream::iter(paths)
        .map(|path| ask(&client, &keys, simulator.base_url(), path))
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    Ok(began.elapsed().as_secs_f64())
}

async fn ask(
    client: &reqwest::Client,
    keys: &KeyPair,
    base_url: &str,
    path: String,
) -> Result<(), Box<dyn Error>> {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let authorization = keys.authorization(Signed {
        method: "GET",
        path: &path,
        query: "",
        body: b"",
        timestamp_ms: now()?.as_millis(),
        nonce: &nonce,
    });
    let answer = client
        .get(format!("{base_url}{path}"))
        .header("Authorization", authorization)
        .send()
        .await?;
    // Some tenants say so where there is nothing.
    let answered = answer.status().is_success() || answer.status() == 404;
    answer.bytes().await?;
    if answered {
        Ok(())
    } else {
        Err(format!("{path} was refused").into())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a yardstick that does as little as it can"
)]
fn now() -> Result<std::time::Duration, std::time::SystemTimeError> {
    SystemTime::now().duration_since(UNIX_EPOCH)
}
