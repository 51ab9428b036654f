//! Days, months, weeks, times of day and instants.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};

use super::unfit::Unfit;

/// A day as 2026-11-21; from the year 1, as most programs know no year zero.
pub(super) fn date(text: &str) -> Option<NaiveDate> {
    let [a, b, c, d, b'-', e, f, b'-', g, h] = *text.as_bytes() else {
        return None;
    };
    let year = number(&[a, b, c, d])?;
    if year == 0 {
        return None;
    }
    NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        number(&[e, f])?,
        number(&[g, h])?,
    )
}

/// A day, or why not.
pub(super) fn check_date(text: &str) -> Result<(), Unfit> {
    if date(text).is_some() {
        return Ok(());
    }
    let reason = if is_shaped(text, "0000-00-00") {
        "is a day that never was"
    } else {
        "is not a day as 2026-11-21"
    };
    Err(Unfit::because(reason).hinting(day_hint(text)))
}

/// A month as 2026-11, or why not.
pub(super) fn check_month(text: &str) -> Result<(), Unfit> {
    if let [a, b, c, d, b'-', e, f] = *text.as_bytes()
        && number(&[a, b, c, d]).is_some_and(|year| year > 0)
        && number(&[e, f]).is_some_and(|month| (1..=12).contains(&month))
    {
        return Ok(());
    }
    let hint = date(text)
        .map(|day| day.format("write %Y-%m").to_string())
        .or_else(|| {
            // 11/2026, 11.2026, 2026/11
            let (one, two) = text.split_once(['.', '/', '-'])?;
            let (month, year) = if one.len() == 4 {
                (two, one)
            } else {
                (one, two)
            };
            let month: u32 = short(month)?;
            let year = (year.len() == 4).then(|| short(year))??;
            ((1..=12).contains(&month) && year > 0).then(|| format!("write {year:04}-{month:02}"))
        });
    Err(Unfit::because("is not a month as 2026-11").hinting(hint))
}

/// A week as 2026-W07, one that the year has by ISO 8601, or why not.
pub(super) fn check_week(text: &str) -> Result<(), Unfit> {
    let (year, week) = match *text.as_bytes() {
        [a, b, c, d, b'-', b'W', e, f] => (number(&[a, b, c, d]), number(&[e, f])),
        _ => (None, None),
    };
    let (Some(year), Some(week)) = (year, week) else {
        let hint = text
            .split_once("-W")
            .or_else(|| text.split_once("-w"))
            .or_else(|| text.split_once('W'));
        let hint = hint.and_then(|(year, week)| {
            let (year, week) = ((year.len() == 4).then(|| short(year))??, short(week)?);
            is_week(year, week).then(|| format!("write {year:04}-W{week:02}"))
        });
        return Err(Unfit::because("is not a week as 2026-W07").hinting(hint));
    };
    if is_week(year, week) {
        Ok(())
    } else {
        Err(Unfit::because("is a week that its year does not have"))
    }
}

fn is_week(year: u32, week: u32) -> bool {
    i32::try_from(year).is_ok_and(|year| {
        year > 0 && NaiveDate::from_isoywd_opt(year, week, Weekday::Mon).is_some()
    })
}

/// A time of day as 10:00, 10:00:30 or 10:00:30.5, to the nanosecond.
pub(super) fn time(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let (hour, minute, second) = match (clock.as_bytes(), fraction) {
        (&[a, b, b':', c, d], None) => (number(&[a, b])?, number(&[c, d])?, 0),
        (&[a, b, b':', c, d, b':', e, f], _) => {
            (number(&[a, b])?, number(&[c, d])?, number(&[e, f])?)
        }
        (_, Some(_) | None) => return None,
    };
    let nanos = match fraction {
        None => 0,
        Some(digits) if (1..=9).contains(&digits.len()) => {
            number(digits.as_bytes())? * 10_u32.pow(9 - digits.len() as u32)
        }
        Some(_) => return None,
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
}

/// A time of day, or why not.
pub(super) fn check_time(text: &str) -> Result<(), Unfit> {
    if time(text).is_some() {
        return Ok(());
    }
    let padded = format!("0{text}");
    let hint = time(&padded).map(|_| format!("write {padded}"));
    Err(Unfit::because("is not a time of day as 10:00 or 10:00:30").hinting(hint))
}

/// A day and a time of day, with or without what its zone is ahead of UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    local: NaiveDateTime,
    ahead: Option<TimeDelta>,
}

