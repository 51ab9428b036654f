//! Several tenants in one settings file: a table `[tenants.NAME]` for each. What stands in it
//! stands in for the same key above; what names a tenant stands only there.

use std::path::Path;

use super::keys::{self, Whose};
use super::{Error, File, variable};
use toml_file;

/// Ways of giving the same thing: one of them in a tenant's table stands in for all of them above.
const ALTERNATIVES: [[&str; 2]; 2] = [
    ["database_url", "database_url_file"],
    ["hash_key", "hash_key_file"],
];

/// The settings of each tenant, by its name; none where the file has no such tables.
///
/// # Errors
/// A key in a place where it means nothing, or two tenants that would share a schema.
pub(super) fn each(path: &Path) -> Result<Vec<(String, File)>, Error> {
    let whole: toml::Table = toml_file::read(path, &keys::NAMES)?.unwrap_or_default();
    let Some(toml::Value::Table(tenants)) = whole.get("tenants") else {
        return Ok(Vec::new());
    };
    if tenants.is_empty() {
        return Ok(Vec::new());
    }
    let mut shared = whole.clone();
    shared.remove("tenants");
    let of = |whose| keys::ALL.iter().filter(move |key| key.whose == whose);
    if let Some(key) = of(Whose::OneTenant).find(|key| shared.contains_key(key.name)) {
        let at = format!("`{}` in {}", key.name, path.display());
        return Err(Error::OneForAll(at));
    }
    let mut variables = of(Whose::OneTenant).filter_map(|key| key.variable);
    if let Some(name) = variables.find(|name| variable(name).is_some()) {
        return Err(Error::OneForAll(name.to_owned()));
    }
    let each = tenants.iter().map(|(name, own)| {
        let unfit = |message: String| Error::Tenant(name.clone(), message);
        if !is_name(name) {
            return Err(unfit(
                "a name is at most 50 of a-z, 0-9, _ and -, and begins with a letter".into(),
            ));
        }
        let toml::Value::Table(own) = own else {
            return Err(unfit("must be a table".into()));
        };
        if let Some(key) = of(Whose::Process).find(|key| own.contains_key(key.name)) {
            let name = key.name;
            return Err(unfit(format!(
                "`{name}` is for all tenants; write it above"
            )));
        }
        let file = over(&shared, own, name).try_into();
        Ok((
            name.clone(),
            file.map_err(|error| unfit(error.message().to_owned()))?,
        ))
    });
    each.collect()
}

/// A tenant's keys over those for all, and what its name says where it says nothing else.
fn over(shared: &toml::Table, own: &toml::Table, name: &str) -> toml::Table {
    let mut merged = shared.clone();
    for alternatives in ALTERNATIVES {
        if alternatives.iter().any(|key| own.contains_key(*key)) {
            for key in alternatives {
                merged.remove(key);
            }
        }
    }
    merged.extend(own.clone());
    if !own.contains_key("tenant") && !own.contains_key("base_url") {
        merged.insert("tenant".into(), name.into());
    }
    if !own.contains_key("schema") {
        merged.insert("schema".into(), name.replace('-', "_").into());
    }
    merged
}

/// It is part of addresses, of labels, and of the schema's name.
fn is_name(name: &str) -> bool {
    name.len() <= 50
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(String, File)>, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zephr-sync.toml");
        std::fs::write(&path, text).unwrap();
        each(&path)
    }

    fn refused(text: &str) -> String {
        of(text).unwrap_err().to_string()
    }

    #[test]
    fn a_tenant_has_what_stands_above_and_its_own() {
        let tenants = of("
            rpp = 100
            database_url = 'postgres://all'
            [tenants.news]
            [tenants.big-sport]
            rpp = 7
            base_url = 'https://sport.example'
            database_url_file = '/run/secrets/sport'
            schema = 'sport'
            max_in_flight = 2
        ")
        .unwrap();
        let [(sport_name, sport), (news_name, news)] = tenants.as_slice() else {
            panic!("{tenants:?}");
        };
        assert_eq!(
            (news_name.as_str(), sport_name.as_str()),
            ("news", "big-sport")
        );
        assert_eq!((news.rpp, sport.rpp), (Some(100), Some(7)));
        assert_eq!(
            (news.tenant.as_deref(), sport.tenant.as_deref()),
            (Some("news"), None)
        );
        assert_eq!(
            (news.schema.as_deref(), sport.schema.as_deref()),
            (Some("news"), Some("sport"))
        );
        assert!(news.database_url.is_some() && sport.database_url.is_none());
        assert_eq!((news.max_in_flight, sport.max_in_flight), (None, Some(2)));
    }

    #[test]
    fn without_tables_there_is_one_without_a_name() {
        assert!(of("tenant = 'news'").unwrap().is_empty());
        assert!(of("[tenants]").unwrap().is_empty());
    }

    #[test]
    fn what_would_mix_tenants_up_is_refused() {
        let message = refused("access_key = 'k'\n[tenants.news]");
        assert!(message.contains("`access_key`"), "{message}");
        let message = refused("[tenants.news]\nlog = 'debug'");
        assert!(
            message.contains("tenants.news: `log` is for all"),
            "{message}"
        );
        let message = refused("[tenants.'../x']");
        assert!(message.contains("begins with a letter"), "{message}");
        let message = refused("[tenants.news]\nrpp = 'many'");
        assert!(message.contains("tenants.news: invalid type"), "{message}");
    }
}
