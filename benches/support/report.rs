//! The figures and how they are shown.

use std::fmt;

/// One measured run.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub rows: usize,
    pub seconds: f64,
    pub wal_bytes: i64,
    pub peak_kib: Option<u64>,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.rows as f64 / self.seconds
    }
}

#[derive(Debug)]
pub struct Report {
    rows: usize,
    rounds: usize,
    pub y: Vec<Figures>,
    pub y_prime: Vec<Figures>,
    pub load: Vec<Figures>,
    pub unchanged: Vec<Figures>,
}

impl Report {
    pub fn new(rows: usize, rounds: usize) -> Self {
        Self {
            rows,
            rounds,
            y: vec![],
            y_prime: vec![],
            load: vec![],
            unchanged: vec![],
        }
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |runs: &[Figures]| median(runs.iter().map(Figures::rate).collect());
        let (y, y_prime) = (rate(&self.y), rate(&self.y_prime));
        writeln!(
            f,
            "{} users, medians of {} rounds\n",
            self.rows, self.rounds
        )?;
        writeln!(
            f,
            "{:<34}{:>10}{:>8}{:>8}{:>11}{:>12}",
            "", "rows/s", "x Y", "x Y'", "peak MiB", "WAL B/row"
        )?;
        for (name, runs) in [
            ("Y: COPY, stage, upsert", &self.y),
            ("Y': the same into our tables", &self.y_prime),
            ("zephr-sync, first load", &self.load),
            ("zephr-sync, nothing changed", &self.unchanged),
        ] {
            let rate = rate(runs);
            let wal = median(
                runs.iter()
                    .map(|run| run.wal_bytes as f64 / run.rows as f64)
                    .collect(),
            );
            let peak = runs.iter().filter_map(|run| run.peak_kib).max();
            let peak = peak.map_or("-".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
            writeln!(
                f,
                "{name:<34}{rate:>10.0}{:>8.2}{:>8.2}{peak:>11}{wal:>12.1}",
                rate / y,
                rate / y_prime
            )?;
        }
        Ok(())
    }
}
