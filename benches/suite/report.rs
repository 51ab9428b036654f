//! The lines as a table and as JSON, and beside those of a former run.

use std::error::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::line::{Better, Line, Target};

/// A run of the suite.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// When it began, in UTC.
    pub date: String,
    pub version: String,
    pub cores: usize,
    pub postgres: String,
    pub rounds: usize,
    pub lines: Vec<Line>,
}

impl Report {
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)?)?)
    }

    /// The line of a name.
    fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }
}

/// The heads of the columns.
pub fn head() -> String {
    format!(
        "{:<52}{:>12} {:<14}{:>16}{:>12}",
        "", "figure", "", "ratio", "target"
    )
}

/// A line of the table.
pub fn row(line: &Line, former: Option<&Report>) -> String {
    let ratio = line.ratio.as_ref();
    let ratio = ratio.map_or_else(String::new, |ratio| {
        format!("{:.2} x {}", ratio.value, ratio.to)
    });
    let sign = match line.better {
        Better::More => ">=",
        Better::Less => "<=",
    };
    let target = line.target.map_or_else(String::new, |target| match target {
        Target::Figure(bound) => format!("{sign} {bound}"),
        Target::Ratio(bound) => format!("{sign} {bound} x"),
    });
    let verdict = match line.reaches() {
        None => "",
        Some(true) => "ok",
        Some(false) => "MISSES",
    };
    let row = format!(
        "{:<52}{:>12} {:<14}{ratio:>16}{target:>12} {verdict:<7}",
        line.name,
        number(line.figure),
        line.unit
    );
    let change = former.map_or_else(String::new, |former| change(line, former));
    format!("{row}{change}").trim_end().to_owned()
}

/// What became of a line since a former run.
fn change(line: &Line, former: &Report) -> String {
    let Some(then) = former.line(&line.name) else {
        return "new".to_owned();
    };
    let (before, now) = (then.compared(), line.compared());
    let change = if before == 0.0 {
        format!("{} -> {}", number(before), number(now))
    } else {
        format!("{:.2} x then", now / before)
    };
    if line.is_worse_than(then) {
        format!("{change} WORSE")
    } else {
        change
    }
}

/// Three digits where there are so many.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
