//! Parses, runs, and ends with an exit code that means something. Nothing else.

use std::process::ExitCode;

/// Rows come and go in batches of thousands, many of them made in one thread and dropped in
/// another, which the system's allocators take long for: a third of our own time with glibc's, and
/// more with musl's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, for which its crate has no name: after how many
/// milliseconds memory that was freed goes back to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// At once. Bodies and batches of half a megabyte come and go many times a second: a second's worth
/// of them, which is what is kept otherwise, is twice as much as is in use. With a delay of only a
/// millisecond memory grew with the tenant, to 83 MiB at eight million users. What is needed again
/// at once is kept by `record::memory`.
const PURGED_AFTER_MS: std::ffi::c_long = 0;

fn keep_no_freed_memory() {
    // SAFETY: sets a number in a table of options that is made before `main`; one that does not
    // exist is ignored.
    #[expect(unsafe_code, reason = "the allocator's options have no other door")]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGED_AFTER_MS);
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    keep_no_freed_memory();
    zephr_sync::cli::main().await.into()
}
