use std::collections::VecDeque;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// What a plan came to.
struct Ran {
    read: Vec<i64>,
    asked: usize,
    /// How often one answer was waited for after another.
    rounds: usize,
}

/// Answers a plan from people registered at these seconds, as a server with pages of `rpp` would.
fn run(people: &[i64], rpp: usize, pick: impl Fn(&mut Vec<i64>), count: bool) -> Ran {
    let mut plan = Plan::without(&[]);
    let (mut read, mut asked, mut rounds) = (Vec::new(), 0, 0);
    let mut in_flight = VecDeque::new();
    loop {
        while in_flight.len() < 8
            && let Some(window) = plan.take(8 - in_flight.len())
        {
            in_flight.push_back((window, rounds + 1));
        }
        let Some((window, answered)) = in_flight.pop_front() else {
            break;
        };
        rounds = answered;
        asked += 1;
        assert!(asked < 20_000, "no progress at {window:?}");
        let bound = |at: Option<DateTime<Utc>>, open| {
            at.map_or(open, |at| people.partition_point(|p| *p < at.timestamp()))
        };
        let mut answer = people[bound(window.from, 0)..bound(window.until, people.len())].to_vec();
        let total = answer.len();
        if total < rpp {
            plan.read(window, total as u64);
            read.extend(answer);
            continue;
        }
        if !window.can_be_cut() {
            plan.read_by_page(window);
            read.extend(answer);
            continue;
        }
        pick(&mut answer);
        answer.truncate(rpp);
        let overflow = Overflow {
            dates: answer.into_iter().map(at).collect(),
            beside: None,
            shown: Vec::new(),
            count: count.then_some(total as u64),
            full_page: rpp as u64,
            answered_at: Some(at(NOW)),
        };
        plan.cut(window, &overflow);
    }
    read.sort_unstable();
    Ran {
        read,
        asked,
        rounds,
    }
}

/// How a server orders an answer.
type Order = fn(&mut Vec<i64>);

/// Eight years and four months.
const HOURS: u64 = 73_000;

/// A tenant as they grow in so many hours: more each year, fewer at night and at weekends.
fn grown(number: usize, hours: u64, seed: u64) -> Vec<i64> {
    let first = 1_488_326_400;
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut reached = vec![0.0];
    for hour in 0..hours {
        let night = if hour % 24 < 7 { 0.1 } else { 1.0 };
        let weekend = if (hour / 24) % 7 > 4 { 0.6 } else { 1.0 };
        let growth = 0.3 + 1.7 * hour as f64 / hours as f64;
        reached.push(reached[hour as usize] + night * weekend * growth);
    }
    let total = reached[hours as usize];
    let mut people: Vec<i64> = (0..number)
        .map(|_| {
            let target = draw() * total;
            let hour = reached.partition_point(|reached| *reached <= target) - 1;
            first + hour as i64 * 3_600 + (draw() * 3_600.0) as i64
        })
        .collect();
    people.sort_unstable();
    people
}

