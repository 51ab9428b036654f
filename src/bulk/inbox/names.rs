//! Names of files, which are data: whoever drops a file chooses them.

use std::ffi::OsStr;

/// What ends a name that is taken.
const ENDINGS: [&str; 3] = [".csv", ".tsv", ".txt"];

/// Bytes of a name without its ending, at most: file systems take 255, and we add a number and
/// `.results.csv`.
const LONGEST: usize = 200;

/// Whether a file of this name is meant for us. Programs write under a dot, or under `.part` and
/// `.tmp`, until they are done.
pub(super) fn is_wanted(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let lower = name.to_lowercase();
    !name.starts_with('.')
        && ENDINGS
            .iter()
            .any(|ending| lower.ends_with(ending) && lower.len() > ending.len())
}

/// The name under which a file is worked on: one that any terminal, log and table can show.
pub(super) fn plain(name: &OsStr) -> String {
    let name: String = name.to_string_lossy().chars().map(plain_sign).collect();
    let (stem, ending) = parts(&name);
    format!("{}{ending}", cut(stem))
}

/// A name as logs may show it.
pub(super) fn shown(name: &str) -> String {
    name.chars().map(plain_sign).collect()
}

/// What a sign is shown as: control characters, and those that turn the direction of what follows,
/// would make a name look like another.
fn plain_sign(sign: char) -> char {
    let turns =
        matches!(sign, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    if sign.is_control() || turns {
        '_'
    } else {
        sign
    }
}

/// A name and its ending, with the dot.
pub(super) fn parts(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(0) | None => (name, ""),
        Some(at) => name.split_at(at),
    }
}

fn cut(stem: &str) -> &str {
    &stem[..stem.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn only_files_that_are_meant_are_taken() {
        for name in [
            "a.csv",
            "A.CSV",
            "a b.tsv",
            "-rf.txt",
            "a.rejects.csv",
            "ü.csv",
        ] {
            assert!(is_wanted(OsStr::new(name)), "{name}");
        }
        for name in [
            ".csv",
            ".a.csv",
            "a.csv.part",
            "a.csv.tmp",
            "a.xlsx",
            "a",
            "a.csv~",
            "acsv",
        ] {
            assert!(!is_wanted(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_name_becomes_one_that_can_be_shown_and_lengthened() {
        assert_eq!(
            plain(OsStr::new("a\u{1b}[31m\nb\u{202e}vsc.csv")),
            "a_[31m_b_vsc.csv"
        );
        assert_eq!(plain(OsStr::from_bytes(b"a\xff.csv")), "a\u{fffd}.csv");
        let long = plain(OsStr::new(&format!("{}.csv", "ü".repeat(125))));
        assert_eq!(long, format!("{}.csv", "ü".repeat(100)));
    }

    #[test]
    fn an_ending_is_what_follows_the_last_dot() {
        assert_eq!(parts("a.b.csv"), ("a.b", ".csv"));
        assert_eq!(parts("a"), ("a", ""));
    }
}
