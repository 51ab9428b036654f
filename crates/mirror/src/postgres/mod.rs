//! Postgres: connections and what their sessions set, migrations, changes of
//! what others may be reading.

pub mod connect;
pub mod ddl;
pub mod migrate;
pub mod reach;
pub mod savepoint;
pub mod server;
mod session;
pub mod sessions;
pub mod sockets;
