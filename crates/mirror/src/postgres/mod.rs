//! Postgres: connections and their search path, migrations.

pub mod connect;
pub mod migrate;
pub mod savepoint;
pub mod sessions;
pub mod sockets;
