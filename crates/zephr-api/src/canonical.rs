//! A record in canonical form: sorted names, no white space, one way to write a string, so that
//! equal content is equal bytes. Here is also where everything that `jsonb` cannot hold is replaced
//! and explained.
//!
//! Every record of every scan comes through here, so it is read once: values are written in the
//! order they were sent, and an object whose names came in another order than the sorted one is put
//! in order when it ends.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::json::{Text, quote};
use super::lexer::Lexer;
use record::memory::Spare;
use record::{HASH_BYTES, Issue, Piece, Whole};

/// Objects and arrays nested deeper than this stay as they were sent: sorting them is not worth a
/// recursion that a record could drive.
const MAX_DEPTH: usize = 48;

/// `jsonb` keeps numbers as `numeric`: 131,072 digits before the point and 16,383 behind. Beyond a
/// tenth of the smaller one nothing is a number that somebody meant.
const MAX_NUMBER_REACH: usize = 1_600;

/// Records share memory in pieces of this many bytes: few enough not to be noticed, and so small
/// that those of a page, of which a few records are kept, are soon free for the next. (A page in
/// one piece of half a megabyte took 10 MiB more at the peak of a load.)
pub const SHARED_BYTES: usize = 8 << 10;

/// Goes into each hash: a later change of the canonical form makes all records look changed once,
/// on purpose.
const CANONICAL_VERSION: u8 = 1;

/// Where a value is in its record: names from the outside in.
#[derive(Debug, Clone, Copy)]
struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    name: &'p str,
    /// Bytes of it as it shows itself.
    length: usize,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

impl<'p> Path<'p> {
    fn new(parent: Option<&'p Self>, name: &'p str) -> Self {
        Self {
            parent,
            name,
            length: parent.map_or(0, |parent| parent.length + 1) + name.len(),
        }
    }

    /// Whether this is how the path shows itself.
    fn is(&self, shown: &str) -> bool {
        self.length == shown.len() && self.ends(shown)
    }

    fn ends(&self, shown: &str) -> bool {
        match (shown.strip_suffix(self.name), self.parent) {
            (None, _) => false,
            (Some(rest), None) => rest.is_empty(),
            (Some(rest), Some(parent)) => {
                rest.strip_suffix('.').is_some_and(|rest| parent.ends(rest))
            }
        }
    }
}

/// A record in canonical form.
#[derive(Debug)]
pub struct Canonical<'a, const N: usize> {
    /// The record as it was sent.
    pub sent: &'a str,
    /// The JSON text: everything that was sent, in a form that `jsonb` can hold.
    pub text: Piece,
    /// The first half of the SHA-256 of that text without the ignored fields: equal whether or not
    /// they are there, and whatever they say.
    pub hash: [u8; HASH_BYTES],
    /// What was replaced, and why.
    pub issues: Vec<Issue>,
    /// The values at the paths that were wanted, as they were sent; none where there is nothing but
    /// null.
    pub wanted: [Option<&'a RawValue>; N],
}

/// Brings a record into canonical form. Fields are named by their path from the record, joined by
/// dots: those `ignored` stay in the text and out of the hash, those `wanted` are picked up on the
/// way, so that nothing is read twice.
pub fn canonical<'a, const N: usize>(
    raw: &'a RawValue,
    ignored: &[String],
    wanted: [&str; N],
) -> Canonical<'a, N> {
    let mut records = Records::new(raw.get(), ignored, wanted, None);
    let begun = records.begin();
    // A raw value is valid JSON, so it is read to its end.
    let _ = records.value(None, 0);
    let form = records.end(begun);
    let whole = Whole::new(text(records.out), None);
    form.finish(raw.get(), &whole)
}

