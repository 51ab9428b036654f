//! What holds for any schedule, polled at any times by a daemon that is killed at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{Crontab, Due, Every, History, Missed, Schedule, Spread, Timetable};

/// A week before the clocks of London go forward: the simulated weeks hold that night.
fn start() -> DateTime<Utc> {
    "2026-03-22T00:00:00Z".parse().unwrap()
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let lines = prop::sample::select(vec![
        "15 2 * * *",
        "30 1 * * *",
        "30 1,13 * * *",
        "0 * * * *",
        "*/15 * * * *",
        "5 */2 * * 1-5",
        "0 0 * * 7",
        "*/20 1 * * *",
    ]);
    let zones = prop::sample::select(vec![
        Tz::UTC,
        Tz::Europe__London,
        Tz::America__New_York,
        Tz::Australia__Lord_Howe,
        Tz::Asia__Kathmandu,
    ]);
    prop_oneof![
        (lines, zones).prop_map(|(line, zone)| Schedule::Cron(Crontab::parse(line, zone).unwrap())),
        // The longest time between two looks has fewer slots than are counted.
        (300_u64..100_000)
            .prop_map(|seconds| Schedule::Every(Every::new(Duration::from_secs(seconds)).unwrap())),
    ]
}

/// How long until the next look, and whether the daemon was gone meanwhile.
fn looks() -> impl Strategy<Value = Vec<(i64, bool)>> {
    let wait = prop_oneof![4 => 1_i64..3_600, 1 => 3_600_i64..200_000];
    prop::collection::vec((wait, prop::bool::weighted(0.2)), 1..80)
}

proptest! {
    #[test]
    fn slots_only_go_forward_and_each_is_found_from_anywhere_before(
        schedule in schedules(),
        offset in 0_i64..3_000_000,
    ) {
        let from = start() + TimeDelta::seconds(offset);
        let slots: Vec<_> = schedule.slots(from).take(20).collect();
        prop_assert!(slots[0] > from);
        prop_assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "{slots:?}");
        prop_assert_eq!(schedule.next(slots[19] - TimeDelta::seconds(1)), Some(slots[19]));
        prop_assert_eq!(schedule.latest(from, slots[19]), Some(slots[19]));
        prop_assert_eq!(schedule.latest(from, slots[19] - TimeDelta::seconds(1)), Some(slots[18]));
        prop_assert_eq!(schedule.latest(slots[19], slots[19]), None);
    }

    #[test]
    fn a_slot_starts_before_the_next_one_comes(schedule in schedules(), longest in 0_u64..100_000, offset in 0_i64..3_000_000) {
        let spread = Spread { schema: "zephr", job: "users", longest: Duration::from_secs(longest) };
        let slots: Vec<_> = schedule.slots(start() + TimeDelta::seconds(offset)).take(30).collect();
        for pair in slots.windows(2) {
            let begins = spread.start(&schedule, pair[0]);
            prop_assert!(begins >= pair[0] && begins - pair[0] <= TimeDelta::seconds(longest as i64));
            prop_assert!(longest == 0 || begins < pair[1]);
        }
    }

    /// Each slot is run or passed over, once; what came while a daemon looked is not lost but to a
    /// later slot; what came while none did follows `missed`.
    #[test]
    fn each_slot_belongs_to_one_answer(
        schedule in schedules(),
        looks in looks(),
        skip in any::<bool>(),
        longest in prop::sample::select(vec![0_u64, 600, 40_000]),
    ) {
        let missed = if skip { Missed::Skip } else { Missed::Once };
        let spread = Spread { schema: "zephr", job: "users", longest: Duration::from_secs(longest) };
        let timetable = Timetable { schedule: &schedule, spread, missed };
        let mut history = History { last: None, known_since: start(), watched_since: start() };
        let mut now = start();
        let mut run = BTreeSet::new();
        let mut passed_over = BTreeSet::new();
        let mut promised = None;
        for (wait, restart) in looks {
            now += TimeDelta::seconds(wait);
            if restart {
                history.watched_since = now;
            }
            let due = timetable.due(&history, now);
            let passed = match due {
                Due::Wait { next, passed } => {
                    // A slot whose start has come while somebody watched is never left waiting, and
                    // the one that is named next is really the next.
                    let next = next.expect("these schedules never end");
                    prop_assert!(next.start_at > now);
                    let settled = passed.map(|passed| passed.last).or(history.last).unwrap_or(start());
                    prop_assert_eq!(schedule.next(settled), Some(next.scheduled_at));
                    prop_assert!(missed == Missed::Skip || passed.is_none());
                    promised = Some(next);
                    passed
                }
                Due::Run { slot, passed } => {
                    prop_assert!(slot.start_at <= now);
                    prop_assert!(run.insert(slot.scheduled_at), "{slot:?} again");
                    prop_assert!(!skip || slot.start_at >= history.watched_since);
                    // Nothing newer was to be had.
                    let newer = timetable.slots(slot.scheduled_at, now).filter(|newer| newer.start_at <= now).count();
                    prop_assert_eq!(newer, 0);
                    if let Some(promised) = promised {
                        prop_assert!(slot.scheduled_at >= promised.scheduled_at);
                    }
                    passed
                }
            };
            if let Some(passed) = passed {
                prop_assert!(passed.count < 1_000, "the looks are too far apart for this test");
                let before = history.last.unwrap_or(start());
                let slots: Vec<_> = timetable.slots(before, passed.last).map(|slot| slot.scheduled_at).collect();
                prop_assert_eq!((slots.len(), slots[0]), (passed.count, passed.first));
                for slot in slots {
                    prop_assert!(passed_over.insert(slot), "{slot} passed over again");
                }
            }
            history.last = match due {
                Due::Run { slot, .. } => Some(slot.scheduled_at),
                Due::Wait { passed, .. } => passed.map(|passed| passed.last).or(history.last),
            };
        }
        prop_assert!(run.is_disjoint(&passed_over));
        // Nothing was lost: everything up to the last answer is one or the other.
        if let Some(last) = history.last {
            let all: BTreeSet<_> = timetable.slots(start(), last).map(|slot| slot.scheduled_at).collect();
            prop_assert_eq!(run.union(&passed_over).copied().collect::<BTreeSet<_>>(), all);
        }
    }
}
