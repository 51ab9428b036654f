//! placeholder
use std::path::Path;
use sqlx::postgres::PgConnectOptions;
#[derive(Debug)]
pub struct PrivateCluster;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PrivateError;
impl PrivateCluster {
    pub async fn start(_: &Path) -> Result<Self, PrivateError> { Err(PrivateError) }
    pub fn connect_options(&self) -> PgConnectOptions { PgConnectOptions::new() }
    pub fn url(&self) -> String { String::new() }
    pub async fn stop(self) -> Result<(), PrivateError> { Ok(()) }
}