/// Brings the records of a text into canonical form, one after the other, dozens into one piece of
/// memory: hundreds of thousands of pieces that come and go cost more than what is in them.
#[derive(Debug)]
pub struct Records<'w, 'a, const N: usize> {
    lexer: Lexer<'a>,
    ignored: &'w [String],
    wanted: [&'w str; N],
    spare: Option<&'w Arc<Spare>>,
    finished: Vec<Canonical<'a, N>>,
    /// The records in `out`.
    forms: Vec<Form<N>>,
    /// Where in the text the wanted values are.
    found: [Option<Range<usize>>; N],
    /// The last records, one behind the other.
    out: Vec<u8>,
    issues: Vec<Issue>,
    /// The parts of `out` that do not count for the hash, in order.
    unhashed: Vec<Range<usize>>,
    /// The fields so far of the objects that have not ended, the outermost first.
    members: Vec<Member<'a>>,
    /// What is being put in order; kept for its memory.
    unordered: Vec<u8>,
}

/// A record that was read: where it is, in the text and in what was written.
#[derive(Debug)]
struct Form<const N: usize> {
    sent: Range<usize>,
    out: Range<usize>,
    hash: [u8; HASH_BYTES],
    issues: Vec<Issue>,
    found: [Option<Range<usize>>; N],
}

impl<const N: usize> Form<N> {
    fn finish<'a>(self, text: &'a str, whole: &Arc<Whole>) -> Canonical<'a, N> {
        Canonical {
            sent: text.get(self.sent).unwrap_or_default(),
            text: Piece::of(whole, self.out),
            hash: self.hash,
            issues: self.issues,
            wanted: self
                .found
                .map(|found| serde_json::from_str(text.get(found?)?).ok()),
        }
    }
}

fn taken(spare: Option<&Arc<Spare>>) -> Vec<u8> {
    spare.map(|spare| spare.take()).unwrap_or_default()
}

/// All of it was text, or made of text.
fn text(out: Vec<u8>) -> String {
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl<'w, 'a, const N: usize> Records<'w, 'a, N> {
    /// Reads this text from its beginning; `ignored` and `wanted` as for [`canonical`]. What is
    /// written goes into spare memory, where there is some.
    pub fn new(
        text: &'a str,
        ignored: &'w [String],
        wanted: [&'w str; N],
        spare: Option<&'w Arc<Spare>>,
    ) -> Self {
        let mut out = taken(spare);
        out.reserve_exact(text.len().min(SHARED_BYTES));
        Self {
            lexer: Lexer::new(text),
            ignored,
            wanted,
            spare,
            finished: Vec::new(),
            forms: Vec::new(),
            found: [const { None }; N],
            out,
            issues: Vec::new(),
            unhashed: Vec::new(),
            members: Vec::with_capacity(32),
            unordered: Vec::new(),
        }
    }

    /// What is between the records is for the caller to read.
    pub fn lexer(&mut self) -> &mut Lexer<'a> {
        &mut self.lexer
    }

    /// Reads a record.
    pub fn record(&mut self) -> Option<()> {
        let begun = self.begin();
        self.value(None, 0)?;
        let form = self.end(begun);
        let room = form.out.len();
        self.forms.push(form);
        // Another one like it, or a little larger, would not fit.
        if self.out.len() + room + room / 4 > SHARED_BYTES {
            let mut next = taken(self.spare);
            next.reserve_exact(SHARED_BYTES);
            self.share(next);
        }
        Some(())
    }

    /// Makes what was written the piece of memory that its records share, and goes on in the next.
    fn share(&mut self, next: Vec<u8>) {
        let written = std::mem::replace(&mut self.out, next);
        let whole = Whole::new(text(written), self.spare.cloned());
        let sent = self.lexer.text();
        let forms = self.forms.drain(..);
        self.finished
            .extend(forms.map(|form| form.finish(sent, &whole)));
    }

    /// The records that were read.
    pub fn finish(mut self) -> Vec<Canonical<'a, N>> {
        self.share(Vec::new());
        self.finished
    }

    /// Where a record begins, in the text and in what is written.
    fn begin(&mut self) -> (usize, usize) {
        self.lexer.peek();
        (self.lexer.at(), self.out.len())
    }

    fn end(&mut self, (sent, start): (usize, usize)) -> Form<N> {
        let mut hasher = Sha256::new();
        hasher.update([CANONICAL_VERSION]);
        let mut from = start;
        for range in self.unhashed.drain(..) {
            hasher.update(&self.out[from..range.start]);
            from = range.end;
        }
        hasher.update(&self.out[from..]);
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&hasher.finalize()[..HASH_BYTES]);
        Form {
            sent: sent..self.lexer.at(),
            out: start..self.out.len(),
            hash,
            issues: std::mem::take(&mut self.issues),
            found: std::mem::replace(&mut self.found, [const { None }; N]),
        }
    }
}

