//! From Java's dialect of regular expressions to the one of `fancy-regex`, where the two read the
//! same characters differently.
//!
//! In Java `\d`, `\w`, `\s` and `\p{Alpha}` are ASCII, `\p{Punct}` has the symbols too, `\<` is a
//! character, `\h` is a space, and a hyphen beside `\w` in a class stands for itself. What has no
//! counterpart, or might mean two things, is named instead of being translated.

use std::iter::Peekable;
use std::str::Chars;

/// Java's classes by name, all ASCII.
const POSIX: [(&str, &str); 13] = [
    ("Lower", "a-z"),
    ("Upper", "A-Z"),
    ("ASCII", r"\x00-\x7F"),
    ("Alpha", "a-zA-Z"),
    ("Digit", "0-9"),
    ("Alnum", "a-zA-Z0-9"),
    ("Punct", r"!-/:-@\[-`{-\x7E"),
    ("Graph", r"!-\x7E"),
    ("Print", r"\x20-\x7E"),
    ("Blank", r"\x20\x09"),
    ("Cntrl", r"\x00-\x1F\x7F"),
    ("XDigit", "0-9a-fA-F"),
    ("Space", r"\x20\x09-\x0D"),
];

/// Translates an expression, or says what in it is not understood.
pub(super) fn translate(expression: &str) -> Result<String, String> {
    let mut reader = Reader {
        rest: expression.chars().peekable(),
        out: String::with_capacity(expression.len() + 16),
        depth: 0,
        after_class: false,
    };
    reader.read()?;
    Ok(reader.out)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    /// How many `[` are open.
    depth: usize,
    /// Whether the last thing read inside `[…]` was a class, after which a hyphen cannot be a
    /// range.
    after_class: bool,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            let after_class = std::mem::take(&mut self.after_class);
            match c {
                '\\' => self.escape()?,
                '[' => self.open()?,
                ']' if self.depth > 0 => {
                    self.depth -= 1;
                    self.after_class = self.depth > 0;
                    self.out.push(']');
                }
                '-' if self.depth > 0 => self.hyphen(after_class)?,
                // Twice it would be an operation on classes.
                '~' if self.depth > 0 => self.out.push_str(r"\~"),
                '(' if self.depth == 0 => self.group()?,
                other => self.out.push(other),
            }
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        self.depth += 1;
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        match self.rest.peek() {
            Some(']') => Err("a class that begins with ]".to_owned()),
            Some(':') if self.depth > 1 => Err("a class as [:alpha:]".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    fn hyphen(&mut self, after_class: bool) -> Result<(), String> {
        let mut ahead = self.rest.clone();
        let before_class = match (ahead.next(), ahead.next()) {
            (Some('-'), _) => return Err("two hyphens in a class".to_owned()),
            (Some('\\'), Some(next)) => {
                matches!(next, 'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'p' | 'P')
            }
            (next, _) => next == Some('['),
        };
        self.out.push_str(if after_class || before_class {
            r"\-"
        } else {
            "-"
        });
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return match self.rest.peek() {
                Some('*') => Err("(*".to_owned()),
                Some(_) | None => Ok(()),
            };
        }
        self.out.push('?');
        for c in self.rest.by_ref() {
            self.out.push(c);
            match c {
                ':' | '=' | '!' | '>' | '<' | ')' => return Ok(()),
                'i' | 'm' | 's' | '-' => {}
                other => return Err(format!("(?{other}")),
            }
        }
        Err("a ( that nothing closes".to_owned())
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(c) = self.rest.next() else {
            return Err(r"a \ at its end".to_owned());
        };
        match c {
            'd' => self.class(false, "0-9"),
            'D' => self.class(true, "0-9"),
            'w' => self.class(false, "a-zA-Z0-9_"),
            'W' => self.class(true, "a-zA-Z0-9_"),
            's' => self.class(false, r"\x20\x09-\x0D"),
            'S' => self.class(true, r"\x20\x09-\x0D"),
            'p' | 'P' => self.property(c == 'P')?,
            'u' => {
                let digits: String = self.rest.by_ref().take(4).collect();
                self.out.push_str(&format!(r"\x{{{digits}}}"));
            }
            'Q' => self.quoted(),
            'b' | 'B' | 'A' | 'z' | 'Z' | 'k' | '1'..='9' if self.depth == 0 => {
                self.out.extend(['\\', c]);
            }
            'a' => self.out.push_str(r"\x07"),
            'e' => self.out.push_str(r"\x1B"),
            'f' => self.out.push_str(r"\x0C"),
            'n' | 'r' | 't' | 'x' => self.out.extend(['\\', c]),
            other if other.is_ascii_alphanumeric() => return Err(format!(r"\{other}")),
            other => self.literal(other),
        }
        Ok(())
    }

    fn class(&mut self, negated: bool, ranges: &str) {
        self.after_class = self.depth > 0;
        let not = if negated { "^" } else { "" };
        self.out.push_str(&format!("[{not}{ranges}]"));
    }

    fn property(&mut self, negated: bool) -> Result<(), String> {
        let name: String = match self.rest.next() {
            Some('{') => self.rest.by_ref().take_while(|c| *c != '}').collect(),
            Some(letter) => letter.to_string(),
            None => return Err(r"a \p at its end".to_owned()),
        };
        if let Some((_, ranges)) = POSIX.iter().find(|(posix, _)| *posix == name) {
            self.class(negated, ranges);
        } else if name.starts_with("java") || name.starts_with("In") {
            return Err(format!(r"\p{{{name}}}"));
        } else {
            self.after_class = self.depth > 0;
            let letter = if negated { 'P' } else { 'p' };
            self.out.push_str(&format!(r"\{letter}{{{name}}}"));
        }
        Ok(())
    }

    /// What is between `\Q` and `\E` stands for itself.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                break;
            }
            self.literal(c);
        }
    }

    fn literal(&mut self, c: char) {
        // Escaped, these two would be the edges of a word.
        if c.is_ascii_punctuation() && c != '<' && c != '>' {
            self.out.push('\\');
        }
        self.out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn what_reads_the_same_stays() {
        for same in [
            "^[A-Z]{2}$",
            "(?=.*[0-9])(?!x)a++b*?",
            r"(?i)abc|d\.e\-f",
            r"(?<year>a)\k<year>(b)\2",
            "[a-z&&[^aeiou]]",
            "(?<=a)b(?<!c)(?>d)(?:e)",
            "[-a][a-]",
            r"\bö\b",
        ] {
            assert_eq!(translate(same).as_deref(), Ok(same));
        }
    }

    #[test]
    fn what_reads_differently_is_translated() {
        for (java, here) in [
            (r"\d+\W", "[0-9]+[^a-zA-Z0-9_]"),
            (r"[\w-.]", r"[[a-zA-Z0-9_]\-.]"),
            (r"[.-\d]", r"[.\-[0-9]]"),
            (r"\<a\>", "<a>"),
            (r"\p{Alpha}\P{Digit}\p{L}\pN", r"[a-zA-Z][^0-9]\p{L}\p{N}"),
            (r"\u00e9", r"\x{00e9}"),
            (r"\Qa.b\E.", r"a\.b."),
            ("[~~]", r"[\~\~]"),
        ] {
            assert_eq!(translate(java).as_deref(), Ok(here));
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (java, named) in [
            (r"\h", r"\h"),
            (r"a\R", r"\R"),
            ("(?x)a #", "(?x"),
            ("(?U)a", "(?U"),
            (r"\p{javaLowerCase}", r"\p{javaLowerCase}"),
            ("[+--]", "two hyphens in a class"),
            (r"a\", r"a \ at its end"),
            ("[]a]", "a class that begins with ]"),
            (r"[\b]", r"\b"),
        ] {
            assert_eq!(translate(java), Err(named.to_owned()), "{java}");
        }
    }
}
