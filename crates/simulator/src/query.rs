//! Query strings as a server reads them: pairs, percent-decoded, `+` as a space.

use percent_encoding::percent_decode_str;

/// The decoded parameters of a raw query.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

pub(super) fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

impl Query {
    pub(super) fn parse(raw: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        };
        Self(
            raw.split('&')
                .filter(|part| !part.is_empty())
                .map(pair)
                .collect(),
        )
    }

    /// The first parameter of this name; an empty value counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A whole number of at least one, or the text that is not.
    pub(super) fn count(&self, name: &str) -> Result<Option<u32>, String> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse::<u32>() {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(format!("{name} must be a whole number of at least 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse("a=1&since=2024-01-01T00%3A00%3A00Z&b+c=%2B&empty=&flag");
        assert_eq!(query.get("since"), Some("2024-01-01T00:00:00Z"));
        assert_eq!(query.get("b c"), Some("+"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.count("a"), Ok(Some(1)));
        assert!(Query::parse("a=0").count("a").is_err());
    }
}
