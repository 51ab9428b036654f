//! Where what a command says goes: data on stdout, messages for people on stderr, one JSON document
//! where that is asked for.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::exit::Failure;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON or text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether one JSON document is wanted.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// The result of a command: the document, or the text made from it.
    ///
    /// # Errors
    /// Stdout cannot be written. A reader that closed it has what it wanted.
    pub fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        let shown = if self.json {
            format!("{}\n", serde_json::to_string_pretty(value)?)
        } else {
            text(value)
        };
        write(shown.as_bytes())
    }

    /// A message for people.
    pub fn note(self, message: &str) {
        let mut stderr = io::stderr().lock();
        // Without anybody to read it there is nobody to miss it.
        let _ = writeln!(stderr, "{}", printable(message));
    }

    /// Why the command failed, for people and, where JSON is wanted, as the document.
    pub fn failure(self, failure: &Failure) {
        self.note(&format!("error: {}", failure.error));
        if !failure.remedy.is_empty() {
            self.note(&format!("  {}", failure.remedy));
        }
        self.document(failure);
    }

    /// Why the command failed, as the document, where JSON is wanted.
    pub fn document(self, failure: &Failure) {
        if self.json {
            let document = serde_json::json!({ "error": failure.error, "remedy": failure.remedy });
            let _ = write(format!("{document:#}\n").as_bytes());
        }
    }
}

/// Writes to stdout; a broken pipe is success, as for `head`.
///
/// # Errors
/// Any other failure.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether people look at stderr as it is written.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Text from outside, harmless on a terminal: control characters are replaced, line breaks stay.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}

/// Rows under headings, columns aligned, numbers to the right.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| {
            row.each_ref()
                .map(|cell| printable(cell).replace('\n', " "))
        })
        .collect();
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let is_number =
        |cell: &str| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let numeric: Vec<bool> = (0..N)
        .map(|column| !rows.is_empty() && rows.iter().all(|row| is_number(&row[column])))
        .collect();
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut shown = String::new();
        for ((cell, width), numeric) in cells.iter().zip(widths).zip(&numeric) {
            let space = " ".repeat(width - cell.chars().count());
            if *numeric {
                shown.push_str(&space);
                shown.push_str(cell);
            } else {
                shown.push_str(cell);
                shown.push_str(&space);
            }
            shown.push_str("  ");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    };
    line(headings);
    for row in &rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

/// A count with its thousands apart.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if number < 0 {
        format!("-{shown}")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_harmless() {
        let rows = [
            ["a\u{1b}[31m".to_owned(), "5".to_owned()],
            ["bc".to_owned(), "1,234".to_owned()],
        ];
        assert_eq!(
            table(["name", "rows"], &rows),
            "name     rows\na\u{FFFD}[31m      5\nbc      1,234\n"
        );
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            [0, 999, 1_000, -1_234_567].map(thousands),
            ["0", "999", "1,000", "-1,234,567"]
        );
    }
}
