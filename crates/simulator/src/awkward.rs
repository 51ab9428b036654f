//! People whose data breaks naive readers: what Postgres cannot hold, what parsers choke on, what
//! the reference does not promise (contract 3 "Nulls and absence", 5.1 traps, 6).

use super::mix::{Choices, Purpose, draw};

/// One way to be awkward. A person has at most one, fixed by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awkward {
    /// `\u0000` inside attribute values.
    NulInAttribute,
    /// `\u0000` inside the username.
    NulInUsername,
    /// A surrogate escape without its partner.
    LoneSurrogate,
    /// An emoji as raw UTF-8.
    EmojiRaw,
    /// An emoji as an escaped surrogate pair.
    EmojiEscaped,
    /// A string of 100 KB.
    HugeString,
    /// Integers over 2^53 and over 2^64.
    BigInteger,
    /// A number no double holds.
    HugeExponent,
    /// More decimals than a double keeps.
    LongDecimal,
    /// Identifiers without an e-mail address.
    NoIdentifier,
    /// A username instead of an e-mail address.
    UsernameOnly,
    /// No `user_id`.
    NoUserId,
    /// `user_id` is null.
    NullUserId,
    /// `user_id` is the empty string.
    EmptyUserId,
    /// `user_id` is a number.
    NumericUserId,
    /// `user_id` is too long for a Postgres index.
    LongUserId,
    /// `email_verified` is the string "true".
    VerifiedAsText,
    /// `email_address` is a number.
    EmailAsNumber,
    /// `attributes` is null.
    AttributesNull,
    /// `attributes` is `[]`.
    AttributesArray,
    /// `attributes` has no keys.
    AttributesEmpty,
    /// `registered` is a number; such a person is in no window.
    RegisteredNumber,
    /// `registered` is a word; such a person is in no window.
    RegisteredWord,
    /// `registered` is absent; such a person is in no window.
    RegisteredAbsent,
    /// No `identifiers`.
    IdentifiersMissing,
    /// Unknown fields at every level.
    ExtraFields,
    /// Attribute keys with quotes, dots, spaces, and one of 300 characters.
    OddKeys,
    /// Arrays nested a hundred deep.
    DeepNesting,
    /// Foreign keys as a map of strings.
    KeysMapText,
    /// Foreign keys as a map of numbers.
    KeysMapNumber,
    /// Foreign keys as a map of arrays.
    KeysMapArray,
    /// Foreign keys as a list of `{system, key}`.
    KeysListSystem,
    /// Foreign keys as a list of `{foreign_system, foreign_key}`.
    KeysListForeign,
    /// Foreign keys are null.
    KeysNull,
}

const KINDS: &[Awkward] = &[
    Awkward::NulInAttribute,
    Awkward::NulInUsername,
    Awkward::LoneSurrogate,
    Awkward::EmojiRaw,
    Awkward::EmojiEscaped,
    Awkward::HugeString,
    Awkward::BigInteger,
    Awkward::HugeExponent,
    Awkward::LongDecimal,
    Awkward::NoIdentifier,
    Awkward::UsernameOnly,
    Awkward::NoUserId,
    Awkward::NullUserId,
    Awkward::EmptyUserId,
    Awkward::NumericUserId,
    Awkward::LongUserId,
    Awkward::VerifiedAsText,
    Awkward::EmailAsNumber,
    Awkward::AttributesNull,
    Awkward::AttributesArray,
    Awkward::AttributesEmpty,
    Awkward::RegisteredNumber,
    Awkward::RegisteredWord,
    Awkward::RegisteredAbsent,
    Awkward::IdentifiersMissing,
    Awkward::ExtraFields,
    Awkward::OddKeys,
    Awkward::DeepNesting,
    Awkward::KeysMapText,
    Awkward::KeysMapNumber,
    Awkward::KeysMapArray,
    Awkward::KeysListSystem,
    Awkward::KeysListForeign,
    Awkward::KeysNull,
];

