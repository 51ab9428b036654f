//! The page, used by a browser as people use it: with a mouse, with a keyboard alone, in light and
//! dark, on a phone.

use std::path::{Path, PathBuf};

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::support::browser::{Browser, ENTER, ESCAPE, TAB};
use crate::support::bulk::{Bench, Person};
use crate::support::page::Daemon;

const PLAN: &str = "!document.getElementById('plan').hidden";

/// Elements that only a file could have brought in.
const MARKUP: &str =
    "return document.querySelectorAll('#plan b, #plan img, #plan script, #plans b').length";

/// Finds whatever of the page somebody could not use: nothing is found when all is well.
const FAULTS: &str = r#"
const faults = [], shows = element => element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });
for (const control of document.querySelectorAll("a[href], button, input, select, summary, progress, svg[role=img], [role=region]")) {
  if (!shows(control)) continue;
  const name = control.getAttribute("aria-label") || [...(control.labels ?? [])].map(label => label.textContent).join(" ") || control.textContent;
  if (!name.trim()) faults.push(`no name: ${control.outerHTML}`);
}
if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
  if (!shows(heading)) continue;
  const own = Number(heading.tagName[1]);
  if (own > level + 1) faults.push(`heading skips a level: ${heading.textContent}`);
  level = own;
}
for (const table of document.querySelectorAll("table")) {
  if (!table.caption?.textContent.trim()) faults.push("a table without a caption");
  for (const head of table.querySelectorAll("th")) if (!head.scope) faults.push(`th without scope: ${head.textContent}`);
}
const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`twice: ${id}`);
for (const label of document.querySelectorAll("label[for]")) if (!document.getElementById(label.htmlFor)) faults.push(`a label of nothing: ${label.textContent}`);
if (!document.documentElement.lang) faults.push("no language");
if (!document.querySelector("[aria-live=polite]")) faults.push("nothing is told");
const parts = colour => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
const light = ({ r, g, b }) => [r, g, b].map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
const ground = element => { for (let at = element; at; at = at.parentElement) { const colour = parts(getComputedStyle(at).backgroundColor); if (colour.a === 1) return colour; } return { r: 255, g: 255, b: 255 }; };
for (const element of document.querySelectorAll("body *")) {
  const text = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!text || !shows(element) || element.closest("script, style, noscript, option, .skip")) continue;
  const [one, other] = [light(parts(getComputedStyle(element).color)), light(ground(element))].sort((one, other) => other - one);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(2)}: ${element.textContent.slice(0, 40)}`);
}
if (document.documentElement.scrollWidth > document.documentElement.clientWidth) {
  const wide = [...document.querySelectorAll("body *")].filter(element => element.getBoundingClientRect().right > document.documentElement.clientWidth && !element.closest(".scroll"));
  faults.push(`scrolls sideways: ${wide.slice(0, 3).map(element => element.outerHTML.slice(0, 100)).join(" ")}`);
}
return faults;
"#;

async fn looks_well(browser: &Browser, what: &str) {
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        for (width, height) in [(1_000, 900), (320, 640)] {
            browser.resize(width, height).await;
            let faults = browser.script(FAULTS).await;
            assert_eq!(faults, json!([]), "{what}, {scheme}, {width} px");
        }
    }
    browser.prefer("light").await;
    browser.resize(1_000, 900).await;
}

async fn opened(daemon: &Daemon, browser: &Browser) {
    let address = format!("http://{}/", daemon.address);
    browser.client.goto(&address).await.expect("the page");
    browser.until("document.querySelector('#job-list table') && document.querySelector('#plans').textContent").await;
}

/// The file of a push: two people get another city, and two rows are wrong.
fn file(persons: &[Person]) -> String {
    let citys = persons.iter().take(2).map(|person| {
        let city = if person.typed("city") == "Ghent" {
            "Siena"
        } else {
            "Ghent"
        };
        format!("{},{city}\n", person.user_id)
    });
    format!(
        "user_id,city\n{}nobody,Ghent\n<img src=x onerror=alert(1)>,Ghent\n",
        citys.collect::<String>()
    )
}

async fn uploaded(browser: &Browser, path: &Path) {
    let input = browser
        .client
        .find(Locator::Css("#file"))
        .await
        .expect("the input");
    input
        .send_keys(path.to_str().expect("a path"))
        .await
        .expect("a file");
    browser.click("#upload button[type=submit]").await;
    browser.until(PLAN).await;
}

/// Has the plan that shows applied, and waits for its end. The order is taken by a daemon, or by
/// the command, whoever is first.
async fn applied(bench: &Bench, browser: &Browser) -> String {
    let ordered = "select plan_id::text from bulk_orders order by ordered_at desc limit 1";
    browser
        .until("document.querySelector('#push-progress')")
        .await;
    let plan_id: String = bench.mirror.value(ordered).await;
    bench.apply(0, &plan_id).await;
    browser
        .until("document.querySelector('label[for=push-progress]')?.textContent === 'Finished'")
        .await;
    plan_id
}

fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pushes_a_file_and_takes_it_back() {
    let bench = Bench::of(400).await;
    let persons = bench.persons();
    let before: Vec<Value> = persons
        .iter()
        .take(2)
        .map(|person| bench.attributes(person.index))
        .collect();
    let daemon = Daemon::start(&bench.program).await;
    let browser = Browser::start().await;
    opened(&daemon, &browser).await;
    looks_well(&browser, "the page").await;
    browser.picture(&pictures().join("page-light.png")).await;

    bench.write("people <b>x.csv", file(&persons));
    let there = |name: &str| bench.program.directory().join(name);
    uploaded(&browser, &there("people <b>x.csv")).await;
    assert!(browser.text("#plan").await.contains("people <b>x.csv"));
    assert_eq!(browser.script(MARKUP).await, json!(0));
    browser.click("#plan [data-focus=close]").await;

    bench.write("people.csv", file(&persons));
    uploaded(&browser, &there("people.csv")).await;
    let shown = browser.text("#plan").await;
    for words in [
        "people.csv",
        "2 change something",
        "2 are left out",
        "→",
        "nobody",
        "<img src=x onerror=alert(1)>",
        "city",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let made = browser.script(MARKUP).await;
    assert_eq!(made, json!(0), "what the file holds is no markup");
    looks_well(&browser, "the preview").await;
    browser
        .script("document.getElementById('bulk').scrollIntoView()")
        .await;
    browser.prefer("dark").await;
    browser.picture(&pictures().join("preview-dark.png")).await;
    browser.resize(320, 640).await;
    browser
        .script("document.getElementById('plan').scrollIntoView()")
        .await;
    browser.picture(&pictures().join("preview-phone.png")).await;
    browser.resize(1_000, 900).await;
    browser.prefer("light").await;
    browser.click("#plan [data-focus=rejects]").await;
    let rejects = browser.downloaded("rejects-").await;
    assert!(
        rejects.contains("_reason") && rejects.contains("nobody"),
        "{rejects}"
    );

    // Asked first; and not when it is cancelled.
    browser.click("#plan [data-focus=apply]").await;
    browser.until("document.getElementById('ask').open").await;
    looks_well(&browser, "the question").await;
    browser
        .picture(&pictures().join("question-light.png"))
        .await;
    browser.press(ESCAPE).await;
    browser.until("!document.getElementById('ask').open").await;
    assert_eq!(
        bench
            .mirror
            .value::<i64>("select count(*) from bulk_orders")
            .await,
        0
    );
    browser.click("#plan [data-focus=apply]").await;
    browser.until("document.getElementById('ask').open").await;
    browser.click("#ask-yes").await;
    let plan_id = applied(&bench, &browser).await;
    browser
        .until("document.getElementById('outcomes').textContent.includes('2 of 2 done')")
        .await;
    browser
        .until("document.getElementById('bulk-said').textContent.includes('finished')")
        .await;
    looks_well(&browser, "the finished plan").await;
    let now: Vec<Value> = persons
        .iter()
        .take(2)
        .map(|person| bench.attributes(person.index))
        .collect();
    assert_ne!(now, before);

    browser.click("#plan [data-focus=results]").await;
    let results = browser.downloaded("results-").await;
    assert_eq!(
        results,
        bench.bulk(&["results", &plan_id]).await.expect(0).stdout
    );

    browser.click("#plan [data-focus=undo]").await;
    browser.until("document.getElementById('ask').open").await;
    browser.click("#ask-body input[name=clear]").await;
    browser.click("#ask-yes").await;
    browser
        .until("document.getElementById('plan-title').textContent.includes('way back')")
        .await;
    browser.click("#plan [data-focus=apply]").await;
    browser.until("document.getElementById('ask').open").await;
    browser.click("#ask-yes").await;
    let undo_id = applied(&bench, &browser).await;
    assert_ne!(undo_id, plan_id);
    for (person, before) in persons.iter().zip(&before) {
        let city = |shown: &Value| shown["city"].as_str().unwrap_or_default().to_owned();
        assert_eq!(city(&bench.attributes(person.index)), city(before));
    }
    let complaints = browser.script("return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin))").await;
    assert_eq!(complaints, json!([]), "the page asks nobody else");
    browser.close().await;
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough() {
    let bench = Bench::of(20).await;
    let daemon = Daemon::start(&bench.program).await;
    let browser = Browser::start().await;
    opened(&daemon, &browser).await;
    let focus = "const at = document.activeElement; return at === document.body ? null : { id: at.id, name: at.getAttribute('aria-label') || at.textContent, focus: at.dataset.focus ?? null, seen: getComputedStyle(at).outlineStyle !== 'none' && parseFloat(getComputedStyle(at).outlineWidth) >= 2 };";
    browser.press(TAB).await;
    let first = browser.script(focus).await;
    assert_eq!(first["name"], "Skip to the content");
    let mut reached = Vec::new();
    // More stops than the page has.
    for _ in 0..150 {
        let at = browser.script(focus).await;
        if at.is_null() || (!reached.is_empty() && at == first) {
            break;
        }
        assert_eq!(at["seen"], true, "{at}");
        reached.push(at);
        browser.press(TAB).await;
    }
    assert!(reached.iter().any(|at| at["id"] == "file"), "{reached:?}");
    let jobs = reached.iter().filter(|at| {
        at["focus"]
            .as_str()
            .is_some_and(|focus| focus.starts_with("run "))
    });
    assert!(jobs.count() >= 5, "{reached:?}");

    // A run, asked for by keys alone; the focus comes back to where it was.
    browser
        .script("document.querySelector('[data-focus=\"run users\"]').focus()")
        .await;
    browser.press(ENTER).await;
    browser.until("document.getElementById('ask').open && document.getElementById('ask').contains(document.activeElement)").await;
    browser.press(ESCAPE).await;
    browser.until("!document.getElementById('ask').open").await;
    assert_eq!(browser.script(focus).await["focus"], "run users");
    browser.press(ENTER).await;
    browser.until("document.getElementById('ask').open").await;
    browser
        .script("document.getElementById('ask-yes').focus()")
        .await;
    browser.press(ENTER).await;
    browser
        .until("document.getElementById('said').textContent.includes('users')")
        .await;
    browser
        .until("document.querySelectorAll('#run-list tbody tr').length >= 2")
        .await;
    browser.close().await;
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_once_and_out_again() {
    let bench = Bench::of(5).await;
    let token = "0123456789abcdef-long-and-random";
    let program = bench.program.with("ZEPHR_SYNC_TOKEN", token);
    let daemon = Daemon::start(&program).await;
    let browser = Browser::start().await;
    let address = format!("http://{}/", daemon.address);
    browser.client.goto(&address).await.expect("the page");
    browser
        .until("!document.getElementById('signing').hidden")
        .await;
    looks_well(&browser, "signing in").await;
    assert_eq!(
        browser
            .script("return document.getElementById('content').hidden")
            .await,
        json!(true)
    );
    browser.press(&format!("wrong{ENTER}")).await;
    browser
        .until("!document.getElementById('trouble').hidden")
        .await;
    looks_well(&browser, "a wrong token").await;
    browser.press(&format!("{token}{ENTER}")).await;
    browser
        .until("document.querySelector('#job-list table')")
        .await;
    assert_eq!(
        browser.script("return document.cookie").await,
        json!(""),
        "no script reads it"
    );
    browser.client.refresh().await.expect("the page");
    browser
        .until("document.querySelector('#job-list table')")
        .await;
    browser.click("#sign-out").await;
    browser
        .until("!document.getElementById('signing').hidden")
        .await;
    browser.close().await;
    daemon.stop().await.expect(0);
}
