//! Each setting by its names, declared once: what the settings file knows, which variable says the
//! same, and whose it is all follow from here.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

use super::place::Place;
use super::{Error, variable};

/// A setting.
#[derive(Debug)]
pub(super) struct Key {
    /// In the settings file.
    pub(super) name: &'static str,
    /// In the environment, where it is a setting there.
    pub(super) variable: Option<&'static str>,
    /// On the command line, where it has a flag.
    pub(super) flag: Option<&'static str>,
    /// Whose it is.
    pub(super) whose: Whose,
}

/// Whose a setting is, where the file keeps several tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// One tenant's own: above all of them it would mix two up.
    OneTenant,
    /// All tenants' where it stands above them, and one's in its table.
    Anybody,
    /// The process's: in a tenant's table it means nothing.
    Process,
}

impl Key {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            variable: None,
            flag: None,
            whose: Whose::Anybody,
        }
    }

    const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    const fn flag(mut self, name: &'static str) -> Self {
        self.flag = Some(name);
        self
    }

    const fn of(mut self, whose: Whose) -> Self {
        self.whose = whose;
        self
    }
}

/// Declares settings as constants of their names, tables of the file as keys of theirs, and [`ALL`]
/// of both.
macro_rules! keys {
    ([$($table:literal),*] $($constant:ident: $key:expr;)*) => {
        $(pub(super) const $constant: Key = $key;)*

        /// All settings.
        pub(super) const ALL: &[Key] = &[$($key,)* $(Key::new($table)),*];
    };
}

keys! {
    ["privacy", "bulk", "notify", "hooks", "tenants"]
    TENANT: Key::new("tenant").variable("ZEPHR_TENANT").of(Whose::OneTenant);
    BASE_URL: Key::new("base_url").variable("ZEPHR_BASE_URL").flag("--base-url").of(Whose::OneTenant);
    ACCESS_KEY: Key::new("access_key").variable("ZEPHR_ACCESS_KEY").of(Whose::OneTenant);
    SECRET_KEY: Key::new("secret_key").variable("ZEPHR_SECRET_KEY").of(Whose::OneTenant);
    SECRET_KEY_FILE: Key::new("secret_key_file").variable("ZEPHR_SECRET_KEY_FILE").of(Whose::OneTenant);
    DATABASE_URL: Key::new("database_url").variable("DATABASE_URL");
    DATABASE_URL_FILE: Key::new("database_url_file").variable("DATABASE_URL_FILE");
    SCHEMA: Key::new("schema").variable("ZEPHR_SYNC_SCHEMA").flag("--schema").of(Whose::OneTenant);
    DATA_DIR: Key::new("data_dir").variable("ZEPHR_SYNC_DATA_DIR").flag("--data-dir").of(Whose::Process);
    JOBS_DIR: Key::new("jobs_dir").variable("ZEPHR_SYNC_JOBS_DIR").flag("--jobs-dir");
    INBOX: Key::new("inbox").variable("ZEPHR_SYNC_INBOX").of(Whose::OneTenant);
    LOG: Key::new("log").variable("ZEPHR_SYNC_LOG").flag("--log").of(Whose::Process);
    LOG_FORMAT: Key::new("log_format").variable("ZEPHR_SYNC_LOG_FORMAT").flag("--log-format").of(Whose::Process);
    RPP: Key::new("rpp").variable("ZEPHR_SYNC_RPP").flag("--rpp");
    MAX_IN_FLIGHT: Key::new("max_in_flight").variable("ZEPHR_SYNC_MAX_IN_FLIGHT").flag("--max-in-flight");
    MAX_REQUESTS_PER_SECOND: Key::new("max_requests_per_second").variable("ZEPHR_SYNC_MAX_REQUESTS_PER_SECOND").flag("--max-requests-per-second");
    MAX_RETRY_AFTER: Key::new("max_retry_after").variable("ZEPHR_SYNC_MAX_RETRY_AFTER");
    IGNORE_FIELDS: Key::new("ignore_fields").variable("ZEPHR_SYNC_IGNORE_FIELDS");
    MAX_DELETE_FRACTION: Key::new("max_delete_fraction").variable("ZEPHR_SYNC_MAX_DELETE_FRACTION").flag("--max-delete-fraction");
    MAX_GROWTH_FRACTION: Key::new("max_growth_fraction").variable("ZEPHR_SYNC_MAX_GROWTH_FRACTION").flag("--max-growth-fraction");
    MAX_REJECTS: Key::new("max_rejects").variable("ZEPHR_SYNC_MAX_REJECTS").flag("--max-rejects");
    BOOKKEEPING_RETENTION: Key::new("bookkeeping_retention").variable("ZEPHR_SYNC_BOOKKEEPING_RETENTION");
    HASH_KEY: Key::new("hash_key").variable("ZEPHR_SYNC_HASH_KEY");
    HASH_KEY_FILE: Key::new("hash_key_file").variable("ZEPHR_SYNC_HASH_KEY_FILE");
    LISTEN: Key::new("listen").variable("ZEPHR_SYNC_LISTEN").of(Whose::Process);
    TOKEN: Key::new("token").variable("ZEPHR_SYNC_TOKEN").of(Whose::Process);
    TOKEN_FILE: Key::new("token_file").variable("ZEPHR_SYNC_TOKEN_FILE").of(Whose::Process);
    ALLOWED_HOSTS: Key::new("allowed_hosts").variable("ZEPHR_SYNC_ALLOWED_HOSTS").of(Whose::Process);
    MAX_UPLOAD_BYTES: Key::new("max_upload_bytes").variable("ZEPHR_SYNC_MAX_UPLOAD_BYTES").of(Whose::Process);
}

