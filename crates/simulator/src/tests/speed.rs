use std::time::Instant;

use super::*;
use crate::{Order, Tenant};

/// Prints how long the large tenant takes; nothing is asserted by the clock.
#[test]
#[ignore = "prints timings: cargo test --release -p simulator tests::speed -- --ignored --nocapture"]
fn a_million_people() {
    let shape = Shape {
        people: 1_000_000,
        ..Shape::default()
    };
    let behaviour = Behaviour {
        order: Order::UserId,
        ..Behaviour::plain()
    };
    let begin = Instant::now();
    let tenant = Tenant::new(&shape, behaviour, still_clock());
    println!("start {:?}", begin.elapsed());
    let ask = |name: &str, query: &str| {
        let begin = Instant::now();
        let target = "/v3/user-export";
        let answer = crate::routes::route(
            &tenant,
            crate::auth::Signed {
                method: "GET",
                path: target,
                query,
                body: b"",
            },
            None,
        );
        println!("{name}: {:?}, {} bytes", begin.elapsed(), answer.body.len());
    };
    for name in ["first", "second"] {
        ask(
            &format!("page, {name}"),
            "attributes=true&rpp=500&page=1000",
        );
    }
    let window = "attributes=true&rpp=1000&registeredSince=2021-03-01T00:00:00Z&registeredBefore=2021-03-03T00:00:00Z";
    ask("window, first", window);
    ask("window, second", window);
    ask("open window", "rpp=1&registeredSince=2010-01-01T00:00:00Z");
    ask("since, first", "rpp=500&since=2025-06-20T00:00:00Z");
    ask("since, second", "rpp=500&since=2025-06-20T00:00:00Z");
    let begin = Instant::now();
    tenant.edit(Edits {
        updates: 100,
        creations: 100,
        deletions: 100,
        ..Edits::NONE
    });
    println!("300 edits {:?}", begin.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!(
        "{}",
        status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap_or_default()
    );
    let begin = Instant::now();
    println!("truth {} bytes {:?}", tenant.truth().len(), begin.elapsed());
}
