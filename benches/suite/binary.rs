//! The program itself: how soon it is there, and how large it is.

use std::error::Error;
use std::time::Instant;

use tokio::process::Command;

use super::line::{Better, Line, Target};
use super::mirror::Mirror;
use super::process::{PROGRAM, Simulator};
use super::server::Server;

/// Starts are short, so many of them are looked at.
const STARTS: usize = 15;

pub async fn lines(server: &Server, users: usize) -> Result<Vec<Line>, Box<dyn Error>> {
    let mut version = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let output = Command::new(PROGRAM).arg("--version").output().await?;
        version.push(began.elapsed().as_secs_f64() * 1_000.0);
        if !output.status.success() {
            return Err("--version failed".into());
        }
    }
    let simulator = Simulator::start(users, &[]).await?;
    let mut mirror = Mirror::new(server, &simulator).await?;
    mirror.full().await?;
    let mut unchanged = Vec::new();
    for _ in 0..STARTS {
        unchanged.push(mirror.full().await?.seconds);
    }
    mirror.drop(server).await?;
    simulator.stop().await?;
    let mut lines = vec![
        Line::timed("binary: --version".to_owned(), "ms", Better::Less, version)
            .wants(Target::Figure(10.0)),
        Line::timed(
            format!("binary: sync of {users} unchanged users"),
            "s",
            Better::Less,
            unchanged,
        )
        .wants(Target::Figure(0.15)),
    ];
    match stripped_mb().await {
        Ok(size) => lines.push(
            Line::counted("binary: size, stripped".to_owned(), "MB", vec![size])
                .wants(Target::Figure(20.0)),
        ),
        Err(error) => {
            eprintln!("  the size is left out, since strip (of binutils) did not run: {error}")
        }
    }
    Ok(lines)
}

async fn stripped_mb() -> Result<f64, Box<dyn Error>> {
    let stripped = tempfile::NamedTempFile::new()?;
    let mut strip = Command::new("strip");
    let status = strip.arg("-o").arg(stripped.path()).arg(PROGRAM);
    let status = status.status().await?;
    if !status.success() {
        return Err(status.to_string().into());
    }
    Ok(std::fs::metadata(stripped.path())?.len() as f64 / 1e6)
}
