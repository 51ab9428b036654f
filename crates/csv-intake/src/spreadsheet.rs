//! Cells that a spreadsheet would run, made harmless and back.
//!
//! A cell that begins like a formula is one to Excel, LibreOffice and Google Sheets, also when it
//! stands in quotes; a `'` in front makes it text. So that this can be undone, a cell that begins
//! with `'` gets one more. Undoing is right only for what was escaped: an apostrophe in a file of
//! another origin is part of the text.

/// Whether a spreadsheet could run what begins like this. Also the full-width forms, which some
/// take for the ASCII ones; a tab or carriage return is skipped before a formula is looked for.
fn runs(first: char) -> bool {
    matches!(
        first,
        '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠'
    )
}

/// Whether a cell has to be written with a `'` in front.
pub(super) fn needs_escape(cell: &str) -> bool {
    cell.chars()
        .next()
        .is_some_and(|first| first == '\'' || runs(first))
}

/// What the cell was before it was escaped.
pub(super) fn undo(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if needs_escape(rest) => rest,
        Some(_) | None => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(cell: &str) -> String {
        let quote = if needs_escape(cell) { "'" } else { "" };
        format!("{quote}{cell}")
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_escaped_and_comes_back() {
        for (plain, safe) in [
            ("=1+1", "'=1+1"),
            ("+49 30", "'+49 30"),
            ("-5", "'-5"),
            ("@home", "'@home"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠1", "'＠1"),
            ("'", "''"),
            ("'t Hooft", "''t Hooft"),
            ("'=1", "''=1"),
            ("''=1", "'''=1"),
            ("", ""),
            ("a=1", "a=1"),
            (" =1", " =1"),
        ] {
            assert_eq!(escaped(plain), safe);
            assert_eq!(undo(safe), plain);
        }
    }

    #[test]
    fn an_apostrophe_that_no_escape_made_stays() {
        assert_eq!(undo("'s Gravenhage"), "'s Gravenhage");
        assert_eq!(undo("'"), "'");
    }
}