const ORDERS: [(&str, Order); 4] = [
    ("oldest first", |_| {}),
    ("newest first", |answer| answer.reverse()),
    ("any", |answer| {
        answer.sort_by_key(|p| (*p as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7)
    }),
    ("least recently updated", |answer| {
        answer.sort_by_key(|p| {
            let mixed = (*p as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            if mixed % 5 < 2 {
                *p
            } else {
                p + ((1_751_328_000 - p) as f64 * (mixed >> 20) as f64 / (1_u64 << 44) as f64)
                    as i64
            }
        });
    }),
];

#[test]
fn answers_are_waited_for_side_by_side_to_the_end() {
    for (name, order) in ORDERS {
        for seed in 1..=3 {
            // A hundred pages: thirteen rounds if they were known beforehand, and two to find out
            // anything.
            let rounds = run(&grown(50_000, HOURS, seed), 500, order, true).rounds;
            assert!(rounds <= 25, "{name}, seed {seed}: {rounds} rounds");
        }
    }
}

#[test]
fn an_unknown_tenant_is_read_in_little_more_than_its_pages() {
    // The last order tells nothing about where people are, so it costs a little more.
    for (number, most) in [
        (20_000, [1.35, 1.35, 1.4, 1.55]),
        (100_000, [1.27, 1.27, 1.3, 1.37]),
    ] {
        for ((name, order), most) in ORDERS.iter().zip(most) {
            for seed in 1..=3 {
                let people = grown(number, HOURS, seed);
                let Ran { read, asked, .. } = run(&people, 500, order, true);
                assert_eq!(read, people);
                let ratio = asked as f64 / number.div_ceil(500) as f64;
                assert!(
                    ratio <= most,
                    "{number}, {name}, seed {seed}: {asked} requests, {ratio:.3}"
                );
            }
        }
    }
}

#[test]
fn a_large_tenant_is_read_by_the_hours_of_its_day() {
    // Half a day fills a page, as with three million in eight years: without the hours it takes 1.8
    // requests and more.
    let people = grown(300_000, 7_300, 1);
    for ((name, order), most) in ORDERS.iter().zip([1.45, 1.45, 1.48, 1.48]) {
        let Ran { read, asked, .. } = run(&people, 500, order, true);
        assert_eq!(read, people);
        let ratio = asked as f64 / 600.0;
        assert!(ratio <= most, "{name}: {asked} requests, {ratio:.3}");
    }
}

const NOW: i64 = 1_760_000_000;

/// Uneven on purpose: growth, a quiet year, and a thousand in one second.
fn people() -> Vec<i64> {
    let mut people: Vec<i64> = (0..4_000).map(|n| 1_500_000_000 + n * n * 8).collect();
    people.extend((0..2_000).map(|n| 1_700_000_000 + n * 7));
    people.extend([1_650_000_000; 1_000]);
    people.extend([0, -5_000_000_000, 4_000_000_000]);
    people.sort_unstable();
    people
}

#[test]
fn everybody_is_in_exactly_one_window_whatever_the_order_of_answers() {
    let people = people();
    let orders: [Order; 3] = [
        |_| {},
        |answer| answer.reverse(),
        |answer| answer.sort_by_key(|p| p % 1_009),
    ];
    for order in orders {
        for count in [true, false] {
            let Ran { read, asked, .. } = run(&people, 100, order, count);
            assert_eq!(read, people);
            assert!(
                asked < 700,
                "{asked} requests for {} pages",
                people.len() / 100
            );
        }
    }
}

#[test]
fn nobody_registered_too_early_or_too_late_to_be_asked_for() {
    // From the year 0 to the year 9999, which is what is read of a timestamp.
    let (first, last) = (-62_167_219_200, 253_402_300_799);
    for crowd in [1, 600] {
        let mut people: Vec<i64> = (0..900).map(|n| 1_600_000_000 + n * 9_000).collect();
        people.extend(vec![first; crowd]);
        people.extend(vec![last; crowd]);
        people.sort_unstable();
        for (name, order) in ORDERS {
            let ran = run(&people, 100, order, true);
            assert_eq!(ran.read, people, "{name}");
            assert!(ran.asked < 150, "{name}, {crowd}: {} requests", ran.asked);
        }
    }
}

#[test]
fn a_scan_ends_though_as_many_register_as_are_read() {
    // Somebody registers every tenth of a second, which is how long an answer takes; ten fill a
    // page, so that a second has to be read by page, and takes a second.
    const START: i64 = 10 * NOW;
    for (name, order) in ORDERS {
        for count in [true, false] {
            let (mut plan, mut now, mut read) = (Plan::without(&[]), START, Vec::new());
            while let Some(window) = plan.take(1) {
                now += if window.can_be_cut() { 1 } else { 10 };
                assert!(now < START + 10_000, "{name}: it still asks for {window:?}");
                let tenths = START - 900..now;
                let there: Vec<i64> = tenths
                    .filter(|tenth| window.contains(at(tenth / 10)))
                    .collect();
                if there.len() < 10 || !window.can_be_cut() {
                    plan.read(window, there.len() as u64);
                    read.extend(there.into_iter().filter(|tenth| *tenth < START));
                    continue;
                }
                let mut seconds: Vec<i64> = there.iter().map(|tenth| tenth / 10).collect();
                order(&mut seconds);
                seconds.truncate(10);
                let overflow = Overflow {
                    dates: seconds.into_iter().map(at).collect(),
                    beside: None,
                    shown: Vec::new(),
                    count: count.then_some(there.len() as u64),
                    full_page: 10,
                    answered_at: Some(at(now / 10)),
                };
                plan.cut(window, &overflow);
            }
            read.sort_unstable();
            assert!(read.into_iter().eq(START - 900..START), "{name}");
        }
    }
}

#[test]
fn cuts_of_an_earlier_scan_are_kept_out_of_what_is_done() {
    let mut plan = Plan::without(&[Window {
        from: Some(at(100)),
        until: Some(at(200)),
    }]);
    plan.cut_at(&[at(50), at(150), at(250)]);
    let mut bounds = Vec::new();
    while let Some(window) = plan.take(1) {
        bounds.push((window.from, window.until));
    }
    let expected = [
        (Some(at(250)), None),
        (None, Some(at(50))),
        (Some(at(50)), Some(at(100))),
        (Some(at(200)), Some(at(250))),
    ];
    assert_eq!(bounds, expected);
}

#[test]
fn a_resumed_plan_asks_only_for_what_is_missing() {
    let done = [Window {
        from: None,
        until: Some(at(100)),
    }];
    let mut plan = Plan::without(&done);
    assert_eq!(
        plan.take(1),
        Some(Window {
            from: Some(at(100)),
            until: None
        })
    );
    assert_eq!(plan.take(1), None);
}

#[test]
fn a_long_quiet_time_behind_a_crowd_is_crossed_in_growing_steps() {
    let mut people: Vec<i64> = (0..60).map(|n| 1_600_000_000 + n * 37).collect();
    people.extend((0..60).map(|n| 1_690_000_000 + n));
    let scattered: Order = |answer| answer.sort_by_key(|p| (p * 7_919) % 1_009);
    for (count, most) in [(true, 80), (false, 140)] {
        let Ran { read, asked, .. } = run(&people, 13, scattered, count);
        assert_eq!(read, people);
        assert!(asked < most, "{asked} requests");
    }
}

#[test]
fn the_beginning_of_time_is_reached_when_fewer_are_left_than_were_counted() {
    let mut plan = Plan::without(&[]);
    let mut asked = 0;
    while let Some(window) = plan.take(1) {
        asked += 1;
        assert!(asked < 40, "it still asks for {window:?}");
        // All but the latest hundred are deleted after the first answer.
        if asked > 1 {
            let held = (0..100).filter(|n| window.contains(at(NOW - n * 60)));
            plan.read(window, held.count() as u64);
            continue;
        }
        let overflow = Overflow {
            dates: (0..100).map(|n| at(NOW - n * 60)).collect(),
            beside: None,
            shown: Vec::new(),
            count: Some(3_000),
            full_page: 100,
            answered_at: Some(at(NOW)),
        };
        plan.cut(window, &overflow);
    }
}

#[test]
fn what_is_left_to_the_next_run_is_not_asked_for() {
    let mut plan = Plan::without(&[]);
    plan.cut_at(&[at(100), at(200), at(300)]);
    plan.leave_out(at(250));
    plan.leave_out(at(280));
    let mut bounds = Vec::new();
    while let Some(window) = plan.take(1) {
        bounds.push((window.from, window.until));
        plan.read(window, 0);
    }
    let expected = [
        (None, Some(at(100))),
        (Some(at(100)), Some(at(200))),
        (Some(at(200)), Some(at(250))),
    ];
    assert_eq!(bounds, expected);
    assert_eq!(
        plan.left_out(),
        Some(Window {
            from: Some(at(250)),
            until: None
        })
    );
}

#[test]
fn a_window_that_is_always_too_large_is_a_second_after_a_dozen_answers() {
    let (first, last) = (NOW - 50 * 365 * 86_400, NOW);
    let done = [
        Window {
            from: None,
            until: Some(at(first)),
        },
        Window {
            from: Some(at(last)),
            until: None,
        },
    ];
    for (latest_first, count) in [
        (false, None),
        (true, None),
        (false, Some(21)),
        (true, Some(21)),
    ] {
        let mut plan = Plan::without(&done);
        let mut asked = 0;
        while let Some(window) = plan.take(1)
            && window.can_be_cut()
        {
            asked += 1;
            assert!(asked < 18, "it still asks for {window:?}");
            // Twenty who are spread over all of it, and there are more.
            let from = window.from.map_or(first, |from| from.timestamp());
            let until = window.until.map_or(last, |until| until.timestamp());
            let spread = (0..20).map(|n| at(from + (until - from) * n / 20));
            let mut dates: Vec<_> = spread.collect();
            if latest_first {
                dates.reverse();
            }
            let overflow = Overflow {
                dates,
                count,
                full_page: 20,
                answered_at: Some(at(NOW)),
                ..Overflow::default()
            };
            plan.cut(window, &overflow);
        }
        assert!(asked > 2);
    }
}

#[test]
fn a_window_is_cut_off_the_crowd_beside_it_at_once() {
    // Fifty in one second; a page holds one of those who are in the window or in the second beside
    // it, and of those the crowd comes first.
    let crowd = 1_700_000_000;
    let mut plan = Plan::without(&[]);
    let (mut asked, mut in_crowd) = (0, 0);
    while let Some(window) = plan.take(1) {
        asked += 1;
        assert!(asked < 16, "it still asks for {window:?}");
        let (since, before) = window.asked();
        let holds = since.is_none_or(|since| since <= at(crowd))
            && before.is_none_or(|before| at(crowd) <= before);
        if !holds {
            plan.read(window, 0);
        } else if window.can_be_cut() {
            let inside = window.contains(at(crowd));
            let overflow = Overflow {
                dates: if inside { vec![at(crowd)] } else { Vec::new() },
                beside: (!inside).then_some(at(crowd)),
                full_page: 1,
                answered_at: Some(at(NOW)),
                ..Overflow::default()
            };
            plan.cut(window, &overflow);
        } else {
            in_crowd += i32::from(window.contains(at(crowd)));
            plan.read_by_page(window);
        }
    }
    assert_eq!(in_crowd, 1);
}

#[test]
fn the_second_that_an_answer_shows_is_asked_for_before_what_is_beside_it() {
    let mut plan = Plan::without(&[]);
    let all = plan.take(1).unwrap();
    let overflow = Overflow {
        dates: vec![at(1_000_000)],
        beside: None,
        shown: Vec::new(),
        count: None,
        full_page: 1,
        answered_at: Some(at(NOW)),
    };
    plan.cut(all, &overflow);
    let first = plan.take(1).unwrap();
    assert!(
        first.contains(at(1_000_000)) && !first.can_be_cut(),
        "{first:?}"
    );
    let beside = [plan.take(1).unwrap(), plan.take(1).unwrap()];
    assert_eq!(beside[0].until, Some(at(1_000_000)), "{beside:?}");
    assert_eq!(beside[1].from, Some(at(1_000_001)), "{beside:?}");
}
