//! Parses, runs, and ends with an exit code that means something. Nothing else.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    zephr_sync::cli::main().await.into()
}
