//! Who runs a command.

/// The user of the operating system, for whoever asks later who did it.
pub fn operator() -> String {
    let name = ["LOGNAME", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// User and host, likewise.
pub fn whose() -> String {
    let host = rustix::system::uname();
    format!("{}@{}", operator(), host.nodename().to_string_lossy())
}
