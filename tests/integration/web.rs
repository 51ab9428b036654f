//! The daemon's page: who may see it and from where, what it does with what strangers write, and
//! what it tells while Postgres is away.

mod browser;
mod described;
mod health;
mod pushes;
mod safety;
