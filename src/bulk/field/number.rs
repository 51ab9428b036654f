//! Numbers: `number` and `range`.
//!
//! `range-step` is not looked at. Nothing says where its steps begin (at the start of the range, at
//! zero), whether the API minds, or that it is more than how far a slider moves; a refusal would
//! rest on a guess.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::decimal::Decimal;
use super::unfit::Unfit;

/// What the typed view of the mirror reads as a number ends here, so longer ones could be sent and
/// never be confirmed.
const MAX_BYTES: usize = 400;

/// The first digit of the largest double is at 10^308; what is beyond is infinite to most programs.
const MAX_PLACE: i64 = 307;

/// What a number has to keep to.
#[derive(Debug, Default)]
pub(super) struct Rules {
    from: Option<Box<str>>,
    to: Option<Box<str>>,
    places: Option<u8>,
}

impl Rules {
    /// Rules from what the schema says, and what could not be understood of it.
    pub fn new<'a>(
        from: Option<&'a str>,
        to: Option<&'a str>,
        places: Option<&'a str>,
        warn: &mut dyn FnMut(&str),
    ) -> Self {
        let mut bound = |text: Option<&'a str>, name: &str| -> Option<(Decimal<'a>, &'a str)> {
            let text = text.map(str::trim).filter(|text| !text.is_empty())?;
            let number = Decimal::parse(text);
            if number.is_none() {
                warn(&format!("its {name} is not a number and is not checked"));
            }
            Some((number?, text))
        };
        let (mut from, mut to) = (bound(from, "range-start"), bound(to, "range-end"));
        let precision = bound(places, "value-precision");
        if let (Some((start, _)), Some((end, _))) = (&from, &to)
            && start.compare(end).is_ge()
        {
            // Zero to zero is what a form leaves behind whose range nobody filled in; that no value
            // at all should fit is not what anybody wanted.
            warn("its range holds no numbers and is not checked");
            (from, to) = (None, None);
        }
        let places = precision.and_then(|(_, text)| {
            let places = text.strip_suffix(".0").unwrap_or(text).parse().ok();
            if places.is_none() {
                warn("its value-precision is not a count of digits and is not checked");
            }
            places
        });
        let kept = |bound: Option<(Decimal<'_>, &str)>| bound.map(|(_, text)| Box::from(text));
        Self {
            from: kept(from),
            to: kept(to),
            places,
        }
    }

    /// The number as JSON would spell it, with no more zeros behind it than its precision has room
    /// for.
    pub fn check<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Unfit> {
        if text.len() > MAX_BYTES {
            return Err(Unfit::because("is too long for a number"));
        }
        let Some(number) = Decimal::parse(text) else {
            return Err(Unfit::because("is not a number").hinting(hint(text)));
        };
        // The view reads up to three digits of exponent.
        let power = number.power.trim_start_matches(['e', 'E', '-', '+']);
        if power.len() > 3 || number.first().is_some_and(|place| place.abs() > MAX_PLACE) {
            return Err(Unfit::because(
                "is beyond what programs can hold as a number",
            ));
        }
        if self.is_out(self.from.as_deref(), &number, Ordering::Less) {
            return Err(Unfit::because(format!("is below its range ({self})")));
        }
        if self.is_out(self.to.as_deref(), &number, Ordering::Greater) {
            return Err(Unfit::because(format!("is above its range ({self})")));
        }
        if let Some(places) = self.places
            && number.places() > i64::from(places)
        {
            return Err(Unfit::because(match places {
                0 => "is not a whole number".to_owned(),
                1 => "has more than 1 digit after the point".to_owned(),
                many => format!("has more than {many} digits after the point"),
            }));
        }
        Ok(self.spell(text, &number))
    }

    fn is_out(&self, bound: Option<&str>, number: &Decimal<'_>, side: Ordering) -> bool {
        bound
            .and_then(Decimal::parse)
            .is_some_and(|bound| number.compare(&bound) == side)
    }

    fn spell<'a>(&self, text: &'a str, number: &Decimal<'_>) -> Cow<'a, str> {
        let whole = match number.whole.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        let fraction = number.fraction.unwrap_or_default();
        let kept = match self.places {
            // What is cut are zeros: anything else was refused.
            Some(places) if number.power.is_empty() => {
                &fraction[..fraction.len().min(places.into())]
            }
            Some(_) | None => fraction,
        };
        let is_spelt = number.sign != "+"
            && number.whole.len() == whole.len()
            && number.fraction.map(str::len) == (!kept.is_empty()).then_some(kept.len());
        if is_spelt {
            return Cow::Borrowed(text);
        }
        let sign = if number.sign == "-" { "-" } else { "" };
        let point = if kept.is_empty() { "" } else { "." };
        Cow::Owned(format!("{sign}{whole}{point}{kept}{}", number.power))
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{from} to {to}"),
            (Some(from), None) => write!(f, "{from} or more"),
            (None, Some(to)) => write!(f, "{to} or less"),
            (None, None) => f.write_str("any number"),
        }
    }
}

/// How a number would be written here that was written as people or spreadsheets do.
fn hint(text: &str) -> Option<String> {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '\'' && *c != '’')
        .map(|c| if c == '−' { '-' } else { c })
        .collect();
    let mut readings = Vec::new();
    let (comma, point) = (plain.rfind(','), plain.rfind('.'));
    match (comma, point) {
        (None, _) => readings.push(plain),
        (Some(comma), Some(point)) if comma > point => {
            readings.extend(grouped(&plain, '.', ','));
        }
        (Some(_), Some(_)) => readings.extend(grouped(&plain, ',', '.')),
        (Some(_), None) => {
            if plain.matches(',').count() == 1 {
                readings.push(plain.replace(',', "."));
            }
            readings.extend(grouped(&plain, ',', '.'));
        }
    }
    readings.retain(|reading| Decimal::parse(reading).is_some());
    (!readings.is_empty()).then(|| format!("write {}", readings.join(" or ")))
}

/// The number without the marks between its thousands, if they stand where such marks do.
fn grouped(text: &str, mark: char, point: char) -> Option<String> {
    let (whole, fraction) = match text.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut groups = whole.split(mark);
    groups
        .next()
        .filter(|first| !first.trim_start_matches(['-', '+']).is_empty())?;
    if !groups.all(|group| group.len() == 3) {
        return None;
    }
    let whole = whole.replace(mark, "");
    Some(match fraction {
        Some(fraction) => format!("{whole}.{fraction}"),
        None => whole,
    })
}

/// Whether two texts spell the same number, or are the same.
pub(super) fn is_same(one: &str, two: &str) -> bool {
    one == two
        || Decimal::parse(one)
            .zip(Decimal::parse(two))
            .is_some_and(|(one, two)| one.compare(&two).is_eq())
}
