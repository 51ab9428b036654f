//! Rows whose quotes have no one meaning.
//!
//! The splitter reads any bytes as some row: text after a closing quote is joined to the cell, a
//! quote that is never closed takes the rest of the file. Here the same rows are walked strictly.
//! Only rows with a quote in them pay for it.

use std::ops::Range;

/// A cell that is quoted in a way that can be read in two.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// From 0.
    pub(super) cell: usize,
    /// Where in the row its bytes are, quotes included.
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The quote is not closed.
    Open,
    /// Behind the closing quote, which is here in the row, comes something other than a delimiter.
    TextAfter(usize),
    /// Before the quote come blanks, so that it is a part of the text.
    BlanksBefore,
}

/// All flaws of a row, which is given without its line end.
pub(super) fn flaws(row: &[u8], delimiter: u8) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut start = 0;
    for cell in 0.. {
        let (kind, searched) = match row.get(start) {
            Some(b'"') => match closing(row, start) {
                None => (Some(Kind::Open), row.len()),
                Some(at) if row.get(at + 1).is_none_or(|&next| next == delimiter) => (None, at + 1),
                Some(at) => (Some(Kind::TextAfter(at)), at + 1),
            },
            Some(b' ' | b'\t') if quoted_behind_blanks(&row[start..], delimiter) => {
                (Some(Kind::BlanksBefore), start)
            }
            Some(_) | None => (None, start),
        };
        let rest = &row[searched..];
        let end = searched
            + rest
                .iter()
                .position(|&byte| byte == delimiter)
                .unwrap_or(rest.len());
        flaws.extend(kind.map(|kind| Flaw {
            cell,
            span: start..end,
            kind,
        }));
        if end == row.len() {
            break;
        }
        start = end + 1;
    }
    flaws
}

/// Where the quote that opens at `open` is closed.
fn closing(row: &[u8], open: usize) -> Option<usize> {
    let mut from = open + 1;
    loop {
        let at = from + row[from..].iter().position(|&byte| byte == b'"')?;
        if row.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}

fn quoted_behind_blanks(cell: &[u8], delimiter: u8) -> bool {
    let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t') && **byte != delimiter;
    cell.iter().find(|byte| !blank(byte)) == Some(&b'"')
}

/// How many lines end in these bytes; CRLF is one end.
pub(super) fn line_ends(bytes: &[u8]) -> u64 {
    let mut ends = 0;
    let mut after_cr = false;
    for &byte in bytes {
        ends += u64::from(byte == b'\r' || (byte == b'\n' && !after_cr));
        after_cr = byte == b'\r';
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(row: &str) -> Vec<(usize, Range<usize>, Kind)> {
        flaws(row.as_bytes(), b',')
            .into_iter()
            .map(|flaw| (flaw.cell, flaw.span, flaw.kind))
            .collect()
    }

    #[test]
    fn what_has_one_meaning_has_no_flaw() {
        for row in [
            "",
            "\"\"",
            "\"a\"",
            "\"a,b\",c",
            "a,\"b \"\"c\"\"\",",
            "\"a\r\nb\"",
            "\"\"\"\"",
            "5\" pipe,b",
            " a,b \"c\"",
            "a, ,b",
        ] {
            assert_eq!(one(row), [], "{row:?}");
        }
    }

    #[test]
    fn each_flaw_is_found_with_its_cell() {
        assert_eq!(one("a,\"b,c"), [(1, 2..6, Kind::Open)]);
        assert_eq!(one("a,\"b,c\"\""), [(1, 2..8, Kind::Open)]);
        assert_eq!(one("\""), [(0, 0..1, Kind::Open)]);
        assert_eq!(one("\"a\"b\",c"), [(0, 0..5, Kind::TextAfter(2))]);
        assert_eq!(one("\"a\" ,c"), [(0, 0..4, Kind::TextAfter(2))]);
        assert_eq!(one("a,  \"b\""), [(1, 2..7, Kind::BlanksBefore)]);
        assert_eq!(
            one("\"a\"b, \"c\",\"d"),
            [
                (0, 0..4, Kind::TextAfter(2)),
                (1, 5..9, Kind::BlanksBefore),
                (2, 10..12, Kind::Open)
            ]
        );
    }

    #[test]
    fn a_tab_is_a_blank_unless_it_is_the_delimiter() {
        assert_eq!(one("a,\t\"b\"").len(), 1);
        assert_eq!(flaws(b"a\t\t\"b\"", b'\t'), []);
    }

    #[test]
    fn crlf_is_one_line_end() {
        for (bytes, ends) in [("", 0), ("\n", 1), ("\r", 1), ("\r\n", 1), ("\n\r", 2)] {
            assert_eq!(line_ends(bytes.as_bytes()), ends, "{bytes:?}");
        }
        assert_eq!(line_ends(b"a\r\r\nb\n\n"), 4);
    }
}
