//! TOML files that people write: settings and jobs. Unknown keys are errors with a suggestion, and
//! each complaint says where it is.
//!
//! It knows nothing of what any key means.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// How alike two names must be for one to be suggested; found by trying usual slips: one letter
/// more, less or swapped.
const ALIKE: f64 = 0.8;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read at all.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or a value has the wrong type.
    #[error("{}, line {line}, column {column}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A key that means nothing.
    #[error("{}: unknown key `{key}`{}", .path.display(), suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
}

/// Reads a file; none when there is no such file.
///
/// # Errors
/// See [`Error`].
pub fn read<T: DeserializeOwned>(path: &Path, known: &[&'static str]) -> Result<Option<T>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, known).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Parses the text of a file. `known` are the keys it may have.
///
/// # Errors
/// See [`Error`].
pub fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    known: &[&'static str],
) -> Result<T, Error> {
    let table: toml::Table = toml::from_str(text).map_err(|error| malformed(path, text, &error))?;
    for key in table.keys() {
        if !known.contains(&key.as_str()) {
            let suggestion = closest(key, known);
            return Err(Error::UnknownKey {
                path: path.to_owned(),
                key: key.clone(),
                suggestion,
            });
        }
    }
    toml::from_str(text).map_err(|error| malformed(path, text, &error))
}

/// The known name that is most like this one, if any is.
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
    Error::Malformed {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
        // The message alone: the whole error would quote the line, and a settings file may hold a
        // secret.
        message: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Sample {
        rpp: Option<u64>,
    }

    fn parsed(text: &str) -> Result<Sample, Error> {
        parse(Path::new("x.toml"), text, &["rpp", "tenant"])
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        assert_eq!(
            parsed("tennant = 'news'").unwrap_err().to_string(),
            "x.toml: unknown key `tennant`; did you mean `tenant`?"
        );
        assert_eq!(
            parsed("zzz = 1").unwrap_err().to_string(),
            "x.toml: unknown key `zzz`"
        );
    }

    #[test]
    fn a_wrong_type_says_where_and_quotes_nothing() {
        let text = "tenant = 'hidden'\nrpp = 'many'";
        let message = parsed(text).unwrap_err().to_string();
        assert!(
            message.starts_with("x.toml, line 2, column 7: invalid type"),
            "{message}"
        );
        assert_eq!(parsed("rpp = 5").unwrap().rpp, Some(5));
    }

    #[test]
    fn a_missing_file_is_no_error() {
        assert!(
            read::<Sample>(Path::new("/nonexistent/x.toml"), &[])
                .unwrap()
                .is_none()
        );
    }
}
