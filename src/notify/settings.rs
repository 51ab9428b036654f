//! The settings `[[notify]]` and `[hooks]`, checked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::event::Kind;
use super::hook::Hook;
use schedule::duration;

/// An entry of `[[notify]]`, as the file gives it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: Option<SecretString>,
    url_file: Option<PathBuf>,
    url_env: Option<String>,
    secret: Option<SecretString>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    #[serde(default)]
    format: Format,
    on: Option<BTreeSet<Kind>>,
}

/// `[hooks]`, as the file gives it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    after_success: Option<Vec<String>>,
    timeout: Option<String>,
    #[serde(default)]
    environment: Vec<String>,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One document, for machines.
    #[default]
    Json,
    /// A message, for a channel.
    Slack,
}

/// Settings that cannot be used. None of them shows an address or a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address, or no secret where one is named, or two of them.
    #[error("[[notify]]: {0}")]
    Entry(String),
    /// A file that holds an address or a secret.
    #[error("[[notify]]: {name} names {}, which cannot be read", .path.display())]
    File {
        /// The setting.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command after a run.
    #[error("[hooks]: {0}")]
    Hook(String),
}

/// Where events go. The address may hold a secret (Slack's does), so only its host is ever shown.
#[derive(Clone)]
pub struct Address {
    url: SecretString,
    host: String,
}

impl Address {
    /// Checks an address.
    ///
    /// # Errors
    /// What is wrong, without the address.
    pub fn parse(text: &SecretString) -> Result<Self, String> {
        let url = Url::parse(text.expose_secret().trim())
            .map_err(|error| format!("the url is no web address: {error}"))?;
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => {
                return Err(format!(
                    "the url to {host} is plain http; only https keeps what is sent to itself"
                ));
            }
            other => return Err(format!("the url begins with {other}:; write https://")),
        }
        Ok(Self {
            host: host.to_owned(),
            url: String::from(url).into(),
        })
    }

    /// Its host, which may be shown.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// All of it, which may not.
    pub(super) fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.host)
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Who is told what.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Where.
    pub address: Address,
    /// Signs what is sent; none means that nothing is signed.
    pub secret: Option<SecretString>,
    /// How it is written.
    pub format: Format,
    /// What is told.
    pub on: BTreeSet<Kind>,
}

/// Variables as the environment has them.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Settings {
    /// Checks an entry; reads the files and variables it names.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn receiver(self, variable: Variable<'_>) -> Result<Receiver, Error> {
        let url = one("url", self.url, self.url_file, self.url_env, variable)?;
        let url = url.ok_or_else(|| Error::Entry("has no url, url_file or url_env".into()))?;
        let secret = one(
            "secret",
            self.secret,
            self.secret_file,
            self.secret_env,
            variable,
        )?;
        let on = self.on.unwrap_or_else(|| Kind::ALL.into());
        if on.is_empty() {
            return Err(Error::Entry(
                "on = [] tells nothing; leave it out to be told everything".into(),
            ));
        }
        Ok(Receiver {
            address: Address::parse(&url).map_err(Error::Entry)?,
            secret,
            format: self.format,
            on,
        })
    }

    /// The files that this entry names.
    pub fn files(&mut self) -> impl Iterator<Item = &mut Option<PathBuf>> {
        [&mut self.url_file, &mut self.secret_file].into_iter()
    }

    /// The variables that this entry takes secrets from: no hook is to see them.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let names = [self.url_env.as_deref(), self.secret_env.as_deref()];
        names.into_iter().flatten()
    }
}

/// A secret from where it is kept.
fn one(
    name: &str,
    value: Option<SecretString>,
    file: Option<PathBuf>,
    env: Option<String>,
    variable: Variable<'_>,
) -> Result<Option<SecretString>, Error> {
    let secret = match (value, file, env) {
        (None, None, None) => return Ok(None),
        (Some(value), None, None) => value,
        (None, Some(path), None) => match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned().into(),
            Err(source) => {
                let name = format!("{name}_file");
                return Err(Error::File { name, path, source });
            }
        },
        (None, None, Some(env)) => match variable(&env) {
            Some(value) => value.into(),
            None => {
                return Err(Error::Entry(format!(
                    "{name}_env names {env}, which is not set"
                )));
            }
        },
        (_, Some(_), Some(_)) | (Some(_), _, Some(_)) | (Some(_), Some(_), _) => {
            return Err(Error::Entry(format!(
                "keep one of {name}, {name}_file and {name}_env"
            )));
        }
    };
    if secret.expose_secret().is_empty() {
        return Err(Error::Entry(format!("{name} is empty")));
    }
    Ok(Some(secret))
}

/// A hook that takes longer is probably waiting for something that does not come.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

