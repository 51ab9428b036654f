//! What nights leave behind: one on which nothing changed, and ten on each of which 1 % did.

use std::error::Error;

use super::line::{Line, Target};
use super::mirror::Mirror;
use super::process::Simulator;
use super::server::Server;

/// All tables of analysts with their indexes.
const ALL_TABLES: &str = "select sum(pg_total_relation_size(oid)) from pg_class
    where relnamespace = 'zephr'::regnamespace and relkind in ('r', 'm')";

const USERS: &str = "pg_table_size('users')";

/// A night without a change writes less than a byte of log per user, and grows no table.
pub async fn unchanged(server: &Server, users: usize) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &[]).await?;
    let mut mirror = Mirror::new(server, &simulator).await?;
    mirror.full().await?;
    // Vacuumed before it is measured, as the run itself is preceded by it.
    mirror.settled().await?;
    let before = mirror.number(ALL_TABLES).await?;
    let night = mirror.settled().await?;
    let grown = mirror.number(ALL_TABLES).await? - before;
    mirror.drop(server).await?;
    simulator.stop().await?;
    let name = |what: &str| format!("unchanged night {users}: {what}");
    let wal = night.wal_bytes / users as f64;
    Ok(vec![
        Line::counted(name("WAL"), "B/user", vec![wal]).wants(Target::Figure(1.0)),
        Line::counted(name("growth of tables"), "B", vec![grown]).wants(Target::Figure(0.0)),
    ])
}

/// After ten nights the table is hardly larger than one that is loaded afresh; nothing vacuums it
/// meanwhile.
pub async fn ten(server: &Server, users: usize) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &[]).await?;
    let mut old = Mirror::new(server, &simulator).await?;
    old.full().await?;
    for _ in 0..10 {
        simulator.change(users / 100).await?;
        old.full().await?;
    }
    let grown = old.number(USERS).await?;
    old.drop(server).await?;
    let mut fresh = Mirror::new(server, &simulator).await?;
    fresh.full().await?;
    let least = fresh.number(USERS).await?;
    fresh.drop(server).await?;
    simulator.stop().await?;
    let name = format!("ten nights {users}: size of users");
    let line = Line::counted(name, "B/user", vec![grown / users as f64]);
    Ok(vec![
        line.beside("fresh", vec![grown / least])
            .wants(Target::Ratio(1.1)),
    ])
}
