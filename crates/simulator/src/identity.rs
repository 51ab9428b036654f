//! The identifiers of generated people, made so that they can be turned back into an index: a
//! lookup then needs no table, however large the tenant.

use super::json;
use super::mix::{Choices, Purpose, draw};
use super::names;

/// How many people are planted: the first indices of every tenant.
pub const PLANTED: u32 = 5;
/// E-mail addresses of the planted people, for tests that search logs for personal data.
pub const PLANTED_EMAILS: [&str; PLANTED as usize] = [
    "planted-0@private.example",
    "planted-1@private.example",
    "planted-2@private.example",
    "planted-3@private.example",
    "planted-4@private.example",
];
/// Telephone numbers of the planted people; nobody else has one in this range.
pub const PLANTED_PHONES: [&str; PLANTED as usize] = [
    "+44 7700 900000",
    "+44 7700 900001",
    "+44 7700 900002",
    "+44 7700 900003",
    "+44 7700 900004",
];

pub(super) const NODE_BITS: u64 = (1 << 48) - 1;
/// Odd, so that multiplying by it is a bijection on 48 bits.
pub(super) const SPREAD: u64 = 0x9E37_79B9_7F4B;

/// The inverse of [`SPREAD`] modulo 2^48, by Newton's method: each step doubles the correct bits.
pub(super) const fn unspread() -> u64 {
    let mut inverse = SPREAD;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(SPREAD.wrapping_mul(inverse))) & NODE_BITS;
        step += 1;
    }
    inverse
}

/// What the index is hidden behind, so that even the first person's id looks random.
fn veil(seed: u64) -> u64 {
    draw(seed, Purpose::UserId, u64::MAX)
}

/// The first half of a user id as a number; ids sort as these do.
pub(super) fn sort_key(seed: u64, index: u32) -> u64 {
    (draw(seed, Purpose::UserId, u64::from(index)) & !0xF000) | 0x4000
}

fn hex_digits(out: &mut Vec<u8>, value: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (place * 4) & 0xF) as usize]);
    }
}

/// Appends a UUID of two halves, unquoted.
pub(super) fn uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    hex_digits(out, high >> 32, 8);
    out.push(b'-');
    hex_digits(out, high >> 16 & 0xFFFF, 4);
    out.push(b'-');
    hex_digits(out, high & 0xFFFF, 4);
    out.push(b'-');
    hex_digits(out, low >> 48 & 0x3FFF | 0x8000, 4);
    out.push(b'-');
    hex_digits(out, low & NODE_BITS, 12);
}

/// Appends a person's UUID, unquoted. Its last group is the index in disguise.
pub(super) fn user_id(out: &mut Vec<u8>, seed: u64, index: u32) {
    let high = sort_key(seed, index);
    let node = (u64::from(index).wrapping_mul(SPREAD) ^ veil(seed)) & NODE_BITS;
    uuid(out, high, high.rotate_left(17) & !NODE_BITS | node);
}

/// The UUID of a person as text.
pub(super) fn user_id_text(seed: u64, index: u32) -> String {
    let mut out = Vec::with_capacity(36);
    user_id(&mut out, seed, index);
    String::from_utf8_lossy(&out).into_owned()
}

/// The index behind a UUID, if this tenant made it.
pub(super) fn index_of_user_id(seed: u64, id: &str) -> Option<u32> {
    let node = u64::from_str_radix(id.get(24..36)?, 16).ok()?;
    let index = (node ^ veil(seed) & NODE_BITS).wrapping_mul(unspread()) & NODE_BITS;
    let index = u32::try_from(index).ok()?;
    (user_id_text(seed, index) == id).then_some(index)
}

/// First and last name of a person.
pub(super) fn names(seed: u64, index: u32) -> (&'static str, &'static str, Choices) {
    let mut choices = Choices::new(seed, Purpose::Person, u64::from(index));
    let first = choices.pick(names::FIRST);
    let last = choices.pick(names::LAST);
    (first, last, choices)
}

fn letters(out: &mut Vec<u8>, name: &str) {
    let ascii = name
        .bytes()
        .filter(u8::is_ascii_alphabetic)
        .map(|b| b.to_ascii_lowercase());
    out.extend(ascii);
}

/// Appends an e-mail address, unquoted; it needs no escape.
pub(super) fn email(out: &mut Vec<u8>, seed: u64, index: u32) {
    if let Some(planted) = PLANTED_EMAILS.get(index as usize) {
        return json::raw(out, planted);
    }
    let (first, last, _) = names(seed, index);
    letters(out, first);
    letters(out, last);
    out.push(b'.');
    json::number(out, u64::from(index));
    out.push(b'@');
    json::raw(out, names::DOMAINS[index as usize % names::DOMAINS.len()]);
}

/// Appends a username, unquoted; it needs no escape.
pub(super) fn username(out: &mut Vec<u8>, seed: u64, index: u32) {
    let (first, _, _) = names(seed, index);
    json::raw(out, "reader_");
    letters(out, first);
    json::number(out, u64::from(index));
}

/// The index a generated e-mail address or username would belong to; whoever asks must compare with
/// the person.
pub(super) fn index_in_identifier(text: &str) -> Option<u32> {
    if let Some(planted) = PLANTED_EMAILS.iter().position(|email| *email == text) {
        return u32::try_from(planted).ok();
    }
    let local = text.split('@').next()?;
    let digits = local.len() - local.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    local.get(local.len() - digits..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_uuids_that_lead_back_and_sort_by_their_key() {
        let mut ids: Vec<(u64, String)> = Vec::new();
        for index in (0..5000).chain([u32::MAX >> 1]) {
            let id = user_id_text(9, index);
            assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);
            assert_eq!(index_of_user_id(9, &id), Some(index));
            assert_eq!(index_of_user_id(10, &id), None);
            ids.push((sort_key(9, index), id));
        }
        ids.sort();
        assert!(ids.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert_eq!(index_of_user_id(9, "nobody"), None);
    }

    #[test]
    fn identifiers_lead_back() {
        for index in [0, 4, 5, 77, 123_456] {
            let mut out = Vec::new();
            email(&mut out, 9, index);
            assert_eq!(
                index_in_identifier(std::str::from_utf8(&out).unwrap()),
                Some(index)
            );
        }
        let mut out = Vec::new();
        username(&mut out, 9, 77);
        assert_eq!(
            index_in_identifier(std::str::from_utf8(&out).unwrap()),
            Some(77)
        );
    }
}