impl HookSettings {
    /// Checks them. `secret` are variables beside our own that the hook is not to see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn hook(self, secret: Vec<String>) -> Result<Option<Hook>, Error> {
        let timeout = duration("timeout", self.timeout.as_deref()).map_err(Error::Hook)?;
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.is_zero() {
            return Err(Error::Hook("timeout must be longer than nothing".into()));
        }
        let Some(command) = self.after_success else {
            return Ok(None);
        };
        let mut parts = command.into_iter();
        let program = parts
            .next()
            .filter(|program| !program.is_empty())
            .ok_or_else(|| {
                Error::Hook(
                    "after_success names no command; write for example [\"dbt\", \"build\"]".into(),
                )
            })?;
        Ok(Some(Hook {
            program,
            arguments: parts.collect(),
            timeout,
            allowed: self.environment,
            secret,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(text: &str) -> Result<Receiver, Error> {
        let settings: Settings = toml::from_str(text).unwrap();
        settings.receiver(&|name| {
            (name == "HOOK_URL").then(|| "https://hooks.example/T0/hidden".into())
        })
    }

    #[test]
    fn an_entry_with_a_url_tells_everything_as_json() {
        let receiver = receiver("url = 'https://example.com/x'").unwrap();
        assert_eq!(receiver.on.len(), Kind::ALL.len());
        assert_eq!(
            (receiver.format, receiver.secret.is_none()),
            (Format::Json, true)
        );
        assert_eq!(receiver.address.expose(), "https://example.com/x");
    }

    #[test]
    fn secrets_come_from_files_and_variables_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "whsec\n").unwrap();
        let text = format!(
            "url_env = 'HOOK_URL'\nsecret_file = '{}'\nformat = 'slack'\non = ['failed', 'bulk_finished']",
            file.path().display()
        );
        let receiver = receiver(&text).unwrap();
        assert_eq!(receiver.secret.unwrap().expose_secret(), "whsec");
        assert_eq!(receiver.address.host(), "hooks.example");
        assert_eq!(receiver.on, [Kind::Failed, Kind::BulkFinished].into());
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_that_is_secret() {
        for (text, part) in [
            ("format = 'json'", "has no url"),
            (
                "url = 'http://example.com/hidden'",
                "example.com is plain http",
            ),
            (
                "url = 'http://hidden:hidden@10.0.0.1/hidden'",
                "10.0.0.1 is plain http",
            ),
            ("url = 'ftp://example.com/hidden'", "begins with ftp:"),
            ("url = 'hidden'", "no web address"),
            ("url = ''", "url is empty"),
            ("url_env = 'NOWHERE'", "NOWHERE, which is not set"),
            ("url_file = '/nonexistent'", "cannot be read"),
            (
                "url = 'https://a/hidden'\nurl_env = 'HOOK_URL'",
                "keep one of url,",
            ),
            (
                "url = 'https://a/hidden'\nsecret = 'hidden'\nsecret_env = 'HOOK_URL'",
                "keep one of secret,",
            ),
            ("url = 'https://a/hidden'\non = []", "tells nothing"),
        ] {
            let error = receiver(text).unwrap_err();
            let message = remedy::chain(&error);
            assert!(message.contains(part), "{message}");
            assert!(
                !format!("{message}{error:?}").contains("hidden"),
                "{message} {error:?}"
            );
        }
        for host in ["localhost", "127.0.0.1:9", "[::1]:9"] {
            receiver(&format!("url = 'http://{host}/x'")).unwrap();
        }
    }

    #[test]
    fn nothing_secret_prints() {
        let text = "url = 'https://user:hidden@example.com/hidden?key=hidden'\nsecret = 'hidden'";
        let settings: Settings = toml::from_str(text).unwrap();
        let unchecked = format!("{settings:?}");
        let checked = format!("{:?}", receiver(text).unwrap());
        assert!(checked.contains("example.com"), "{checked}");
        assert!(
            !format!("{unchecked}{checked}").contains("hidden"),
            "{unchecked} {checked}"
        );
    }

    /// What the documentation shows.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shown {
        notify: Vec<Settings>,
        hooks: HookSettings,
    }

    #[test]
    fn what_the_documentation_shows_can_be_read() {
        let page = include_str!("../../docs/notifications.md");
        let (_, shown) = page.split_once("```toml\n").unwrap();
        let (shown, _) = shown.split_once("```").unwrap();
        let Shown { notify, hooks } = toml::from_str(shown).unwrap();
        let variables: Vec<_> = notify.iter().flat_map(Settings::variables).collect();
        assert_eq!(variables, ["SLACK_URL"]);
        assert!(hooks.hook(Vec::new()).unwrap().is_some());
    }

    #[test]
    fn a_hook_is_a_command_with_its_arguments() {
        let hook = |text: &str| {
            toml::from_str::<HookSettings>(text)
                .unwrap()
                .hook(Vec::new())
        };
        assert!(hook("").unwrap().is_none());
        let dbt = hook(
            "after_success = ['dbt', 'build']\ntimeout = '30m'\nenvironment = ['DATABASE_URL']",
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            (dbt.program.as_str(), dbt.arguments.as_slice()),
            ("dbt", ["build".to_owned()].as_slice())
        );
        assert_eq!((dbt.timeout.as_secs(), dbt.allowed.len()), (1_800, 1));
        for (text, part) in [
            ("after_success = []", "no command"),
            ("after_success = ['']", "no command"),
            (
                "after_success = ['a']\ntimeout = '0s'",
                "longer than nothing",
            ),
            ("after_success = ['a']\ntimeout = 'long'", "15m"),
        ] {
            let error = hook(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
