//! The tenant for a command: one client, and so one governor, for all that it asks.

use super::exit::Failure;
use crate::config::Settings;
use clock::Clock;
use lifecycle::Shutdown;
use zephr::{BaseUrl, Client, KeyPair, Reader};

/// Speaks to the tenant.
///
/// # Errors
/// The HTTP client cannot be set up.
pub fn client(settings: &Settings, (base, keys): (BaseUrl, KeyPair)) -> Result<Client, Failure> {
    Client::new(base, keys, Clock::system(), settings.limits).map_err(|_| {
        Failure::new(
            "the HTTP client cannot be set up",
            "Check the proxy variables and the system's certificates.",
        )
    })
}

/// Reads the tenant, until the process is told to stop.
///
/// # Errors
/// As [`client`].
pub fn reader(
    settings: &Settings,
    api: (BaseUrl, KeyPair),
    shutdown: &Shutdown,
) -> Result<Reader, Failure> {
    Ok(Reader::new(
        client(settings, api)?.until(shutdown.clone()),
        settings.ignored.clone(),
    ))
}
