//! One person as the API shows them (contract 5.1 and 6), about 780 bytes, and the facts lists are
//! ordered by.

use std::ops::Range;

use super::attributes;
use super::awkward::{self, Awkward, LONG_ID_FILLER, LONG_ID_PREFIX, NUMERIC_ID_BASE};
use super::behaviour::{Behaviour, ForeignKeys};
use super::calendar;
use super::edits::Overlay;
use super::foreign_keys::Keys;
use super::identity;
use super::json;
use super::mix::{Purpose, draw};
use super::population::Population;

/// What an export item contains besides the user.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts<'a> {
    pub attributes: bool,
    pub grants: bool,
    /// Show no grants where some are.
    pub without_grants: bool,
    /// The apps whose extended profiles are wanted, as `appIds` names them.
    pub apps: Option<&'a str>,
}

/// The people as they are now: generated, then edited.
#[derive(Debug, Clone, Copy)]
pub(super) struct People<'a> {
    pub population: &'a Population,
    pub overlay: &'a Overlay,
    pub behaviour: &'a Behaviour,
}

impl People<'_> {
    /// One past the highest index ever given.
    pub(super) fn end(&self) -> u32 {
        self.population.people + self.overlay.created.len() as u32
    }

    pub(super) fn is_living(&self, index: u32) -> bool {
        index < self.end() && !self.overlay.deleted.contains(&index)
    }

    /// The second of registration, whether or not it is shown.
    pub(super) fn registration(&self, index: u32) -> u32 {
        let again = self.overlay.recreated.get(&index).copied();
        again
            .or_else(|| self.population.registered(index))
            .or_else(|| {
                let late = index.checked_sub(self.population.people)?;
                self.overlay.created.get(late as usize).copied()
            })
            .unwrap_or_default()
    }

    /// The second that registration filters see; none for people in no window.
    pub(super) fn registered(&self, index: u32) -> Option<u32> {
        match self.overlay.redated.get(&index) {
            Some(edited) => *edited,
            None => self
                .population
                .is_dated(index)
                .then(|| self.registration(index)),
        }
    }

    /// The foreign keys as they are now.
    pub(super) fn keys(&self, index: u32) -> Keys {
        let change = self.overlay.changes.get(&index);
        Keys::of(self.population.seed, index).edited(change.map_or(0, |change| change.keyed))
    }

    /// The second of the last update.
    pub(super) fn updated(&self, index: u32) -> u32 {
        match self.overlay.changes.get(&index) {
            Some(change) => change.updated,
            None => self
                .population
                .updated(index)
                .unwrap_or_else(|| self.registration(index)),
        }
    }

    /// The living person whose shown `user_id` is `id`.
    pub(super) fn by_user_id(&self, id: &str) -> Option<u32> {
        let seed = self.population.seed;
        let numeric = || {
            let number: u64 = id.parse().ok()?;
            u32::try_from(number.checked_sub(NUMERIC_ID_BASE)?).ok()
        };
        let long = || {
            let rest = id.strip_prefix(LONG_ID_PREFIX)?;
            identity::index_of_user_id(seed, rest.get(..36)?)
        };
        let index = identity::index_of_user_id(seed, id)
            .or_else(long)
            .or_else(numeric)?;
        if !self.is_living(index)
            || !self
                .population
                .awkward(index)
                .is_none_or(Awkward::has_user_id)
        {
            return None;
        }
        let mut shown = Vec::new();
        self.write_user_id(&mut shown, index);
        let shown = shown.strip_prefix(b"\"").unwrap_or(&shown);
        (shown.strip_suffix(b"\"").unwrap_or(shown) == id.as_bytes()).then_some(index)
    }

    /// The living person who has this e-mail address or, if `username`, this username.
    pub(super) fn by_identifier(&self, text: &str, username: bool) -> Option<u32> {
        let index = identity::index_in_identifier(text)?;
        if !self.is_living(index) {
            return None;
        }
        let mut identifiers = Vec::new();
        self.write_identifiers(&mut identifiers, index);
        let shown: serde_json::Value = serde_json::from_slice(&identifiers).ok()?;
        let name = if username {
            "username"
        } else {
            "email_address"
        };
        (shown.get(name)?.as_str()? == text).then_some(index)
    }

    /// Appends an export item; `seq_no` is left out where it would be noise.
    pub(super) fn item(
        &self,
        out: &mut Vec<u8>,
        index: u32,
        seq_no: Option<u64>,
        parts: Parts<'_>,
    ) {
        json::raw(out, "{");
        if let Some(seq_no) = seq_no {
            json::raw(out, "\"seq-no\":");
            json::number(out, seq_no);
            out.push(b',');
        }
        json::raw(out, "\"user\":");
        self.user(out, index, parts.attributes);
        if parts.grants {
            json::raw(out, ",\"grants\":");
            self.write_grants(out, index, !parts.without_grants);
        }
        if let Some(apps) = parts.apps {
            json::raw(out, ",\"profiles\":");
            self.profiles(out, index, apps);
        }
        if self.population.awkward(index) == Some(Awkward::ExtraFields) {
            json::raw(
                out,
                r#","extra":{"app":{"theme":"dark"}},"shard":3,"null-field":null"#,
            );
        }
        out.push(b'}');
    }

    /// Appends the user record by itself.
    pub(super) fn user(&self, out: &mut Vec<u8>, index: u32, with_attributes: bool) {
        let awkward = self.population.awkward(index);
        let seed = self.population.seed;
        let number = u64::from(index);
        let start = out.len();
        if awkward != Some(Awkward::NoUserId) {
            json::key(out, "user_id");
            self.write_user_id(out, index);
        }
        if awkward != Some(Awkward::IdentifiersMissing) {
            json::key(out, "identifiers");
            self.write_identifiers(out, index);
        }
        let high = draw(seed, Purpose::Tracking, number);
        json::key(out, "email_verified");
        json::raw(
            out,
            match awkward {
                Some(Awkward::VerifiedAsText) => "\"true\"",
                _ if high.is_multiple_of(4) => "false",
                _ => "true",
            },
        );
        json::raw(out, ",\"tracking_id\":\"");
        identity::uuid(out, high & !0xF000 | 0x4000, high.rotate_left(29));
        out.push(b'"');
        self.write_registered(out, index);
        json::text_field(out, "registration_tenant", "demo|demo");
        json::raw(out, ",\"last_login\":\"");
        calendar::instant(out, self.updated(index));
        out.push(b'"');
        json::key(out, "foreign_keys");
        self.write_foreign_keys(out, index);
        if awkward == Some(Awkward::ExtraFields) {
            json::raw(
                out,
                r#","registration_state":{"partial":false,"complete":true},"session_limit":3,"_links":[{"rel":"self"}]"#,
            );
        }
        if with_attributes {
            json::key(out, "attributes");
            let change = self.overlay.changes.get(&index);
            let registered = self.registration(index);
            attributes::of_person(out, self.population, index, registered, change);
        }
        out[start] = b'{';
        out.push(b'}');
    }

    /// Appends the date of registration, in whatever form a person has it, if they have one.
    fn write_registered(&self, out: &mut Vec<u8>, index: u32) {
        let moved = self.overlay.redated.contains_key(&index);
        if !moved && self.population.lacks_registered(index) {
            return;
        }
        let second = match self.population.awkward(index) {
            _ if moved => self.registered(index),
            Some(Awkward::RegisteredAbsent) => None,
            Some(Awkward::RegisteredNumber) => {
                json::key(out, "registered");
                return json::number(out, u64::from(self.registration(index)) * 1000);
            }
            Some(Awkward::RegisteredWord) => {
                return json::text_field(out, "registered", "yesterday");
            }
            _ => Some(self.registration(index)),
        };
        if let Some(second) = second {
            json::raw(out, ",\"registered\":\"");
            calendar::instant(out, second);
            out.push(b'"');
        }
    }

    fn write_user_id(&self, out: &mut Vec<u8>, index: u32) {
        let seed = self.population.seed;
        match self.population.awkward(index) {
            Some(Awkward::NullUserId) => return json::raw(out, "null"),
            Some(Awkward::EmptyUserId) => return json::raw(out, "\"\""),
            Some(Awkward::NumericUserId) => {
                return json::number(out, NUMERIC_ID_BASE + u64::from(index));
            }
            _ => {}
        }
        out.push(b'"');
        let long = self.population.awkward(index) == Some(Awkward::LongUserId);
        if long {
            json::raw(out, LONG_ID_PREFIX);
        }
        identity::user_id(out, seed, index);
        if long {
            awkward::noise(out, seed, index, LONG_ID_FILLER);
        }
        out.push(b'"');
    }

    fn write_identifiers(&self, out: &mut Vec<u8>, index: u32) {
        let seed = self.population.seed;
        let awkward = self.population.awkward(index);
        let change = self.overlay.changes.get(&index);
        let addresses = change.map_or(0, |change| change.addresses);
        let start = out.len();
        match awkward {
            Some(Awkward::NoIdentifier | Awkward::UsernameOnly) => {}
            Some(Awkward::EmailAsNumber) => {
                json::key(out, "email_address");
                json::number(out, u64::from(index));
            }
            _ if addresses > 0 => {
                json::raw(out, ",\"email_address\":\"address-");
                json::number(out, u64::from(addresses));
                json::raw(out, "-of.");
                json::number(out, u64::from(index));
                json::raw(out, "@example.org\"");
            }
            _ if self.overlay.recreated.contains_key(&index) => {
                json::raw(out, ",\"email_address\":\"somebody.else.");
                json::number(out, u64::from(index));
                json::raw(out, "@example.org\"");
            }
            _ => {
                json::raw(out, ",\"email_address\":\"");
                identity::email(out, seed, index);
                out.push(b'"');
            }
        }
        let common = !matches!(awkward, Some(Awkward::NoIdentifier))
            && draw(seed, Purpose::Tracking, u64::from(index)) % 8 == 3;
        match awkward {
            Some(Awkward::NulInUsername) => {
                json::raw(out, r#","username":"reader\u0000"#);
                json::number(out, u64::from(index));
                out.push(b'"');
            }
            Some(Awkward::UsernameOnly) => self.write_username(out, index),
            _ if common => self.write_username(out, index),
            _ => {}
        }
        if awkward == Some(Awkward::ExtraFields) {
            json::raw(out, r#","phone_number":null"#);
        }
        if out.len() == start {
            out.push(b'{');
        } else {
            out[start] = b'{';
        }
        out.push(b'}');
    }

    fn write_username(&self, out: &mut Vec<u8>, index: u32) {
        json::raw(out, ",\"username\":\"");
        identity::username(out, self.population.seed, index);
        out.push(b'"');
    }

    fn write_foreign_keys(&self, out: &mut Vec<u8>, index: u32) {
        let keys = self.keys(index);
        let awkward = self.population.awkward(index);
        let (form, array) = match awkward {
            Some(Awkward::KeysNull) => return json::raw(out, "null"),
            Some(Awkward::KeysMapNumber) => {
                json::raw(out, "{\"crm\":");
                json::number(out, keys.crm_number);
                return json::raw(out, ",\"billing\":12.50,\"flag\":true,\"none\":null}");
            }
            Some(Awkward::KeysMapText) => (ForeignKeys::Map, false),
            Some(Awkward::KeysMapArray) => (ForeignKeys::Map, true),
            Some(Awkward::KeysListSystem) => (ForeignKeys::SystemKey, false),
            Some(Awkward::KeysListForeign) => (ForeignKeys::ForeignSystemKey, false),
            _ => (self.behaviour.foreign_keys, false),
        };
        let start = out.len();
        let mut one = |system: &str, number: u64, count: u64| {
            let numbers = number..number + count;
            match form {
                ForeignKeys::Map => map_entry(out, system, numbers, array || count > 1),
                ForeignKeys::SystemKey => list_entries(out, ("system", "key"), system, numbers),
                ForeignKeys::ForeignSystemKey => {
                    list_entries(out, ("foreign_system", "foreign_key"), system, numbers);
                }
            }
        };
        if let Some(crm) = keys.crm {
            one("crm", crm, 1);
        }
        let (first, count) = keys.billing;
        if count > 0 {
            one("billing", first, count);
        }
        let (open, close) = if form == ForeignKeys::Map {
            (b'{', b'}')
        } else {
            (b'[', b']')
        };
        if out.len() == start {
            out.push(open);
        } else {
            out[start] = open;
        }
        out.push(close);
    }
}

/// Appends the keys of a system to a map of them: in a list, or the only one by itself.
fn map_entry(out: &mut Vec<u8>, system: &str, numbers: Range<u64>, in_list: bool) {
    json::key(out, system);
    for (at, number) in numbers.enumerate() {
        out.push(if at > 0 {
            b','
        } else if in_list {
            b'['
        } else {
            b' '
        });
        out.push(b'"');
        json::number(out, number);
        out.push(b'"');
    }
    if in_list {
        out.push(b']');
    }
}

/// Appends an object for each key of a system, with its two parts under these names.
fn list_entries(
    out: &mut Vec<u8>,
    (system_name, key_name): (&str, &str),
    system: &str,
    numbers: Range<u64>,
) {
    for number in numbers {
        for text in [
            ",{\"",
            system_name,
            "\":\"",
            system,
            "\",\"",
            key_name,
            "\":\"",
        ] {
            json::raw(out, text);
        }
        json::number(out, number);
        json::raw(out, "\"}");
    }
}