/// What is put before a UUID to make [`Awkward::LongUserId`].
pub(super) const LONG_ID_PREFIX: &str = "long-";
/// Longer than the 2704 bytes a Postgres b-tree takes, even after its compression: the filler does
/// not repeat.
pub(super) const LONG_ID_FILLER: usize = 9000;
/// Numeric user ids are this plus the index.
pub(super) const NUMERIC_ID_BASE: u64 = 9_000_000_000_000_000;

impl Awkward {
    /// How the person at `index` is awkward, if at all, when `percent` of people are.
    pub(super) fn of(seed: u64, index: u32, percent: f64) -> Option<Self> {
        if percent <= 0.0 {
            return None;
        }
        let place = draw(seed, Purpose::Awkward, u64::from(index)) % 1_000_000;
        if place as f64 >= percent * 10_000.0 {
            return None;
        }
        let kind = draw(seed, Purpose::AwkwardKind, u64::from(index)) as usize % KINDS.len();
        Some(KINDS[kind])
    }

    /// Whether the registration date cannot be read, so that no window holds the person.
    pub(super) fn hides_registration(self) -> bool {
        matches!(
            self,
            Self::RegisteredNumber | Self::RegisteredWord | Self::RegisteredAbsent
        )
    }

    /// Whether `user_id` is the person's UUID and nothing else.
    pub(super) fn has_plain_user_id(self) -> bool {
        self.has_user_id() && !matches!(self, Self::NumericUserId | Self::LongUserId)
    }

    /// Whether there is a `user_id` that names the person.
    pub(super) fn has_user_id(self) -> bool {
        !matches!(self, Self::NoUserId | Self::NullUserId | Self::EmptyUserId)
    }
}

/// One way an account is awkward. An account has at most one, fixed by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwkwardAccount {
    /// An emoji and quotes in its name.
    EmojiName,
    /// `\u0000` in its name.
    NulInName,
    /// Half a surrogate pair in its name.
    LoneSurrogate,
    /// The list shows it without `account_id`.
    NoId,
    /// An id too long for a Postgres index.
    LongId,
    /// `number_of_seats` is `"12"`.
    SeatsAsText,
    /// `number_of_seats` is more than 64 bits hold.
    SeatsOutOfRange,
    /// Booleans are `"true"`.
    FlagsAsText,
    /// It and its members are listed twice.
    Twice,
    /// Unknown fields.
    ExtraFields,
}

const ACCOUNT_KINDS: &[AwkwardAccount] = &[
    AwkwardAccount::EmojiName,
    AwkwardAccount::NulInName,
    AwkwardAccount::LoneSurrogate,
    AwkwardAccount::NoId,
    AwkwardAccount::LongId,
    AwkwardAccount::SeatsAsText,
    AwkwardAccount::SeatsOutOfRange,
    AwkwardAccount::FlagsAsText,
    AwkwardAccount::Twice,
    AwkwardAccount::ExtraFields,
];

impl AwkwardAccount {
    /// How the account at `index` is awkward, if at all, when `percent` of accounts are.
    pub(super) fn of(seed: u64, index: u32, percent: f64) -> Option<Self> {
        let draw = draw(seed, Purpose::AwkwardAccount, u64::from(index));
        let place = draw % 1_000_000;
        let kind = (draw >> 32) as usize % ACCOUNT_KINDS.len();
        ((place as f64) < percent * 10_000.0).then(|| ACCOUNT_KINDS[kind])
    }
}

/// Appends letters and digits that no compression shortens.
pub(super) fn noise(out: &mut Vec<u8>, seed: u64, index: u32, length: usize) {
    let mut choices = Choices::new(seed, Purpose::AwkwardKind, u64::from(index));
    let end = out.len() + length;
    while out.len() < end {
        let draw = choices.next();
        for place in 0..10 {
            let symbol = (draw >> (place * 6) & 63) as usize;
            out.push(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[symbol]);
        }
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_what_was_asked_and_every_kind_occurs() {
        let found: Vec<Awkward> = (0..20_000)
            .filter_map(|index| Awkward::of(1, index, 10.0))
            .collect();
        assert!((1800..2200).contains(&found.len()), "{}", found.len());
        for kind in KINDS {
            assert!(found.contains(kind), "{kind:?}");
        }
        assert_eq!(Awkward::of(1, 7, 0.0), None);
    }
}
