//! What is drawn for a seed: a tenant, the habits of its server, the settings of the program.

use std::fmt;

use simulator::{
    Behaviour, Business, Count, Edits, Faults, Options, Order, RetryAfter, Shape, Since,
};

use super::chance::Chance;
use super::tables::Job;
use crate::support::Program;

/// What a test begins with.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub options: Options,
    /// Users always.
    pub jobs: Vec<Job>,
    pub grants: bool,
    pub rpp: u32,
    pub in_flight: u32,
    /// Whether the brake is lifted where there is a witness.
    pub is_unbraked: bool,
    /// Daemons that help.
    pub daemons: u32,
    /// Whether people without a registration date are read by page while somebody changes after
    /// each answer: what two passes are for.
    pub is_paged_under_drift: bool,
    /// The server sends the same for each page, and somebody comes after each answer.
    pub is_deaf: bool,
}

impl Scenario {
    pub fn drawn(chance: &mut Chance) -> Self {
        let rpp = chance.among(2..=20);
        let people = chance
            .pick(&[0, 1, 5, 11, 20, 40, 60, 80])
            .min(chance.among(0..=80));
        let few = |chance: &mut Chance, most: u32, percent: u32| {
            if chance.percent(percent) {
                chance.among(1..=most)
            } else {
                0
            }
        };
        let shape = Shape {
            people,
            seed: chance.next(),
            awkward_percent: f64::from(few(chance, 60, 25)),
            duplicates: chance.percent(20),
            same_second: few(chance, 40, 30),
            undated: few(chance, 12, 30),
            business: Business {
                accounts: Some(chance.among(0..=14)),
                members: chance.among(0..=5),
                segments: chance.among(0..=8),
                events: Some(u64::from(chance.among(0..=90))),
            },
        };
        let clamp = |chance: &mut Chance| {
            let most = chance.among(1..=20);
            chance.pick(&[None, None, Some(most)])
        };
        let behaviour = Behaviour {
            rpp_clamp: clamp(chance),
            events_rpp_clamp: clamp(chance),
            since: if chance.percent(5) {
                Since::Registered
            } else {
                Since::Updated
            },
            ignore_filters: chance.percent(4),
            ignore_pages: chance.percent(4),
            ..Behaviour::drawn(chance.next())
        };
        let is_paged_under_drift = chance.percent(20);
        let (shape, behaviour, rpp) = if is_paged_under_drift {
            paged(shape, behaviour, chance)
        } else {
            (shape, behaviour, rpp)
        };
        let is_deaf = !is_paged_under_drift && chance.percent(5);
        let behaviour = if is_deaf {
            Behaviour {
                ignore_pages: true,
                ignore_filters: chance.percent(60),
                ..behaviour
            }
        } else {
            behaviour
        };
        let mut jobs = vec![Job::Users];
        jobs.extend(Job::ALL.into_iter().skip(1).filter(|_| chance.percent(40)));
        let daemons = few(chance, 2, 7);
        Self {
            options: Options {
                shape,
                behaviour,
                faults: if chance.percent(10) {
                    faults(chance)
                } else {
                    calm(chance)
                },
                max_in_flight: chance.percent(4).then(|| chance.among(2..=4) as usize),
                clock_skew: if chance.percent(10) {
                    i64::from(chance.among(0..=40)) - 20
                } else {
                    0
                },
                ..Options::default()
            },
            jobs,
            grants: chance.percent(60),
            rpp,
            in_flight: chance.pick(&[1, 2, 4, 8, 8]).max(daemons * 2),
            is_unbraked: chance.percent(50),
            daemons,
            is_paged_under_drift,
            is_deaf,
        }
    }

    /// What happens after each answer to the first load, and to most full scans of users after it:
    /// what is hardest for such a server.
    pub fn drift(&self) -> Edits {
        Edits {
            updates: u32::from(self.is_paged_under_drift),
            creations: u32::from(self.is_deaf),
            ..Edits::NONE
        }
    }

    /// Nothing goes wrong on the way.
    pub fn is_calm(&self) -> bool {
        let Faults {
            latency_ms,
            jitter_ms,
            ..
        } = self.options.faults;
        let still = Faults {
            latency_ms,
            jitter_ms,
            retry_after_secs: 0,
            ..Faults::default()
        };
        self.options.faults == still && self.options.max_in_flight.is_none()
    }

