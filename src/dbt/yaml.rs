//! YAML as dbt reads it: indented lines, and texts that stay what they are.

use std::fmt::{Display, Write};

/// A text that is written line by line.
#[derive(Debug, Default)]
pub struct Yaml(String);

impl Yaml {
    /// Begins with a comment.
    pub fn commented(comment: &str) -> Self {
        Self(format!("# {comment}\n"))
    }

    /// A line, so many steps in.
    pub fn line(&mut self, depth: usize, text: impl Display) {
        for _ in 0..depth {
            self.0.push_str("  ");
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.0
    }
}

/// A text of ours or of the tenant's, quoted. dbt runs templates in it, so what would begin one is
/// taken apart; characters that YAML refuses become blanks.
pub fn text(text: &str) -> String {
    let mut shown = String::from("\"");
    let mut before = ' ';
    for c in text.chars() {
        if before == '{' && matches!(c, '{' | '%' | '#') {
            shown.push(' ');
        }
        before = c;
        match c {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}' => shown.push(' '),
            c if c.is_control() => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_template_or_ends_its_quotes() {
        assert_eq!(
            text("a \"b\" \\ {{ env_var('X') }} {{{%{#\n\u{7f}ü🦊"),
            r#""a \"b\" \\ { { env_var('X') }} { { { %{ #  ü🦊""#
        );
    }
}
