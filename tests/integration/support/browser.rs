//! A browser without a window, steered through chromedriver. Each has a profile of its own, and
//! speaks to nobody but this machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What is waited for comes within this time, also on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// What chromedriver says when it listens.
const STARTED: &str = "started successfully on port ";

/// Keys, as WebDriver calls them.
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";
pub const ESCAPE: &str = "\u{E00C}";

/// A browser.
#[derive(Debug)]
pub struct Browser {
    pub client: Client,
    /// Where downloads go.
    downloads: tempfile::TempDir,
    _profile: tempfile::TempDir,
    _driver: Child,
}

/// A command of the browser's own protocol.
#[derive(Debug)]
struct Native {
    name: &'static str,
    options: Value,
}

impl WebDriverCompatibleCommand for Native {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/goog/cdp/execute",
            session.unwrap_or_default()
        ))
    }

    fn method_and_body(&self, _: &url::Url) -> (hyper::Method, Option<String>) {
        let body = json!({ "cmd": self.name, "params": self.options });
        (hyper::Method::POST, Some(body.to_string()))
    }
}

/// The first of these programs that is installed.
fn installed(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|place| names.iter().map(move |name| place.join(name)))
        .find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!("none of {names:?} is installed; `make setup` installs a browser, or says how")
    })
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let (downloads, profile) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let mut driver = Command::new(installed(&["chromedriver"]))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines
                .next_line()
                .await
                .expect("text")
                .expect("chromedriver runs");
            if let Some((_, port)) = line.split_once(STARTED) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Read at all times: a full pipe would hold it up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--window-size=1000,900",
            &profile_flag,
        ];
        let options = json!({ "goog:chromeOptions": {
            "binary": installed(&["chromium", "chromium-browser", "google-chrome"]),
            "args": flags,
            "prefs": { "download.default_directory": downloads.path(), "download.prompt_for_download": false },
        }});
        let options: Capabilities = options.as_object().expect("options").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        Self {
            client,
            downloads,
            _profile: profile,
            _driver: driver,
        }
    }

    /// Tells the browser something in its own protocol.
    pub async fn native(&self, name: &'static str, options: Value) -> Value {
        self.client
            .issue_cmd(Native { name, options })
            .await
            .expect(name)
    }

    /// Makes the window so many pixels wide and high.
    pub async fn resize(&self, width: u32, height: u32) {
        let options =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.native("Emulation.setDeviceMetricsOverride", options)
            .await;
    }

    /// Makes the browser prefer light or dark.
    pub async fn prefer(&self, scheme: &str) {
        let options = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.native("Emulation.setEmulatedMedia", options).await;
    }

    /// What a script in the page answers.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect(script)
    }

    /// Waits until a script in the page answers with something true.
    pub async fn until(&self, script: &str) {
        let end = tokio::time::Instant::now() + DEADLINE;
        let asked = format!("return Boolean({script})");
        while self.script(&asked).await != json!(true) {
            if tokio::time::Instant::now() >= end {
                panic!(
                    "{script}\n{}",
                    self.script("return document.body.innerText").await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks on the first element that shows. The page may draw itself anew between looking and
    /// clicking; a person would click on what is there then.
    pub async fn click(&self, selector: &str) {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let found = self.client.find(Locator::Css(selector)).await;
            match found.expect(selector).click().await {
                Err(error)
                    if error.is_stale_element_reference() && tokio::time::Instant::now() < end => {}
                clicked => return clicked.expect(selector),
            }
        }
    }

    /// The text of an element.
    pub async fn text(&self, selector: &str) -> String {
        let element = self
            .client
            .find(Locator::Css(selector))
            .await
            .expect(selector);
        element.text().await.expect(selector)
    }

    /// Presses keys where the focus is, one after the other.
    pub async fn press(&self, keys: &str) {
        let pressed = keys
            .chars()
            .flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let keyboard = KeyActions::new("keyboard".into());
        let keyboard = pressed.fold(keyboard, InputSource::then);
        self.client.perform_actions(keyboard).await.expect("keys");
    }

    /// Waits for a download whose name begins like this; what it holds.
    pub async fn downloaded(&self, begins: &str) -> String {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let files = std::fs::read_dir(self.downloads.path()).expect("a directory");
            let whole = files
                .filter_map(|file| file.ok()?.file_name().into_string().ok())
                .find(|name| name.starts_with(begins) && name.ends_with(".csv"));
            if let Some(name) = whole {
                let text = std::fs::read_to_string(self.downloads.path().join(name)).expect("text");
                // The browser holds the name with an empty file while the download has another one.
                if !text.is_empty() {
                    return text;
                }
            }
            assert!(tokio::time::Instant::now() < end, "no download of {begins}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps what shows as a picture, where pictures are to be made anew.
    pub async fn picture(&self, path: &Path) {
        if std::env::var_os("ZEPHR_TEST_WRITE_PICTURES").is_some() {
            let picture = self.client.screenshot().await.expect("a picture");
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            std::fs::write(path, picture).expect("a file");
        }
    }

    /// Ends it.
    pub async fn close(self) {
        self.client.close().await.expect("it ends");
    }
}