/// The keys of the settings file.
pub(super) const NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        names[at] = ALL[at].name;
        at += 1;
    }
    names
};

/// Where the settings of one tenant are looked for: flag, then environment, then file.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    place: &'a Place,
    tenant: Option<&'a str>,
}

/// A value that somebody set.
#[derive(Debug, Clone)]
pub(super) struct Set<T> {
    pub(super) value: T,
    /// The flag, the variable, or the key and its file: what a person has to change.
    pub(super) at: String,
}

impl<T> Set<T> {
    /// What is wrong with it, said of where it was set.
    pub(super) fn unfit(&self, message: impl Into<String>) -> Error {
        Error::Value {
            at: self.at.clone(),
            message: message.into(),
        }
    }
}

impl<'a> Sources<'a> {
    pub(super) fn of(place: &'a Place, tenant: Option<&'a str>) -> Self {
        Self { place, tenant }
    }

    fn in_file(&self, key: &Key) -> String {
        let file = self.place.file().display();
        match self.tenant {
            None => format!("`{}` in {file}", key.name),
            Some(tenant) => format!("`{}` for tenants.{tenant} in {file}", key.name),
        }
    }

    /// The value of a setting, as `parse` reads it from the environment. What it cannot read is
    /// told with the variable's name.
    pub(super) fn read<T, E>(
        &self,
        key: &Key,
        flag: Option<T>,
        file: Option<T>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<Set<T>>, (&'static str, E)> {
        let set = |value, at: &str| {
            Some(Set {
                value,
                at: at.to_owned(),
            })
        };
        if let (Some(value), Some(name)) = (flag, key.flag) {
            return Ok(set(value, name));
        }
        if let Some((name, text)) = key.variable.and_then(|name| Some((name, variable(name)?))) {
            return match parse(&text) {
                Ok(value) => Ok(set(value, name)),
                Err(why) => Err((name, why)),
            };
        }
        Ok(file.and_then(|value| set(value, &self.in_file(key))))
    }

    /// A number.
    ///
    /// # Errors
    /// The variable holds something else.
    pub(super) fn number<T: FromStr>(
        &self,
        key: &Key,
        flag: Option<T>,
        file: Option<T>,
    ) -> Result<Option<Set<T>>, Error> {
        let parse = |text: &str| {
            let unfit = |_| format!("`{text}` is not a number that fits");
            text.parse().map_err(unfit)
        };
        let unfit = |(name, message): (&str, String)| Error::Value {
            at: name.to_owned(),
            message,
        };
        self.read(key, flag, file, parse).map_err(unfit)
    }

    /// A text or a path.
    pub(super) fn text<T: for<'t> From<&'t str>>(
        &self,
        key: &Key,
        flag: Option<T>,
        file: Option<T>,
    ) -> Option<Set<T>> {
        let parse = |text: &str| Ok::<T, Infallible>(text.into());
        let Ok(set) = self.read(key, flag, file, parse);
        set
    }

    /// Several texts; commas are between them in the environment.
    pub(super) fn list(&self, key: &Key, file: Option<Vec<String>>) -> Option<Vec<String>> {
        let parse = |text: &str| {
            let each = text.split(',').map(|one| one.trim().to_owned());
            Ok::<Vec<String>, Infallible>(each.collect())
        };
        let Ok(set) = self.read(key, None, file, parse);
        set.map(|set| set.value)
    }

    /// A secret, or what stands in the file that another setting names. Of both the nearer source
    /// counts, and of one source the secret itself.
    ///
    /// # Errors
    /// [`Error::SecretFile`].
    pub(super) fn secret(
        &self,
        (key, in_file): (&Key, Option<&SecretString>),
        (file_key, path_in_file): (&Key, Option<&PathBuf>),
    ) -> Result<Option<Set<SecretString>>, Error> {
        let given = self.text::<String>(key, None, None);
        if let Some(Set { value, at }) = given {
            let value = value.into();
            return Ok(Some(Set { value, at }));
        }
        let path = match (self.text::<PathBuf>(file_key, None, None), in_file) {
            (Some(path), _) => path,
            (None, Some(value)) => {
                return Ok(Some(Set {
                    value: value.clone(),
                    at: self.in_file(key),
                }));
            }
            (None, None) => match self.text(file_key, None, path_in_file.cloned()) {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        let Set { value: path, at } = path;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Set {
                value: text.trim().to_owned().into(),
                at,
            })),
            Err(source) => Err(Error::SecretFile { at, path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_name_the_variable_that_says_the_same() {
        let command = crate::cli::Cli::command();
        for key in ALL {
            let Some(flag) = key.flag else { continue };
            let argument = command
                .get_arguments()
                .find(|argument| argument.get_long() == flag.strip_prefix("--"))
                .unwrap_or_else(|| panic!("{flag}"));
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let variable = key.variable.unwrap_or_else(|| panic!("{flag}"));
            assert!(
                help.contains(&format!("[env: {variable}]")),
                "{flag}: {help}"
            );
        }
    }

    #[test]
    fn no_name_stands_for_two_settings() {
        let unique = |names: Vec<&str>| {
            let all: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(all.len(), names.len(), "{names:?}");
        };
        unique(NAMES.to_vec());
        unique(ALL.iter().filter_map(|key| key.variable).collect());
        unique(ALL.iter().filter_map(|key| key.flag).collect());
    }
}