    /// Whether the server does what it is asked, so that a scan can come to a claim.
    pub fn is_honest(&self) -> bool {
        let Behaviour {
            ignore_filters,
            ignore_pages,
            ..
        } = self.options.behaviour;
        !ignore_filters && !ignore_pages
    }

    /// How many records of the user export an answer holds at most.
    pub fn records_per_answer(&self) -> u32 {
        let clamp = self.options.behaviour.rpp_clamp.unwrap_or(self.rpp);
        self.rpp.min(clamp)
    }

    /// Whether asking for what changed shows each change.
    pub fn shows_changes(&self) -> bool {
        self.options.behaviour.since == Since::Updated && self.is_honest()
    }

    /// The program with its settings.
    pub fn settle(&self, mut program: Program) -> Program {
        for job in Job::ALL {
            let text = job.file(self.grants);
            if self.jobs.contains(&job) {
                program = program.job(job.name(), &text);
            } else if !text.contains("'list'") {
                program = program.job(job.name(), &format!("enabled = false\n{text}"));
            }
        }
        if self.is_unbraked {
            program = program.with("ZEPHR_SYNC_MAX_DELETE_FRACTION", "1");
        }
        program
            .telling_phases()
            // Histories make tenants of three grow to hundreds, which a brake would stop.
            .with("ZEPHR_SYNC_MAX_GROWTH_FRACTION", "40")
            .with("ZEPHR_SYNC_RPP", self.rpp.to_string())
            .with("ZEPHR_SYNC_MAX_IN_FLIGHT", self.in_flight.to_string())
    }
}

/// A tenant where many can be read by page alone, in the order of their updates, a few at a time.
fn paged(shape: Shape, behaviour: Behaviour, chance: &mut Chance) -> (Shape, Behaviour, u32) {
    let undated = chance.among(12..=24);
    let shape = Shape {
        people: undated + chance.among(10..=30),
        undated,
        same_second: 0,
        ..shape
    };
    let behaviour = Behaviour {
        order: chance.pick(&[Order::UpdatedAsc, Order::UpdatedDesc]),
        rpp_clamp: None,
        count: chance.pick(&[Count::Page, Count::Absent]),
        ignore_filters: false,
        ignore_pages: false,
        ..behaviour
    };
    (shape, behaviour, chance.among(3..=6))
}

fn calm(chance: &mut Chance) -> Faults {
    Faults {
        latency_ms: u64::from(chance.pick(&[0_u32, 0, 1, 3])),
        jitter_ms: u64::from(chance.pick(&[0_u32, 2, 5])),
        ..Faults::default()
    }
}

/// One request in some dozens goes wrong: each costs a fifth of a second at least.
fn faults(chance: &mut Chance) -> Faults {
    let mut rate = || f64::from(chance.among(0..=4)) / 10.0;
    Faults {
        throttle: rate(),
        server_error: rate(),
        reset: rate(),
        truncate: rate(),
        html: rate(),
        forbidden_html: rate(),
        invalid_json: rate(),
        retry_after: chance.pick(&[RetryAfter::Seconds, RetryAfter::Date, RetryAfter::None]),
        ..calm(chance)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            options,
            jobs,
            grants,
            rpp,
            in_flight,
            is_unbraked,
            daemons,
            ..
        } = self;
        let jobs: Vec<&str> = jobs.iter().map(|job| job.name()).collect();
        writeln!(
            f,
            "jobs {}; grants {grants}; rpp {rpp}; {in_flight} in flight; unbraked {is_unbraked}; {daemons} daemons help",
            jobs.join(", ")
        )?;
        writeln!(f, "{:?}", options.shape)?;
        // How bulk updates answer, which comes last, matters to nobody here.
        let behaviour = format!("{:?}", options.behaviour);
        let behaviour = behaviour.split(", bulk:").next().unwrap_or_default();
        writeln!(f, "{behaviour} }}")?;
        write!(
            f,
            "{:?}; at most {:?} in flight; clock {} s ahead",
            options.faults, options.max_in_flight, options.clock_skew
        )
    }
}
