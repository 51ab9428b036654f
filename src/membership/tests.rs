//! Several daemons that come, beat, are stopped, wake up and leave, at random: together they never
//! have more in flight than the tenant's ceiling.
//!
//! The governors, the division and what lies between are the real ones; only the table is a list
//! here. Time is stood still and moved by hand.

use futures::FutureExt;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use mirror::state::daemons::{Other, Settled, TERM, USE, divide};
use zephr::governor::{Limits, Outcome, Permit};

const CEILING: usize = 5;

const DAEMONS: usize = 4;

/// A request under way, which ends by itself on the server's side whatever its daemon does.
#[derive(Debug)]
struct Sent {
    ends: Instant,
    /// Its place; none when the process that sent it is gone.
    permit: Option<Permit>,
}

/// A beat between its question and its answer.
#[derive(Debug, Clone, Copy)]
enum Beat {
    Asked(Moment, Held),
    Answered(Moment, Granted),
}

#[derive(Debug)]
struct Daemon {
    /// New with each start, as on the list.
    id: usize,
    places: Places,
    stopped: bool,
    beat: Option<Beat>,
    sent: Vec<Sent>,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    daemon: usize,
    seen: Instant,
    places: usize,
}

#[derive(Debug, Clone)]
enum Event {
    /// The next thing that its keeper does: it asks, the table answers, it hears.
    Beat(usize),
    /// As many requests as it may, which take so many milliseconds each.
    Send(usize, u64),
    Stop(usize),
    Continue(usize),
    Kill(usize),
    Leave(usize),
    /// Milliseconds pass.
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let daemon = 0..DAEMONS;
    let most = (TERM - USE).as_millis() as u64;
    // Often enough that most rows last, and seldom enough that some do not.
    let event = prop_oneof![
        24 => daemon.clone().prop_map(Event::Beat),
        10 => (daemon.clone(), 1..most).prop_map(|(daemon, takes)| Event::Send(daemon, takes)),
        2 => daemon.clone().prop_map(Event::Stop),
        3 => daemon.clone().prop_map(Event::Continue),
        1 => daemon.clone().prop_map(Event::Kill),
        1 => daemon.prop_map(Event::Leave),
        6 => (1..1_500_u64).prop_map(Event::Pass),
        1 => (3_000..14_000_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..300)
}

#[derive(Debug, Default)]
struct World {
    daemons: [Option<Daemon>; DAEMONS],
    table: Vec<Row>,
    started: usize,
    /// Requests of daemons that are gone.
    orphans: Vec<Sent>,
}

impl World {
    fn act(&mut self, event: &Event) {
        match *event {
            Event::Beat(id) => self.beat(id),
            Event::Send(id, takes) => {
                if let Some(daemon) = self.awake(id) {
                    while let Some(permit) = daemon.places.governor.admit().now_or_never() {
                        daemon.sent.push(Sent {
                            ends: Instant::now() + Duration::from_millis(takes),
                            permit: Some(permit),
                        });
                    }
                }
            }
            Event::Stop(id) => {
                if let Some(daemon) = &mut self.daemons[id] {
                    daemon.stopped = true;
                }
            }
            Event::Continue(id) => {
                if let Some(daemon) = &mut self.daemons[id] {
                    daemon.stopped = false;
                }
            }
            Event::Kill(id) => {
                if let Some(daemon) = self.daemons[id].take() {
                    self.orphans
                        .extend(daemon.sent.into_iter().map(|sent| Sent {
                            permit: None,
                            ..sent
                        }));
                }
            }
            Event::Leave(id) => {
                // As `Keeper::leave`: the row goes only when nothing is under way.
                if let Some(daemon) = self.awake(id)
                    && daemon.sent.is_empty()
                {
                    let gone = daemon.id;
                    self.daemons[id] = None;
                    self.table.retain(|row| row.daemon != gone);
                }
            }
            Event::Pass(_) => {}
        }
        let now = Instant::now();
        self.orphans.retain(|sent| sent.ends > now);
        for daemon in self.daemons.iter_mut().flatten() {
            // A stopped process does not notice that its answers came.
            if !daemon.stopped {
                for ended in daemon.sent.extract_if(.., |sent| sent.ends <= now) {
                    if let Some(permit) = ended.permit {
                        permit.finish(Outcome::Good);
                    }
                }
            }
        }
    }

    fn awake(&mut self, id: usize) -> Option<&mut Daemon> {
        self.daemons[id].as_mut().filter(|daemon| !daemon.stopped)
    }

    fn beat(&mut self, id: usize) {
        let started = &mut self.started;
        let daemon = self.daemons[id].get_or_insert_with(|| Daemon {
            id: {
                *started += 1;
                *started
            },
            places: Places::none(
                Governor::new(Limits {
                    max_in_flight: CEILING,
                    max_per_second: None,
                    max_retry_after: Duration::from_secs(900),
                }),
                Clock::from_fn(|| std::time::UNIX_EPOCH),
            ),
            stopped: false,
            beat: None,
            sent: Vec::new(),
        });
        daemon.beat = match daemon.beat.take() {
            // Postgres answers a question that reached it, whether or not who asked is stopped
            // meanwhile.
            Some(Beat::Asked(asked, held)) => {
                let granted = settle(&mut self.table, daemon.id, held);
                Some(Beat::Answered(asked, granted))
            }
            waiting @ Some(Beat::Answered(..)) if daemon.stopped => waiting,
            Some(Beat::Answered(asked, granted)) => {
                daemon.places.granted(granted, asked);
                None
            }
            None if daemon.stopped => None,
            None => Some(Beat::Asked(
                Moment::now(&daemon.places.clock),
                daemon.places.held(),
            )),
        };
    }

    /// Requests that the tenant is answering.
    fn in_flight(&self) -> usize {
        let daemons = self.daemons.iter().flatten();
        let sent = daemons.flat_map(|daemon| &daemon.sent);
        let now = Instant::now();
        sent.chain(&self.orphans)
            .filter(|sent| sent.ends > now)
            .count()
    }
}

/// As [`daemons::beat`].
fn settle(table: &mut Vec<Row>, id: usize, held: Held) -> Granted {
    let now = Instant::now();
    table.retain(|row| now - row.seen < TERM);
    let mine = table.iter().position(|row| row.daemon == id);
    let others: Vec<Other> = table
        .iter()
        .enumerate()
        .filter(|(position, _)| Some(*position) != mine)
        .map(|(position, row)| Other {
            came_first: mine.is_none_or(|mine| position < mine),
            max_in_flight: CEILING,
            places: row.places,
        })
        .collect();
    let Settled { places, granted } = divide(&others, mine.is_some(), CEILING, held);
    let row = Row {
        daemon: id,
        seen: now,
        places,
    };
    match mine {
        Some(mine) => table[mine] = row,
        None => table.push(row),
    }
    granted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn together_they_never_have_more_in_flight_than_the_ceiling(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::default();
            for event in &events {
                if let Event::Pass(milliseconds) = event {
                    tokio::time::advance(Duration::from_millis(*milliseconds)).await;
                }
                world.act(event);
                prop_assert!(world.in_flight() <= CEILING, "{} in flight after {event:?}", world.in_flight());
            }
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_them_have_their_part_after_a_few_beats() {
    let mut world = World::default();
    for _ in 0..30 {
        for id in 0..3 {
            world.act(&Event::Beat(id));
        }
    }
    let daemons = world.daemons.iter().flatten();
    let places: Vec<usize> = daemons.map(|daemon| daemon.places.held().ceiling).collect();
    assert_eq!(places, [2, 2, 1]);
}
