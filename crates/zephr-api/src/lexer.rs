//! JSON token by token, checked on the way. What is no JSON is none: whoever reads gives up then,
//! and asks serde_json where it went wrong.

use serde_json::value::RawValue;

/// Reads a text from its beginning.
#[derive(Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether there is a byte in it anywhere that a string may not hold. Usually there is none,
    /// and no string has to be searched for one.
    holds_control: bool,
}

/// A string as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a> {
    /// With its quotes.
    pub raw: &'a str,
    /// Without them, where nothing in it is escaped.
    pub plain: Option<&'a str>,
}

impl<'a> Lexer<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        // Without an early end this is done for many bytes at a time.
        let holds_control = text
            .bytes()
            .fold(false, |found, byte| found | is_control(byte));
        Self {
            text,
            at: 0,
            holds_control,
        }
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// How many bytes of the text were read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The first byte that is no white space, which was not read yet.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Reads the first byte that is no white space.
    pub fn next_byte(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Reads this byte, and nothing where another one comes.
    pub fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Reads a string.
    pub fn string(&mut self) -> Option<Quoted<'a>> {
        self.take(b'"')?;
        let (begin, bytes) = (self.at, self.text.as_bytes());
        let mut end = begin;
        let mut is_plain = true;
        loop {
            let length = memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
            let piece = &bytes[end..end + length];
            if self.holds_control && piece.iter().copied().any(is_control) {
                return None;
            }
            end += length;
            if bytes[end] == b'"' {
                break;
            }
            is_plain = false;
            end += escape(bytes.get(end + 1..)?)?;
        }
        self.at = end + 1;
        Some(Quoted {
            raw: self.text.get(begin - 1..=end)?,
            plain: if is_plain {
                self.text.get(begin..end)
            } else {
                None
            },
        })
    }

    /// Reads a number.
    pub fn number(&mut self) -> Option<&'a str> {
        self.peek()?;
        let bytes = &self.text.as_bytes()[self.at..];
        let digits = |from: usize| {
            let digits = bytes.get(from..).unwrap_or_default().iter();
            digits.take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut end = usize::from(bytes[0] == b'-');
        let whole = digits(end);
        if whole == 0 || (whole > 1 && bytes[end] == b'0') {
            return None;
        }
        end += whole;
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return None;
            }
            end += 1 + fraction;
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            end += 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            if exponent == 0 {
                return None;
            }
            end += exponent;
        }
        let number = self.text.get(self.at..self.at + end)?;
        self.at += end;
        Some(number)
    }

    /// Reads `true`, `false` or `null`.
    pub fn word(&mut self) -> Option<&'a str> {
        self.peek()?;
        let rest = &self.text.as_bytes()[self.at..];
        let word = ["true", "false", "null"]
            .into_iter()
            .find(|word| rest.starts_with(word.as_bytes()))?;
        self.at += word.len();
        Some(word)
    }

    /// Reads any value at all.
    pub fn value(&mut self) -> Option<&'a RawValue> {
        self.peek()?;
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }
}

/// What a string may hold only in an escape (RFC 8259, section 7).
fn is_control(byte: u8) -> bool {
    byte < 0x20
}

/// How long an escape is, from the byte behind its backslash, and with that.
fn escape(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = bytes.get(1..5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a value of simple parts, as those do who read token by token.
    fn read(lexer: &mut Lexer<'_>) -> Option<()> {
        match lexer.peek()? {
            b'"' => lexer.string().map(|_| ()),
            b't' | b'f' | b'n' => lexer.word().map(|_| ()),
            _ => lexer.number().map(|_| ()),
        }
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in [
            "0",
            "-0",
            "-",
            "01",
            "-01",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e5",
            "1E+05",
            "1e-",
            "1.0e-7",
            "+1",
            "0x1",
            "1 ",
            " 7",
            "NaN",
            "true",
            "tru",
            "truee",
            "false",
            "null",
            "nul",
            "Null",
            r#""""#,
            r#"""#,
            r#""a"#,
            r#""a\"#,
            r#""\""#,
            r#""\\""#,
            r#""\\\""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u12ab""#,
            r#""\u12ag""#,
            r#""\ud800""#,
            r#""\/\b\f\n\r\t""#,
            "\"a\nb\"",
            "\"a\u{7f}b\"",
            "\"\u{0}\"",
            "\"é\\né\"",
            "\"é",
            "\"\\é\"",
            "\"\\u00é\"",
            "",
            " ",
            "\u{feff}1",
        ] {
            let mut lexer = Lexer::new(text);
            let is_read = read(&mut lexer).is_some() && lexer.peek().is_none();
            let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
            assert_eq!(is_read, is_json, "{text:?}");
        }
    }

    #[test]
    fn a_value_ends_where_it_ends() {
        let mut lexer = Lexer::new(" {\"a\": [1, 2] } , 12, 3");
        assert_eq!(lexer.value().map(RawValue::get), Some("{\"a\": [1, 2] }"));
        assert_eq!(lexer.take(b','), Some(()));
        assert_eq!(lexer.value().map(RawValue::get), Some("12"));
        assert_eq!(lexer.take(b'}'), None);
        assert_eq!(lexer.take(b','), Some(()));
        assert_eq!(lexer.value().map(RawValue::get), Some("3"));
        assert!(lexer.value().is_none());
    }
}
