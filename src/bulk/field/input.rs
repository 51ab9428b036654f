//! What a field takes, by its `input-type`.

use std::borrow::Cow;

use super::contact;
use super::moment::{self, Moment};
use super::number;
use super::options::Options;
use super::unfit::Unfit;

/// What a field takes, with the rules that go with it.
#[derive(Debug)]
pub(super) enum Input {
    /// Any text: also of a type that is not known here, or of a choice whose options are not
    /// understood.
    ///
    /// Line breaks stay, in a `text` or `hidden` field too: a form would not let them in, but
    /// nothing says that the API minds, people have such values, and an undo has to be able to
    /// write them again.
    Text,
    /// `number` and `range`.
    Number(number::Rules),
    /// `checkbox`; with what it offers if that is several things.
    Checkbox(Option<Options>),
    /// `select` and `radio`.
    Choice(Options),
    /// As 2026-11-21.
    Date,
    /// As 2026-11.
    Month,
    /// As 2026-W07.
    Week,
    /// As 10:00.
    Time,
    /// As 2026-11-21T10:00:00Z.
    DateTime,
    /// An e-mail address.
    Email,
    /// A web address.
    Url,
    /// A telephone number.
    Tel,
    /// As #1a2b3c.
    Color,
}

impl Input {
    /// The value as it is to be sent, or why it does not fit.
    pub fn check<'a>(&self, cell: &'a str) -> Result<Cow<'a, str>, Unfit> {
        match self {
            Self::Text if cell.contains('\0') => Err(Unfit::because(
                "holds a NUL character, which the mirror cannot store",
            )),
            Self::Text => Ok(Cow::Borrowed(cell)),
            Self::Choice(options) => options.check(cell).map(|()| Cow::Borrowed(cell)),
            Self::Number(rules) => rules.check(trimmed(cell)?),
            Self::Checkbox(None) => check_boolean(trimmed(cell)?).map(Cow::Borrowed),
            Self::Checkbox(Some(options)) => check_one_of(options, cell).map(Cow::Borrowed),
            Self::Date => check_with(moment::check_date, cell),
            Self::Month => check_with(moment::check_month, cell),
            Self::Week => check_with(moment::check_week, cell),
            Self::Time => check_with(moment::check_time, cell),
            Self::DateTime => check_with(moment::check_datetime, cell),
            Self::Email => check_with(contact::check_email, cell),
            Self::Url => check_with(contact::check_url, cell),
            Self::Tel => check_with(contact::check_tel, cell),
            Self::Color => check_with(contact::check_color, cell),
        }
    }

    /// Whether two texts say the same, neither of them empty.
    pub fn is_same(&self, stored: &str, text: &str) -> bool {
        match self {
            Self::Text | Self::Choice(_) => stored == text,
            Self::Number(_) => number::is_same(stored.trim(), text.trim()),
            Self::Checkbox(_) => match (boolean(stored.trim()), boolean(text.trim())) {
                (Some(stored), Some(text)) => stored == text,
                (Some(_) | None, Some(_) | None) => stored == text,
            },
            Self::DateTime => {
                let instant = |text| Moment::parse(text).and_then(|moment| moment.instant());
                let (stored, text) = (stored.trim(), text.trim());
                stored == text
                    || instant(stored).is_some_and(|stored| instant(text) == Some(stored))
            }
            Self::Date
            | Self::Month
            | Self::Week
            | Self::Time
            | Self::Email
            | Self::Url
            | Self::Tel
            | Self::Color => stored.trim() == text.trim(),
        }
    }
}

fn check_with(check: fn(&str) -> Result<(), Unfit>, cell: &str) -> Result<Cow<'_, str>, Unfit> {
    let text = trimmed(cell)?;
    check(text).map(|()| Cow::Borrowed(text))
}

/// The cell without the spaces around it, which is something.
fn trimmed(cell: &str) -> Result<&str, Unfit> {
    match cell.trim() {
        "" => Err(Unfit::because("holds nothing but spaces")),
        text => Ok(text),
    }
}

/// What a text answers, in any case: spreadsheets write TRUE.
pub(super) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn spelt(answer: bool) -> &'static str {
    if answer { "true" } else { "false" }
}

fn check_boolean(text: &str) -> Result<&'static str, Unfit> {
    boolean(text).map(spelt).ok_or_else(|| {
        let meant = match text.to_lowercase().as_str() {
            "yes" | "y" | "on" | "1" | "ja" | "j" | "wahr" | "vrai" | "oui" | "x" => Some(true),
            "no" | "n" | "off" | "0" | "nein" | "falsch" | "faux" | "non" => Some(false),
            _ => None,
        };
        Unfit::because("is neither true nor false")
            .hinting(meant.map(|answer| format!("write {}", spelt(answer))))
    })
}

/// True, false, or one option. Of several at once nothing says how they would stand in a text, so
/// none is invented here.
fn check_one_of<'a>(options: &Options, cell: &'a str) -> Result<&'a str, Unfit> {
    if options.has(cell) {
        return Ok(cell);
    }
    match boolean(cell.trim()) {
        Some(answer) => Ok(spelt(answer)),
        None => options.check(cell).map(|()| cell),
    }
}
