//! The simulator as a process of its own.

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Program, truth};

#[tokio::test(flavor = "multi_thread")]
async fn a_simulator_says_how_to_reach_it_answers_and_stops_on_sigterm() {
    let place = Program::new();
    let mut simulator = place.spawn(&[
        "simulate",
        "--users",
        "25",
        "--listen",
        "127.0.0.1:0",
        "--plain",
    ]);
    let mut said = BufReader::new(simulator.stdout.take().expect("a pipe")).lines();
    let mut program = Program::new();
    for name in ["ZEPHR_BASE_URL", "ZEPHR_ACCESS_KEY", "ZEPHR_SECRET_KEY"] {
        let line = said.next_line().await.expect("text").expect("a line");
        program = program.with(
            name,
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
                .expect(&line),
        );
    }

    let shown = program
        .run(&["api", "GET", "/v3/user-export", "--paginate"])
        .await
        .expect(0)
        .stdout;
    assert_eq!(shown.lines().filter_map(truth::key).count(), 25);

    let id =
        rustix::process::Pid::from_raw(simulator.id().expect("running") as i32).expect("an id");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    assert_eq!(simulator.wait().await.expect("an end").code(), Some(0));
}
