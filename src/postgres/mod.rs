//! Postgres
pub mod connect;
pub mod migrate;
