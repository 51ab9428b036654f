//! Which job waits for which, checked: a name that is no job's, a circle, and a job that could
//! never start are found before the night.

use std::collections::BTreeMap;

use super::Timing;

/// A job as far as the order goes.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether a daemon runs it.
    pub enabled: bool,
    /// When.
    pub timing: &'a Timing,
}

/// An order in which nothing can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that no job has.
    #[error("the job `{job}` is to run after `{name}`, and there is no such job{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// Whose `after` it is in.
        job: String,
        /// The name.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// Jobs that wait for each other, the first being named at the end again.
    #[error("jobs wait for each other: {}; take one of the names out of `after`", .0.join(" after "))]
    Circle(Vec<String>),
    /// A job without a schedule of its own after one that no daemon runs.
    #[error(
        "the job `{job}` has no schedule of its own and is to run after `{name}`, which no daemon runs; give one of them a schedule, enable `{name}`, or disable `{job}`"
    )]
    NeverRuns {
        /// The job that would wait for ever.
        job: String,
        /// What it would wait for.
        name: String,
    },
}

/// Checks the order of these jobs.
///
/// # Errors
/// The first that cannot be.
pub fn check(members: &[Member<'_>]) -> Result<(), Error> {
    let by_name: BTreeMap<&str, &Member<'_>> =
        members.iter().map(|member| (member.name, member)).collect();
    for member in members {
        for name in &member.timing.after {
            if !by_name.contains_key(name.as_str()) {
                return Err(Error::Unknown {
                    job: member.name.to_owned(),
                    name: name.clone(),
                    suggestion: closest(name, members),
                });
            }
        }
    }
    for member in members {
        circle(member.name, &by_name, &mut Vec::new())?;
    }
    for member in members {
        never_runs(member, &by_name)?;
    }
    Ok(())
}

/// Fewer letters in common, and a suggestion is a guess.
const ALIKE: f64 = 0.8;

fn closest(name: &str, members: &[Member<'_>]) -> Option<String> {
    members
        .iter()
        .map(|member| (strsim::jaro_winkler(name, member.name), member.name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}

/// Walks from a job to those it waits for; there are few jobs, so that a job may be walked through
/// more than once.
fn circle<'a>(
    name: &'a str,
    by_name: &BTreeMap<&'a str, &Member<'a>>,
    path: &mut Vec<&'a str>,
) -> Result<(), Error> {
    if let Some(begin) = path.iter().position(|visited| *visited == name) {
        let circle = path[begin..].iter().chain([&name]);
        return Err(Error::Circle(circle.map(ToString::to_string).collect()));
    }
    path.push(name);
    for next in by_name
        .get(name)
        .into_iter()
        .flat_map(|member| &member.timing.after)
    {
        circle(next, by_name, path)?;
    }
    path.pop();
    Ok(())
}

fn never_runs(member: &Member<'_>, by_name: &BTreeMap<&str, &Member<'_>>) -> Result<(), Error> {
    if !member.enabled || member.timing.schedule.is_some() {
        return Ok(());
    }
    for name in &member.timing.after {
        let idle = by_name.get(name.as_str()).is_none_or(|upstream| {
            let timing = upstream.timing;
            !upstream.enabled || (timing.schedule.is_none() && timing.after.is_empty())
        });
        if idle {
            return Err(Error::NeverRuns {
                job: member.name.to_owned(),
                name: name.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Every, Schedule};

    fn timing(after: &[&str], scheduled: bool) -> Timing {
        Timing {
            schedule: scheduled
                .then(|| Schedule::Every(Every::new(Duration::from_secs(600)).unwrap())),
            after: after.iter().map(ToString::to_string).collect(),
            ..Timing::default()
        }
    }

    /// Jobs by name, what each runs after, whether it has a schedule, and whether it is enabled.
    fn checked(jobs: &[(&str, &[&str], bool, bool)]) -> String {
        let timings: Vec<_> = jobs
            .iter()
            .map(|(_, after, scheduled, _)| timing(after, *scheduled))
            .collect();
        let members: Vec<_> = jobs
            .iter()
            .zip(&timings)
            .map(|((name, _, _, enabled), timing)| Member {
                name,
                enabled: *enabled,
                timing,
            })
            .collect();
        check(&members)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn orders_that_can_be_are_good() {
        assert_eq!(checked(&[]), "");
        // A diamond is no circle.
        assert_eq!(
            checked(&[
                ("a", &[], true, true),
                ("b", &["a"], false, true),
                ("c", &["a"], true, true),
                ("d", &["b", "c"], false, true),
            ]),
            ""
        );
    }

    #[test]
    fn a_circle_is_named() {
        let circle = [
            ("a", ["c"].as_slice(), true, true),
            ("b", &["d"], true, true),
            ("c", &["b"], true, true),
            ("d", &["c"], true, true),
        ];
        assert!(
            checked(&circle).contains("c after b after d after c;"),
            "{}",
            checked(&circle)
        );
        assert!(checked(&[("a", &["a"], true, true)]).contains("a after a;"));
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let error = checked(&[
            ("users", &[], true, true),
            ("segments", &["usres"], true, true),
        ]);
        assert!(
            error.contains("`segments` is to run after `usres`"),
            "{error}"
        );
        assert!(error.contains("did you mean `users`?"), "{error}");
    }

    #[test]
    fn a_job_that_could_never_start_is_found() {
        let by_hand = checked(&[("a", &[], false, true), ("b", &["a"], false, true)]);
        assert!(by_hand.contains("`b` has no schedule"), "{by_hand}");
        let disabled = checked(&[("a", &[], true, false), ("b", &["a"], false, true)]);
        assert!(disabled.contains("enable `a`"), "{disabled}");
        // With a schedule of its own it runs without; and what is disabled needs nothing.
        assert_eq!(
            checked(&[("a", &[], true, false), ("b", &["a"], true, true)]),
            ""
        );
        assert_eq!(
            checked(&[("a", &[], true, false), ("b", &["a"], false, false)]),
            ""
        );
    }
}
