//! Writing JSON straight into a byte buffer: a page of 500 people must cost next to nothing,
//! because the simulator shares its processor with the program under test.

use std::io::Write as _;

use serde_json::value::{RawValue, to_raw_value};

/// Appends to a buffer of JSON text. Commas are the caller's business.
pub(super) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    if value >= 10 {
        number(out, value / 10);
    }
    out.push(b'0' + (value % 10) as u8);
}

/// Appends a number with a fixed count of digits, zeros in front.
pub(super) fn padded(out: &mut Vec<u8>, value: u64, width: u32) {
    let mut divisor = 10u64.pow(width.saturating_sub(1));
    while divisor > 0 {
        out.push(b'0' + (value / divisor % 10) as u8);
        divisor /= 10;
    }
}

/// Appends a quoted string, escaping what JSON needs escaped.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    inner(out, text);
    out.push(b'"');
}

/// Appends the inside of a string, without the quotes.
pub(super) fn inner(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..at]);
        done = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => {
                // A Vec cannot refuse a write.
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.extend_from_slice(&bytes[done..]);
}

/// Appends `,"key":`, the key being known to need no escape.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends `,"key":"text"`.
pub(super) fn text_field(out: &mut Vec<u8>, name: &str, text: &str) {
    key(out, name);
    string(out, text);
}

/// A text as a JSON value.
pub(super) fn text_value(text: &str) -> Box<RawValue> {
    // A string cannot fail to be written.
    to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Appends `,"key":` and a value that is JSON already.
pub(super) fn raw_field(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    raw(out, value);
}

/// Appends `,"key":number`.
pub(super) fn number_field(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    number(out, value);
}

/// Appends an object; `fields` writes them with a comma before each.
pub(super) fn object(out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    fields(out);
    match out.get_mut(start) {
        Some(first) => *first = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Appends an array; `item` writes one item without a comma.
pub(super) fn array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, one) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        item(out, one);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_a_parser() {
        for text in ["", "plain", "a\"b\\c\nd\te\u{1}f", "Zoë 🦊"] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let mut out = Vec::new();
        number(&mut out, 0);
        number(&mut out, 90210);
        padded(&mut out, 7, 3);
        assert_eq!(out, b"090210007");
    }
}
