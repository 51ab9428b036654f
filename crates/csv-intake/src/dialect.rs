//! What stands between the cells.

/// What is looked for, the most usual first. Excel writes `;` where the comma is the decimal sign.
const CANDIDATES: [u8; 3] = [b',', b';', b'\t'];

/// Reads the delimiter that an operator gives: a sign, or the word for one of the usual.
///
/// # Errors
/// A sentence for the operator.
pub fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"comma" => Ok(b','),
        b"semicolon" => Ok(b';'),
        b"tab" | b"\\t" => Ok(b'\t'),
        [one] if usable(*one) => Ok(*one),
        [..] => Err("write comma, semicolon, tab or another ASCII sign".into()),
    }
}

/// Whether cells can be told apart by it: quotes, line ends and what names are made of are part of
/// a cell, and what is not ASCII is part of a character.
pub(super) fn usable(delimiter: u8) -> bool {
    delimiter == b'\t'
        || (delimiter.is_ascii_punctuation() && !matches!(delimiter, b'"' | b'\'' | b'_'))
}

/// The line `sep=;` that Excel writes and understands above the header: the delimiter, and how many
/// bytes the line has without its end.
pub(super) fn announced(start: &[u8]) -> Option<(u8, usize)> {
    let (word, rest) = start.split_at_checked(4)?;
    match rest {
        [delimiter, b'\r' | b'\n', ..]
            if word.eq_ignore_ascii_case(b"sep=") && usable(*delimiter) =>
        {
            Some((*delimiter, 5))
        }
        [..] => None,
    }
}

/// The candidate that the header, the first line with anything in it, has most of outside of
/// quotes; a comma if it has none.
pub(super) fn found(start: &[u8]) -> u8 {
    let mut counts = [0_usize; CANDIDATES.len()];
    let mut begun = false;
    let mut at_start_of_cell = true;
    let mut quoted = false;
    for &byte in start {
        let candidate = CANDIDATES.iter().position(|&one| one == byte);
        match byte {
            // A doubled quote closes and opens.
            b'"' if quoted || at_start_of_cell => {
                quoted = !quoted;
                begun = true;
                // What opens again after a closing quote is its other half.
                at_start_of_cell = !quoted;
                continue;
            }
            _ if quoted => continue,
            b'\r' | b'\n' if begun => break,
            b'\r' | b'\n' => counts = [0; CANDIDATES.len()],
            b' ' => continue,
            _ => begun |= candidate.is_none(),
        }
        if let Some(candidate) = candidate {
            counts[candidate] += 1;
        }
        at_start_of_cell = candidate.is_some() || matches!(byte, b'\r' | b'\n');
    }
    // Of equals the first.
    let mut best = 0;
    for candidate in 1..CANDIDATES.len() {
        if counts[candidate] > counts[best] {
            best = candidate;
        }
    }
    CANDIDATES[best]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_what_the_header_has_most_of_outside_of_quotes() {
        for (start, delimiter) in [
            ("", b','),
            ("user_id", b','),
            ("user_id,a;b,c\n", b','),
            ("user_id;a;b\n1,2,3,4,5", b';'),
            ("user_id;a;b\r1,2,3,4,5", b';'),
            ("user_id\ta", b'\t'),
            ("\"a,b,c\";user_id", b';'),
            ("\"a \"\"x,y,z\"\" b\";user_id", b';'),
            ("\"a,\nb,c\";user_id", b';'),
            ("5\";a,b,c", b','),
            ("5\",a,b;c;d;e", b';'),
            ("\n\r\n;;;;\n,,,,,\n user_id;a\n", b';'),
        ] {
            assert_eq!(found(start.as_bytes()), delimiter, "{start:?}");
        }
    }

    #[test]
    fn the_line_of_excel_is_seen() {
        assert_eq!(announced(b"sep=;\r\nuser_id"), Some((b';', 5)));
        assert_eq!(announced(b"SEP=|\nuser_id"), Some((b'|', 5)));
        for other in [&b""[..], b"sep=", b"sep=;", b"sep=a\n", b"sep=,x\n"] {
            assert_eq!(announced(other), None);
        }
    }

    #[test]
    fn an_operator_names_a_delimiter() {
        for (text, byte) in [
            (",", b','),
            (";", b';'),
            ("comma", b','),
            ("semicolon", b';'),
            ("tab", b'\t'),
            ("\\t", b'\t'),
            ("\t", b'\t'),
            ("|", b'|'),
        ] {
            assert_eq!(delimiter(text), Ok(byte));
        }
        for text in ["", "\"", "\n", "a", "1", "ü", ",,", " ", "'", "_"] {
            assert!(delimiter(text).is_err(), "{text:?}");
        }
    }
}
