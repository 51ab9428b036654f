//! The name of an attribute's column: what an analyst can type without quotes, as like the slug as
//! that allows.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// Postgres cuts longer names.
const LONGEST: usize = 63;

/// Hex digits of the slug's hash in a name that the slug alone does not make.
const HASH: usize = 6;

/// What a word that cannot be a name gets behind it.
const SUFFIX: &str = "_attribute";

/// The column that is not an attribute.
const USER: &str = "user_id";

/// Words that need quotes as the name of a column (of Postgres 14 to 18), and names that no table
/// can have.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "cmax",
    "cmin",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "ctid",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tableoid",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmax",
    "xmin",
];

/// The name an attribute gets when no other has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wish {
    /// The name.
    pub name: String,
    /// Why it is not the slug.
    why: Vec<&'static str>,
}

impl Wish {
    /// Whether the slug itself is the name.
    pub fn is_the_slug(&self) -> bool {
        self.why.is_empty()
    }
}

/// The name that follows from a slug alone.
pub fn wish(slug: &str) -> Wish {
    let mut why = Vec::new();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut name = String::new();
    if slug.chars().all(fits) {
        name.push_str(slug);
    } else {
        why.push("only a-z, 0-9 and _ need no quotes");
        for c in slug.chars().map(|c| c.to_ascii_lowercase()) {
            if c.is_ascii_alphanumeric() {
                name.push(c);
            } else if !name.ends_with('_') {
                name.push('_');
            }
        }
        name = name.trim_matches('_').to_owned();
    }
    if name.is_empty() {
        name = distinct("attribute", slug, HASH);
        if slug.is_empty() {
            why.push("the slug is empty");
        }
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
        why.push("a name starts with no digit");
    }
    if name == USER {
        name.push_str(SUFFIX);
        why.push("user_id is the user");
    } else if RESERVED.binary_search(&name.as_str()).is_ok() {
        name.push_str(SUFFIX);
        why.push("it is a word of SQL");
    }
    if name.len() > LONGEST {
        name = distinct(&name, slug, HASH);
        why.push("names have at most 63 bytes");
    }
    Wish { name, why }
}

/// The name of a new attribute among names that are taken. Whoever comes second carries a hash of
/// the slug, not a number: the name says nothing about who came when.
pub fn assign(slug: &str, taken: &HashSet<String>) -> String {
    let wish = wish(slug);
    if !taken.contains(&wish.name) {
        return wish.name;
    }
    // Somebody may have named an attribute like another with its hash; then more of the hash tells
    // them apart.
    (HASH..=32)
        .map(|digits| distinct(&wish.name, slug, digits))
        .find(|name| !taken.contains(name))
        .unwrap_or(wish.name)
}

/// Why an attribute's column is not called like the attribute; none when it is.
pub fn reason(slug: &str, name: &str) -> Option<String> {
    if slug == name {
        return None;
    }
    let wish = wish(slug);
    let mut why: Vec<String> = wish.why.iter().map(|why| (*why).to_owned()).collect();
    if wish.name != name {
        why.push(format!("{} is another attribute", wish.name));
    }
    Some(why.join("; "))
}

/// A name with a hash of the slug at its end.
fn distinct(name: &str, slug: &str, digits: usize) -> String {
    let hash = hex::encode(Sha256::digest(slug));
    let room = LONGEST - digits - 1;
    // Names are ASCII here.
    let name = name.get(..room).unwrap_or(name).trim_end_matches('_');
    format!("{name}_{}", &hash[..digits])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(slug: &str) -> String {
        assign(slug, &HashSet::new())
    }

    #[test]
    fn a_fitting_slug_is_the_name_and_others_become_like_it() {
        for (slug, name) in [
            ("city", "city"),
            ("_internal__", "_internal__"),
            ("first-name", "first_name"),
            ("crmIdentifier", "crmidentifier"),
            (" -- spaced out -- ", "spaced_out"),
            ("x.y", "x_y"),
            ("a\"b", "a_b"),
            ("2fa", "_2fa"),
            ("select", "select_attribute"),
            ("user_id", "user_id_attribute"),
            ("USER-ID", "user_id_attribute"),
            ("", "attribute_e3b0c4"),
            ("🦊", "attribute_0a9f72"),
        ] {
            assert_eq!(named(slug), name);
        }
    }

    #[test]
    fn a_long_slug_is_cut_and_told_from_another_that_begins_alike() {
        let (one, two) = (
            format!("{}1", "x".repeat(99)),
            format!("{}2", "x".repeat(99)),
        );
        assert_eq!(named(&one).len(), LONGEST);
        assert_ne!(named(&one), named(&two));
    }

    #[test]
    fn words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn a_reason_says_what_is_in_the_way() {
        assert_eq!(reason("city", "city"), None);
        assert_eq!(
            reason("Select", &named("Select")).as_deref(),
            Some("only a-z, 0-9 and _ need no quotes; it is a word of SQL")
        );
        let taken = HashSet::from(["x_y".to_owned()]);
        let reason = reason("x.y", &assign("x.y", &taken)).unwrap();
        assert!(reason.ends_with("x_y is another attribute"), "{reason}");
    }

    proptest! {
        #[test]
        fn whatever_the_slugs_names_differ_and_need_no_quotes(slugs in prop::collection::hash_set("[a-cA-C_. é\"1]{0,5}|.{0,90}|select|Select", 0..40)) {
            let mut taken = HashSet::from([USER.to_owned()]);
            for slug in &slugs {
                let name = assign(slug, &taken);
                prop_assert!(!name.is_empty() && name.len() <= LONGEST);
                prop_assert!(name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'), "{}", name);
                prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{}", name);
                prop_assert!(RESERVED.binary_search(&name.as_str()).is_err());
                prop_assert!(taken.insert(name));
            }
        }
    }
}
