//! Postgres: connections and their search path, migrations, and the private cluster for runs with nothing configured.

pub mod connect;
pub mod migrate;
pub mod private;
pub mod sessions;
mod sockets;