impl Moment {
    /// As 2026-11-21T10:00:00Z; a space may stand for the T, seconds and zone may be left out.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (clock, ahead) = match rest.find(['Z', 'z', '+', '-']) {
            Some(at) => (&rest[..at], Some(zone(&rest[at..])?)),
            None => (rest, None),
        };
        Some(Self {
            local: date(day)?.and_time(time(clock)?),
            ahead,
        })
    }

    /// The instant; `None` where no zone is said, as any would be a guess.
    pub fn instant(&self) -> Option<NaiveDateTime> {
        self.local.checked_sub_signed(self.ahead?)
    }
}

/// `Z`, `+01`, `+0100` or `+01:00`; up to the fifteen hours that Postgres reads.
fn zone(text: &str) -> Option<TimeDelta> {
    let (hours, minutes) = match *text.as_bytes() {
        [b'Z' | b'z'] => return Some(TimeDelta::zero()),
        [_, a, b] => (number(&[a, b])?, 0),
        [_, a, b, c, d] | [_, a, b, b':', c, d] => (number(&[a, b])?, number(&[c, d])?),
        _ => return None,
    };
    if hours > 15 || minutes > 59 {
        return None;
    }
    let ahead = i64::from(hours * 60 + minutes);
    TimeDelta::try_minutes(if text.starts_with('-') { -ahead } else { ahead })
}

/// An instant, or why not.
pub(super) fn check_datetime(text: &str) -> Result<(), Unfit> {
    if Moment::parse(text).is_some() {
        return Ok(());
    }
    let day = text.get(..10).filter(|day| is_shaped(day, "0000-00-00"));
    let (reason, hint) = match day {
        Some(day) if date(day).is_none() => ("is on a day that never was", None),
        Some(day) if day.len() == text.len() => (
            "is a day without a time",
            Some(format!("write {day}T00:00:00 for its midnight")),
        ),
        Some(_) | None => ("is not an instant as 2026-11-21T10:00:00Z", None),
    };
    Err(Unfit::because(reason).hinting(hint))
}

/// How a day would be written here that was written as people or spreadsheets do.
fn day_hint(text: &str) -> Option<String> {
    let day = text.split([' ', 'T']).next()?;
    let mark = ['.', '/', '-']
        .into_iter()
        .find(|mark| day.contains(*mark))?;
    let mut parts = day.split(mark);
    let (one, two, three) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let written = |year: &str, month: &str, day: &str| {
        let year = (year.len() == 4).then(|| short(year))??;
        let (month, day): (u32, u32) = (short(month)?, short(day)?);
        let text = format!("{year:04}-{month:02}-{day:02}");
        date(&text).map(|_| text)
    };
    if one.len() == 4 {
        return written(one, two, three).map(|day| format!("write {day}"));
    }
    let (european, american) = (written(three, two, one), written(three, one, two));
    match (european, american) {
        // Points are written by people who put the day first; with slashes and hyphens it depends
        // on whom one asks.
        (Some(day), _) if mark == '.' => Some(format!("write {day}")),
        (Some(one), Some(two)) if one != two => Some(format!("write {one} or {two}")),
        (Some(day), _) | (None, Some(day)) => Some(format!("write {day}")),
        (None, None) => None,
    }
}

/// Whether a text has digits where the shape has zeros, and the shape's own characters elsewhere.
fn is_shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, wanted)| byte == wanted || wanted == b'0' && byte.is_ascii_digit())
}

/// The number that up to nine digits say.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// The number that one to four digits say.
fn short(text: &str) -> Option<u32> {
    (1..=4)
        .contains(&text.len())
        .then(|| number(text.as_bytes()))?
}
