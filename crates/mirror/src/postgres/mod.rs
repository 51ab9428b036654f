//! Postgres: connections and what their sessions set, migrations.

pub mod connect;
pub mod migrate;
pub mod savepoint;
pub mod server;
mod session;
pub mod sessions;
pub mod sockets;