/// A field that was written.
#[derive(Debug)]
struct Member<'a> {
    /// The beginning of the name, which orders most names as the whole does: comparing numbers is
    /// cheaper than calling for a comparison of text.
    begins: u64,
    name: Cow<'a, str>,
    ignored: bool,
    /// Of a repeated name the last counts, as for `jsonb`.
    repeated: bool,
    /// Where it was sent.
    sent: Range<usize>,
    /// Where it stands, with the byte in front of it.
    out: Range<usize>,
    issues: Range<usize>,
    unhashed: Range<usize>,
}

impl Member<'_> {
    /// What fields are sorted by: the name, byte by byte.
    fn order(&self) -> (u64, &str) {
        (self.begins, &self.name)
    }
}

/// The first eight bytes as a number that compares as they do. A shorter name is filled up with
/// what no name holds: NUL was replaced.
fn beginning(name: &str) -> u64 {
    let mut first = [0; 8];
    let length = name.len().min(first.len());
    first[..length].copy_from_slice(&name.as_bytes()[..length]);
    u64::from_be_bytes(first)
}

/// How much there was when an object began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    members: usize,
    out: usize,
    issues: usize,
    unhashed: usize,
}

impl<'a, const N: usize> Records<'_, 'a, N> {
    fn value(&mut self, path: Option<Path<'_>>, depth: usize) -> Option<()> {
        match self.lexer.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(path, depth),
            b'[' if depth < MAX_DEPTH => self.array(path, depth),
            b'{' | b'[' => self.nested_as_text(path),
            b'"' => self.string(path),
            b't' | b'f' | b'n' => {
                let word = self.lexer.word()?;
                self.out.extend_from_slice(word.as_bytes());
                Some(())
            }
            _ => self.number(path),
        }
    }

    fn object(&mut self, path: Option<Path<'_>>, depth: usize) -> Option<()> {
        let begun = Begun {
            members: self.members.len(),
            out: self.out.len(),
            issues: self.issues.len(),
            unhashed: self.unhashed.len(),
        };
        let mut in_order = true;
        self.lexer.take(b'{')?;
        if self.lexer.peek()? == b'}' {
            self.lexer.take(b'}')?;
        } else {
            loop {
                let member = self.member(path, depth)?;
                let before = self.members[begun.members..].last();
                in_order &= before.is_none_or(|before| before.order() < member.order());
                self.members.push(member);
                match self.lexer.next_byte()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        if !in_order {
            self.put_in_order(begun);
        }
        self.close(begun);
        Some(())
    }

    /// Writes a field, with a byte in front of it that is made a brace or a comma when the object
    /// ends.
    fn member(&mut self, path: Option<Path<'_>>, depth: usize) -> Option<Member<'a>> {
        let quoted = self.lexer.string()?;
        let (sent, out) = (self.lexer.at() - quoted.raw.len(), self.out.len());
        let (issues, unhashed) = (self.issues.len(), self.unhashed.len());
        self.out.push(b',');
        let (name, renamed) = match quoted.plain {
            Some(plain) => {
                self.out.extend_from_slice(quoted.raw.as_bytes());
                (Cow::Borrowed(plain), false)
            }
            None => {
                let Text { text, replaced } = unescaped(quoted.raw);
                self.quote(&text);
                (text, replaced)
            }
        };
        let here = Path::new(path.as_ref(), &name);
        if renamed {
            self.issue(
                Some(here),
                "the name held NUL or half a surrogate pair; replaced by U+FFFD",
            );
        }
        self.lexer.take(b':')?;
        self.out.push(b':');
        let is_null = self.lexer.peek()? == b'n';
        let from = self.lexer.at();
        self.value(Some(here), depth + 1)?;
        for (shown, found) in self.wanted.iter().zip(&mut self.found) {
            if here.is(shown) && !is_null {
                *found = Some(from..self.lexer.at());
            }
        }
        let ignored = self.ignored.iter().any(|shown| here.is(shown));
        Some(Member {
            begins: beginning(&name),
            name,
            ignored,
            repeated: false,
            sent: sent..self.lexer.at(),
            out: out..self.out.len(),
            issues: issues..self.issues.len(),
            unhashed: unhashed..self.unhashed.len(),
        })
    }

    /// Brings the fields of an object into the order of their names, each name once, with what was
    /// noted about them.
    fn put_in_order(&mut self, begun: Begun) {
        self.unordered.clear();
        self.unordered.extend_from_slice(&self.out[begun.out..]);
        self.out.truncate(begun.out);
        let mut issues: Vec<Option<Issue>> = self.issues.drain(begun.issues..).map(Some).collect();
        let unhashed = self.unhashed.split_off(begun.unhashed);
        let members = &mut self.members[begun.members..];
        members.sort_by(|a, b| a.order().cmp(&b.order()));
        for at in 1..members.len() {
            members[at - 1].repeated = members[at - 1].name == members[at].name;
        }
        for member in members {
            if member.repeated {
                for found in &mut self.found {
                    let inside = |found: &Range<usize>| member.sent.contains(&found.start);
                    if found.as_ref().is_some_and(inside) {
                        *found = None;
                    }
                }
                continue;
            }
            let (from, start) = (member.out.start, self.out.len());
            let written = member.out.start - begun.out..member.out.end - begun.out;
            self.out.extend_from_slice(&self.unordered[written]);
            member.out = start..self.out.len();
            let noted = member.issues.start - begun.issues..member.issues.end - begun.issues;
            self.issues
                .extend(issues[noted].iter_mut().filter_map(Option::take));
            let inside =
                member.unhashed.start - begun.unhashed..member.unhashed.end - begun.unhashed;
            let first = self.unhashed.len();
            let moved = |place: usize| place - from + start;
            self.unhashed.extend(
                unhashed[inside]
                    .iter()
                    .map(|range| moved(range.start)..moved(range.end)),
            );
            member.unhashed = first..self.unhashed.len();
        }
    }

    /// Ends an object: a brace before its first field, commas before the others; and what of it
    /// does not count for the hash.
    fn close(&mut self, begun: Begun) {
        let nested = if self.ignored.is_empty() {
            Vec::new()
        } else {
            self.unhashed.split_off(begun.unhashed)
        };
        let (mut is_first, mut hashed_before) = (true, false);
        for member in self.members[begun.members..]
            .iter()
            .filter(|member| !member.repeated)
        {
            let start = member.out.start;
            self.out[start] = if is_first { b'{' } else { b',' };
            if member.ignored {
                self.unhashed
                    .push(start + usize::from(is_first)..member.out.end);
            } else if !self.ignored.is_empty() {
                // The comma behind a field that does not count does not count either.
                if !is_first && !hashed_before {
                    self.unhashed.push(start..start + 1);
                }
                hashed_before = true;
                let inside =
                    member.unhashed.start - begun.unhashed..member.unhashed.end - begun.unhashed;
                self.unhashed.extend_from_slice(&nested[inside]);
            }
            is_first = false;
        }
        if is_first {
            self.out.push(b'{');
        }
        self.out.push(b'}');
        self.members.truncate(begun.members);
    }

    fn array(&mut self, path: Option<Path<'_>>, depth: usize) -> Option<()> {
        self.lexer.take(b'[')?;
        self.out.push(b'[');
        if self.lexer.peek()? == b']' {
            self.lexer.take(b']')?;
        } else {
            loop {
                self.value(path, depth + 1)?;
                match self.lexer.next_byte()? {
                    b',' => self.out.push(b','),
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.out.push(b']');
        Some(())
    }

    /// Postgres's own JSON parser recurses, and gives up somewhere below: what is nested too deeply
    /// is kept as text.
    fn nested_as_text(&mut self, path: Option<Path<'_>>) -> Option<()> {
        let nested = self.lexer.value()?;
        self.issue(path, "nested too deeply; kept as text");
        self.quote(nested.get());
        Some(())
    }

    fn string(&mut self, path: Option<Path<'_>>) -> Option<()> {
        let quoted = self.lexer.string()?;
        if quoted.plain.is_some() {
            self.out.extend_from_slice(quoted.raw.as_bytes());
            return Some(());
        }
        let Text { text, replaced } = unescaped(quoted.raw);
        if replaced {
            self.issue(
                path,
                "held NUL or half a surrogate pair; replaced by U+FFFD",
            );
        }
        self.quote(&text);
        Some(())
    }

    fn number(&mut self, path: Option<Path<'_>>) -> Option<()> {
        let raw = self.lexer.number()?;
        let exponent = match raw.split_once(['e', 'E']) {
            None => 0,
            Some((_, exponent)) => exponent
                .parse::<i64>()
                .map_or(usize::MAX, |e| e.unsigned_abs() as usize),
        };
        if raw.len().saturating_add(exponent) > MAX_NUMBER_REACH {
            self.issue(path, "a number beyond Postgres's range; kept as text");
            self.quote(raw);
        } else {
            self.out.extend_from_slice(raw.as_bytes());
        }
        Some(())
    }

    fn quote(&mut self, text: &str) {
        let mut quoted = String::with_capacity(text.len() + 2);
        quote(text, &mut quoted);
        self.out.extend_from_slice(quoted.as_bytes());
    }

    fn issue(&mut self, path: Option<Path<'_>>, reason: &str) {
        let path = path.map_or_else(String::new, |path| path.to_string());
        self.issues.push(Issue {
            path,
            reason: reason.to_owned(),
        });
    }
}

/// The text of a raw string; what is no string after all is kept as it is.
fn unescaped(raw: &str) -> Text<'_> {
    serde_json::from_str(raw).unwrap_or(Text {
        text: Cow::Borrowed(raw),
        replaced: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::Value;

    fn of<'a>(json: &'a str, ignored: &[&str]) -> Canonical<'a, 1> {
        let ignored: Vec<String> = ignored.iter().map(|&path| path.to_owned()).collect();
        canonical(serde_json::from_str(json).unwrap(), &ignored, ["user.m"])
    }

    #[test]
    fn what_is_wanted_is_found_on_the_way() {
        let found = |json| of(json, &[]).wanted[0].map(|raw: &RawValue| raw.get().to_owned());
        assert_eq!(
            found(r#"{"user":{"m":1,"m":"x"},"m":2}"#).as_deref(),
            Some("\"x\"")
        );
        assert_eq!(found(r#"{"user":{"m":null},"x":{"user":{"m":1}}}"#), None);
    }

    #[test]
    fn equal_content_has_equal_bytes() {
        let one = of(
            r#"{ "b": [1, {"y":2,"x":"\u00e9"}], "a": "caf\u00e9 \/" }"#,
            &[],
        );
        let two = of(r#"{"a":"café /","b":[1,{"x":"é","y":2}]}"#, &[]);
        assert_eq!(one.text, two.text);
        assert_eq!(one.hash, two.hash);
        assert_eq!(&*two.text, r#"{"a":"café /","b":[1,{"x":"é","y":2}]}"#);
    }

    #[test]
    fn of_a_repeated_name_the_last_counts() {
        assert_eq!(&*of(r#"{"a":1,"b":2,"a":3}"#, &[]).text, r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn numbers_keep_every_digit() {
        let digits = "123456789012345678901234567890.10";
        assert_eq!(&*of(digits, &[]).text, digits);
        assert_eq!(&*of("1e400", &[]).text, "1e400");
    }

    #[test]
    fn what_postgres_cannot_hold_is_replaced_and_named() {
        let canonical = of(
            r#"{"nul":"a\u0000b","lone":"x\ud800y","low":"\udc00","pair":"\ud83d\ude00","huge":1e20000,"ke\u0000y":1,"deep":{"n":["\u0000"]}}"#,
            &[],
        );
        let value: serde_json::Value = serde_json::from_str(&canonical.text).unwrap();
        assert_eq!(value["nul"], "a\u{FFFD}b");
        assert_eq!(value["lone"], "x\u{FFFD}y");
        assert_eq!(value["low"], "\u{FFFD}");
        assert_eq!(value["pair"], "😀");
        assert_eq!(value["huge"], "1e20000");
        assert_eq!(value["ke\u{FFFD}y"], 1);
        let mut paths: Vec<_> = canonical
            .issues
            .into_iter()
            .map(|issue| issue.path)
            .collect();
        paths.sort();
        assert_eq!(
            paths,
            ["deep.n", "huge", "ke\u{FFFD}y", "lone", "low", "nul"]
        );
    }

    #[test]
    fn a_replacement_character_that_was_sent_is_no_issue() {
        let canonical = of(r#""\ufffd\n""#, &[]);
        assert_eq!(&*canonical.text, "\"\u{FFFD}\\n\"");
        assert!(canonical.issues.is_empty());
    }

    #[test]
    fn deep_nesting_is_kept_as_text() {
        let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let canonical = of(&nested, &[]);
        assert_eq!(canonical.issues.len(), 1);
        assert!(
            canonical
                .text
                .starts_with(&format!("{}\"[", "[".repeat(MAX_DEPTH)))
        );
    }

    #[test]
    fn ignored_fields_stay_in_the_text_and_out_of_the_hash() {
        let ignored = ["seq-no", "user.a", "user.z"];
        let hashes = [
            r#"{"seq-no":1,"user":{"a":1,"m":{"a":5},"z":{"x":[1]}}}"#,
            r#"{"seq-no":7,"user":{"a":2,"m":{"a":5},"z":3}}"#,
            r#"{"user":{"m":{"a":5}}}"#,
        ]
        .map(|json| of(json, &ignored).hash);
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(hashes[0], hashes[2]);
        assert_ne!(hashes[0], of(r#"{"user":{"m":{"a":6}}}"#, &ignored).hash);
        assert_ne!(
            hashes[0],
            of(r#"{"user":{"m":{"a":5},"n":1}}"#, &ignored).hash
        );
        assert!(of(r#"{"seq-no":1}"#, &ignored).text.contains("seq-no"));
    }

    /// Some JSON: few names, so that they repeat at several depths, and text with what has to be
    /// escaped.
    fn some_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[a-z\"\\\\\n\té/]{0,6}", "[a-z ]{0,40}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-e]|a\"|user|m|é", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Writes a value with its fields in an order that `turn` decides, and white space between.
    fn sent(value: &Value, turn: usize, out: &mut String) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                let by = turn % fields.len().max(1);
                fields.rotate_left(by);
                if turn % 2 == 1 {
                    fields.reverse();
                }
                out.push('{');
                for (position, (name, value)) in fields.into_iter().enumerate() {
                    out.push_str(if position > 0 { " ,\n" } else { "" });
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push_str(": ");
                    sent(value, turn / 2, out);
                }
                out.push_str(" }");
            }
            Value::Array(values) => {
                out.push_str("[\t");
                for (position, value) in values.iter().enumerate() {
                    out.push_str(if position > 0 { ", " } else { "" });
                    sent(value, turn / 2, out);
                }
                out.push(']');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                out.push_str(&value.to_string());
            }
        }
    }

    /// Takes what is at a path out of a value, and answers with the last of it that is not null:
    /// the elements of an array are where the array is.
    fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
        match (value, path) {
            (Value::Array(values), _) => {
                let taken = values.iter_mut().filter_map(|value| take(value, path));
                taken.last()
            }
            (Value::Object(fields), [last]) => {
                fields.remove(*last).filter(|taken| !taken.is_null())
            }
            (Value::Object(fields), [first, rest @ ..]) => take(fields.get_mut(*first)?, rest),
            (_, _) => None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        // serde_json writes its trees sorted and without white space: they show what should come
        // out, made in another way.
        #[test]
        fn any_order_and_spacing_come_out_as_the_tree_does(value in some_json(), turn in 0..1_000_usize) {
            let mut text = String::new();
            sent(&value, turn, &mut text);
            let canonical = of(&text, &[]);
            prop_assert_eq!(&*canonical.text, &*value.to_string());
            prop_assert!(canonical.issues.is_empty());
            let wanted = take(&mut value.clone(), &["user", "m"]);
            let found = canonical.wanted[0].map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn a_hash_is_that_of_the_record_without_what_is_ignored(value in some_json(), turn in 0..1_000_usize) {
            let mut text = String::new();
            sent(&value, turn, &mut text);
            let mut rest = value;
            take(&mut rest, &["user", "m"]);
            take(&mut rest, &["a"]);
            prop_assert_eq!(of(&text, &["a", "user.m"]).hash, of(&rest.to_string(), &[]).hash);
        }
    }

    #[test]
    fn of_a_repeated_name_only_the_last_is_noted_or_found() {
        let canonical = of(
            r#"{"user":{"m":1,"x":"\u0000"},"a":"\u0000","user":{"z":2}}"#,
            &[],
        );
        assert_eq!(&*canonical.text, "{\"a\":\"\u{FFFD}\",\"user\":{\"z\":2}}");
        assert!(canonical.wanted[0].is_none());
        let paths: Vec<_> = canonical
            .issues
            .iter()
            .map(|issue| issue.path.as_str())
            .collect();
        assert_eq!(paths, ["a"]);
    }
}
