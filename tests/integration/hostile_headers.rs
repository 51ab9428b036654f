//! Whatever an answer says about itself: the process ends with a code of its own, soon, and names
//! the cause.

use crate::support::scripted::{Scripted, body_of, http_date, raw, users};
use crate::support::{Ended, Mirror};

const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];

/// How long the program waits when it is asked to, here.
const LIMIT: &str = "2s";

/// How a run with a hostile answer should end.
enum End {
    /// Asking again helped; the log says so.
    Well(&'static str),
    /// The run failed at once, and says so.
    Failed(&'static str),
}

/// An answer's status line and headers, and its body; where that is empty, it is the one of a
/// proper answer.
struct Hostile {
    head: String,
    body: &'static str,
    end: End,
}

fn hostile(head: &str, body: &'static str, end: End) -> Hostile {
    Hostile {
        head: head.to_owned(),
        body,
        end,
    }
}

/// Runs against a server of which the first answer is hostile and all others are proper; the run,
/// which needs no other run's lease.
async fn run(mirror: &Mirror, one: &Hostile) -> (Scripted, Ended) {
    let (head, body) = (one.head.clone(), one.body);
    let server = Scripted::start(
        users(),
        Box::new(move |number, target| {
            let proper = || body_of(&users(), target);
            (number == 1).then(|| match body {
                "" => raw(&head, &proper()),
                body => raw(&head, body),
            })
        }),
    )
    .await;
    let ended = server
        .program(mirror)
        .with("ZEPHR_SYNC_MAX_RETRY_AFTER", LIMIT)
        .run(&FULL)
        .await;
    (server, ended)
}

async fn check(cases: Vec<Hostile>) {
    for one in cases {
        // A mirror that holds nothing is anybody's: one that does would first ask whose it is,
        // since each server has an address of its own.
        let mirror = Mirror::new().await;
        let (server, ended) = run(&mirror, &one).await;
        let head = &one.head;
        match one.end {
            End::Well(says) => {
                assert_eq!(ended.code, Some(0), "{head}: {ended:?}");
                assert!(ended.stderr.contains(says), "{head}: {ended:?}");
                assert_eq!(ended.json()["runs"][0]["verdict"], "proven", "{head}");
            }
            End::Failed(says) => {
                assert_eq!(ended.code, Some(1), "{head}: {ended:?}");
                let run = &ended.json()["runs"][0];
                let error = run["error"].as_str().unwrap_or_default();
                assert!(error.contains(says), "{head}: {run:#}");
                assert!(
                    run["remedy"]
                        .as_str()
                        .is_some_and(|remedy| !remedy.is_empty())
                );
                assert_eq!(server.asked().len(), 1, "{head}: it was asked again");
            }
        }
        // Neither the lease of a run that failed is left, nor the run without an end.
        let leases: i64 = mirror
            .value("select count(*) from leases where expires_at > clock_timestamp()")
            .await;
        let running: i64 = mirror
            .value("select count(*) from runs where status = 'running'")
            .await;
        assert_eq!((leases, running), (0, 0), "{head}");
        mirror.remove().await;
    }
}

const HTML: &str = "<html>";

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_that_cannot_be_meant_counts_as_absent() {
    let throttled = |text: &str| {
        let head = format!("429 Too Many Requests\ncontent-length: 0\nretry-after: {text}");
        hostile(&head, "", End::Well("Zephr is throttling (429"))
    };
    let mut cases: Vec<_> = [
        "18446744073709551615",
        "18446744073709551616",
        "4294967296",
        "1700000000",
        "1700000000000",
        "86401",
        "-5",
        "soon",
        "",
        "1e400",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ]
    .map(throttled)
    .into();
    cases.push(hostile(
        "503 Service Unavailable\ncontent-length: 0\nretry-after: 18446744073709551615",
        "",
        End::Well("Zephr failed (503"),
    ));
    cases.push(hostile(
        "403 Forbidden\ncontent-type: text/html\nretry-after: 4294967296",
        HTML,
        End::Well("Zephr is throttling (403"),
    ));
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_is_obeyed_up_to_the_limit_and_beyond_it_the_run_fails_and_says_so() {
    let ahead = http_date(3_000);
    check(vec![
        hostile(
            "429 Too Many Requests\ncontent-length: 0\nretry-after: 1",
            "",
            End::Well("Zephr is throttling (429"),
        ),
        hostile(
            "429 Too Many Requests\ncontent-length: 0\nretry-after: 7200",
            "",
            End::Failed("Zephr asks to be left alone for 2h (429), and max_retry_after is 2s"),
        ),
        hostile(
            "429 Too Many Requests\ncontent-length: 0\nretry-after: 86400",
            "",
            End::Failed("left alone for 1day (429)"),
        ),
        hostile(
            "503 Service Unavailable\ncontent-length: 0\nretry-after: 7200",
            "",
            End::Failed("left alone for 2h (503)"),
        ),
        hostile(
            "403 Forbidden\ncontent-type: text/html\nretry-after: 7200",
            HTML,
            End::Failed("left alone for 2h (403)"),
        ),
        hostile(
            &format!("429 Too Many Requests\ncontent-length: 0\nretry-after: {ahead}"),
            "",
            End::Failed("left alone for 49m"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_zephr_wants_to_be_left_alone_no_other_job_asks_it_anything() {
    let server = Scripted::start(
        users(),
        Box::new(|_, _| {
            let head = "429 Too Many Requests\ncontent-length: 0\nretry-after: 7200";
            Some(raw(head, ""))
        }),
    )
    .await;
    let mirror = Mirror::new().await;
    let ended = server
        .program(&mirror)
        .run(&["sync", "schema", "catalog", "users", "--json"])
        .await
        .expect(1);
    let document = ended.json();
    let runs = document["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 3, "{document:#}");
    for run in runs {
        let error = run["error"].as_str().unwrap_or_default();
        assert!(error.contains("Zephr asks to be left alone"), "{run:#}");
        assert_eq!(run["status"], "failed");
    }
    assert_eq!(server.asked().len(), 1, "{:?}", server.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_not_the_bodys_is_noticed() {
    let ok = |length: &str, end| {
        let head = format!("200 OK\ncontent-type: application/json\n{length}");
        hostile(&head, "", end)
    };
    let broke = "the connection broke";
    check(vec![
        ok("content-length: 100000", End::Well(broke)),
        ok(
            "content-length: 20",
            End::Well("the answer is not complete JSON"),
        ),
        ok(
            "content-length: 0",
            End::Well("the answer is not JSON but empty"),
        ),
        ok(
            "content-length: 99999999999",
            End::Failed("larger than 256 MiB"),
        ),
        ok("content-length: 18446744073709551615", End::Well(broke)),
        ok("content-length: 18446744073709551616", End::Well(broke)),
        ok("content-length: -1", End::Well(broke)),
        ok("content-length: many", End::Well(broke)),
        ok("content-length: 20\ncontent-length: 30", End::Well(broke)),
        ok("transfer-encoding: chunked", End::Well(broke)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_encoded_is_refused_and_never_parsed() {
    let ok = |encoding: &str, end| {
        let head = format!("200 OK\ncontent-type: application/json\ncontent-encoding: {encoding}");
        hostile(&head, "", end)
    };
    check(vec![
        ok("gzip", End::Failed("the answer is encoded (gzip)")),
        ok("br", End::Failed("the answer is encoded (br)")),
        ok("gzip, br", End::Failed("the answer is encoded (gzip, br)")),
        ok(
            "x-unknown",
            End::Failed("the answer is encoded (x-unknown)"),
        ),
        ok("identity", End::Well("")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_never_followed() {
    let elsewhere = Scripted::start(users(), Box::new(|_, _| None)).await;
    let port = elsewhere.url.rsplit(':').next().expect("a port");
    let mut cases = Vec::new();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        for location in [
            format!("{}/v3/user-export", elsewhere.url),
            format!("http://localhost:{port}/v3/user-export"),
        ] {
            let head = format!("{status}\ncontent-length: 0\nlocation: {location}");
            cases.push(hostile(&head, "", End::Failed("unexpected answer (30")));
        }
    }
    // To itself: only one request is counted.
    cases.push(hostile(
        "302 Found\ncontent-length: 0\nlocation: /v3/user-export?page=1",
        "",
        End::Failed("unexpected answer (302"),
    ));
    check(cases).await;
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

/// Runs twice against a server of which every answer has this header instead of `Date`; the reason,
/// the two watermarks and what the second run asked for.
async fn dated(header: &str) -> (String, [f64; 2], String) {
    let header = header.to_owned();
    let server = Scripted::start(
        users(),
        Box::new(move |_, target| {
            let body = body_of(&users(), target);
            let length = body.len();
            let head =
                format!("200 OK\ncontent-type: application/json\ncontent-length: {length}{header}");
            Some(raw(&head, &body))
        }),
    )
    .await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    let mut reasons = Vec::new();
    let mut watermarks = [0.0; 2];
    for watermark in &mut watermarks {
        let document = program
            .run(&["sync", "users", "--json"])
            .await
            .expect(0)
            .json();
        let run = &document["runs"][0];
        assert_eq!(run["verdict"], "proven", "{run:#}");
        reasons.push(run["verdict_reason"].as_str().expect("a reason").to_owned());
        // Seconds before this moment.
        *watermark = mirror
            .value("select extract(epoch from clock_timestamp() - watermark)::float8 from checkpoints where job = 'users'")
            .await;
    }
    assert_eq!(reasons.len(), 2);
    let last = server.asked().pop().expect("a request");
    (reasons.pop().expect("a reason"), watermarks, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_moves_and_never_into_the_future_whatever_the_date() {
    const MARGIN: f64 = 300.0;
    for (header, says, behind) in [
        (String::new(), "no usable Date", MARGIN),
        ("\ndate: yesterday".into(), "no usable Date", MARGIN),
        (
            "\ndate: Thu, 01 Jan 1970 00:00:00 GMT".into(),
            "no usable Date",
            MARGIN,
        ),
        (
            "\ndate: Fri, 31 Dec 9999 23:59:59 GMT".into(),
            "no usable Date",
            MARGIN,
        ),
        (
            "\ndate: Thu, 31 Dec 2099 23:59:59 GMT".into(),
            "ahead of Postgres's clock",
            0.0,
        ),
        (
            format!("\ndate: {}", http_date(3 * 3_600)),
            "ahead of Postgres's clock",
            0.0,
        ),
        (
            format!("\ndate: {}", http_date(-3 * 86_400)),
            "not believed",
            MARGIN,
        ),
    ] {
        let (reason, watermarks, asked) = dated(&header).await;
        assert!(reason.contains(says), "{header}: {reason}");
        for age in watermarks {
            // The run began before this moment, by less than two minutes.
            assert!(age > behind && age < behind + 120.0, "{header}: {age} s");
        }
        // The second run asked for what changed only.
        assert!(asked.contains("since="), "{header}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_is_hours_behind_is_believed_and_said() {
    let (reason, watermarks, _) = dated(&format!("\ndate: {}", http_date(-3 * 3_600))).await;
    assert!(
        reason.contains("behind Postgres's clock: each run"),
        "{reason}"
    );
    for age in watermarks {
        assert!((10_800.0..11_000.0).contains(&age), "{age} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_date_each_run_asks_from_later_on() {
    let server = Scripted::start(
        users(),
        Box::new(|_, target| {
            let body = body_of(&users(), target);
            Some(raw(
                &format!("200 OK\ncontent-length: {}", body.len()),
                &body,
            ))
        }),
    )
    .await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    let mut since = Vec::new();
    for _ in 0..3 {
        program.run(&["sync", "users"]).await.expect(0);
        since.extend(asked_since(&server.asked()));
        // An hour goes by.
        mirror
            .execute("update checkpoints set watermark = watermark - interval '1 hour'")
            .await;
    }
    // The first one asked for everybody, and what the third one asked for is no earlier than what
    // the second one did.
    let [second, third] = &since[..] else {
        panic!("{since:?}");
    };
    assert!(second <= third, "{since:?}");
}

/// `since` of the last request, where it has one.
fn asked_since(asked: &[String]) -> Option<String> {
    let last = asked.last()?;
    let (_, since) = last.split_once("since=")?;
    Some(since.split('&').next()?.to_owned())
}
