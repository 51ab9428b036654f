//! Decimal numbers as they are spelt, compared without rounding.
//!
//! `f64` would make neighbours of large identifiers equal. The crates for decimals either end at 28
//! digits or take `1e1000000000` at its word and build it; all that is needed here is to compare
//! two spellings, which takes neither memory nor arithmetic.

use std::cmp::Ordering;

/// A decimal number, borrowed from its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    /// `-`, `+` or nothing.
    pub sign: &'a str,
    /// The digits before the point, as written.
    pub whole: &'a str,
    /// The digits after the point, as written; `None` without a point.
    pub fraction: Option<&'a str>,
    /// `e` and what follows it, as written, or nothing.
    pub power: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// The number that a text spells: sign, digits, point, exponent. `None` for anything else, and
    /// for an exponent that nobody meant.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (sign, rest) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (fraction, rest) = digits(rest);
                (Some(fraction), rest)
            }
            None => (None, rest),
        };
        if whole.is_empty() && fraction.is_none_or(str::is_empty) {
            return None;
        }
        Some(Self {
            sign,
            whole,
            fraction,
            power: rest,
            exponent: if rest.is_empty() { 0 } else { exponent(rest)? },
        })
    }

    /// How many digits after the point it takes to say it.
    pub fn places(&self) -> i64 {
        self.last().map_or(0, |place| (-place).max(0))
    }

    /// The place of the first digit that is not zero: 0 for ones, 1 for tens, -1 for tenths. `None`
    /// for zero.
    pub fn first(&self) -> Option<i64> {
        let at = self.written().position(|digit| digit != b'0')?;
        Some(self.whole.len() as i64 - 1 - at as i64 + self.exponent)
    }

    /// The place of the last digit that is not zero.
    fn last(&self) -> Option<i64> {
        let written = self.whole.len() + self.fraction.map_or(0, str::len);
        let behind = self.written().rev().position(|digit| digit != b'0')?;
        let at = written - 1 - behind;
        Some(self.whole.len() as i64 - 1 - at as i64 + self.exponent)
    }

    fn written(&self) -> impl DoubleEndedIterator<Item = u8> {
        let fraction = self.fraction.unwrap_or_default();
        self.whole.bytes().chain(fraction.bytes())
    }

    /// How it compares with another number, exactly.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self.signum(), other.signum()) {
            (1, 1) => self.compare_size(other),
            (-1, -1) => other.compare_size(self),
            (mine, theirs) => mine.cmp(&theirs),
        }
    }

    fn signum(&self) -> i8 {
        match self.first() {
            None => 0,
            Some(_) if self.sign == "-" => -1,
            Some(_) => 1,
        }
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        let places = self.first().cmp(&other.first());
        if places.is_ne() {
            return places;
        }
        let mut mine = self.written().skip_while(|digit| *digit == b'0');
        let mut theirs = other.written().skip_while(|digit| *digit == b'0');
        loop {
            let (digit, other) = (mine.next(), theirs.next());
            if digit.is_none() && other.is_none() {
                return Ordering::Equal;
            }
            // The shorter one goes on with zeros.
            let ordering = digit.unwrap_or(b'0').cmp(&other.unwrap_or(b'0'));
            if ordering.is_ne() {
                return ordering;
            }
        }
    }
}

/// Splits leading digits off.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// What `e+12` says; `None` beyond nine digits, where sums of places could overflow.
fn exponent(power: &str) -> Option<i64> {
    let text = power.strip_prefix(['e', 'E'])?;
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = text.trim_start_matches('0');
    if significant.len() > 9 {
        return None;
    }
    let size: i64 = if significant.is_empty() {
        0
    } else {
        significant.parse().ok()?
    };
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal<'_> {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_and_what_only_looks_like_one() {
        for text in [
            "0", "-0", "+5", "1.5", ".5", "5.", "1e3", "1E-03", "-1.5e+0", "007",
        ] {
            assert!(Decimal::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            ".",
            "-",
            "+-1",
            "1,5",
            "1 000",
            "0x10",
            "1e",
            "e5",
            "1e+",
            "NaN",
            "inf",
            "1.2.3",
            "٣",
            "1_000",
            " 1",
            "1e9999999999",
            ".e1",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn comparison_is_exact() {
        use Ordering::{Equal, Greater, Less};
        for (one, two, expected) in [
            ("1", "1.0", Equal),
            ("100", "1e2", Equal),
            ("1e-2", "0.01", Equal),
            ("-0", "0", Equal),
            ("0e5", "0", Equal),
            ("007", "7", Equal),
            ("9007199254740993", "9007199254740992", Greater),
            ("0.1000000000000000055511151231257827", "0.1", Greater),
            ("-2", "1", Less),
            ("-2", "-1", Less),
            ("0", "-1", Greater),
            ("0.001", "0", Greater),
            ("99", "100", Less),
            ("1e999999999", "9e999999998", Greater),
            ("0.09", "0.1", Less),
        ] {
            assert_eq!(of(one).compare(&of(two)), expected, "{one} {two}");
            assert_eq!(of(two).compare(&of(one)), expected.reverse(), "{two} {one}");
        }
    }

    #[test]
    fn places_count_what_has_to_be_written() {
        for (text, places) in [
            ("1", 0),
            ("1.50", 1),
            ("1.05", 2),
            ("1.5e1", 0),
            ("1e-3", 3),
            ("100e-1", 0),
            ("0.000", 0),
            ("0e-9", 0),
            ("120e-2", 1),
        ] {
            assert_eq!(of(text).places(), places, "{text}");
        }
    }
}
