//! Parses, runs, and ends with an exit code that means something. Nothing else.

use std::process::ExitCode;

/// Rows come and go in batches of thousands, many of them made in one thread and dropped in another, which the system's allocators take long for: a third of
/// our own time with glibc's, and more with musl's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    zephr_sync::cli::main().await.into()
}
