//! How far a scan may be believed.

use std::fmt;

use super::short::Short;

/// How one part of a scan was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// One response held all of it; one response cannot drift.
    Whole,
    /// Two passes by page showed the same people: evidence, not proof.
    Passes,
    /// Neither.
    None,
}

impl Proof {
    /// Its name in the bookkeeping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Passes => "passes",
            Self::None => "none",
        }
    }

    /// The proof of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Whole, Self::Passes, Self::None]
            .into_iter()
            .find(|proof| proof.name() == name)
    }
}

/// The verdict on a scan, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Each part was whole: nobody who was there throughout is missing.
    Proven,
    /// Some part rests on evidence: two equal passes, or what the contract documents as "none".
    Agreed,
    /// What was to be read within a budget was read, and a rest is left.
    Partial,
    /// Somebody may be missing.
    Incomplete,
}

impl Verdict {
    /// Its name in the bookkeeping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Agreed => "agreed",
            Self::Partial => "partial",
            Self::Incomplete => "incomplete",
        }
    }

    /// The verdict of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Proven, Self::Agreed, Self::Partial, Self::Incomplete]
            .into_iter()
            .find(|verdict| verdict.name() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a scan was given up before its end. Each is a bound that keeps it from going on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// So many answers in a row brought nothing that could be kept.
    NoProgress(u32),
    /// Who was shown in answers that were too large was not there when their windows were read,
    /// again and again.
    Contradicted,
    /// More records came than the tenant can be expected to have.
    Grown(Growth),
}

/// More records than are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How many there were when the scan began.
    pub known: u64,
    /// How many may come.
    pub allowed: u64,
}

/// What a scan was made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// Parts read whole.
    pub whole: u64,
    /// Parts that rest on two equal passes.
    pub passes: u64,
    /// Parts whose passes never agreed.
    pub unproven: u64,
    /// Parts that were answered with 404, twice.
    pub not_found: u64,
    /// Parts that say that they hold more than they show.
    pub hidden: u64,
    /// The server sent somebody outside the window that was asked for.
    pub filter_ignored: bool,
    /// The server said that there is more where there was not.
    pub contradicted: bool,
    /// An answer came of which nothing tells that it is whole.
    pub may_be_cut: bool,
    /// Records that have the id of another one in the same answer, and differ from it.
    pub differing: u64,
    /// Windows that held fewer than are counted in them.
    pub short: Short,
    /// Why it was not read to its end.
    pub given_up: Option<GivenUp>,
}

impl Parts {
    /// Counts a part.
    pub fn add(&mut self, proof: Proof) {
        match proof {
            Proof::Whole => self.whole += 1,
            Proof::Passes => self.passes += 1,
            Proof::None => self.unproven += 1,
        }
    }

    /// The verdict and its reason.
    ///
    /// `endpoint` is what was asked, for people.
    pub fn verdict(&self, endpoint: &str) -> (Verdict, String) {
        let all = self.whole + self.passes + self.unproven + self.not_found + self.hidden;
        if self.filter_ignored {
            return (
                Verdict::Incomplete,
                "the server does not honour registeredSince and registeredBefore as they are meant: it sent somebody from outside the time that was asked for, or left somebody out. So the export was read by page, which people who change meanwhile can slip through".into(),
            );
        }
        if let Some(given_up) = self.given_up {
            return (Verdict::Incomplete, format!("{endpoint}: {given_up}"));
        }
        if self.not_found > 0 {
            let reason = format!(
                "{endpoint} answered 404, or with nothing at all, to {} of {all} parts, asked twice: that shows that something answers, not that nothing is there",
                self.not_found
            );
            return (Verdict::Incomplete, reason);
        }
        if self.hidden > 0 {
            let reason = format!(
                "{endpoint} said for {} of {all} parts that there are more than it showed, and nobody new came with the next page",
                self.hidden
            );
            return (Verdict::Incomplete, reason);
        }
        if self.unproven > 0 {
            let reason = format!(
                "{} of {all} parts could only be read by page, and no two passes agreed, or they showed fewer than the server counts, or some people on two pages and others on none",
                self.unproven
            );
            return (Verdict::Incomplete, reason);
        }
        if self.short.is_left {
            let reason = format!(
                "{endpoint} counts more people in some windows than it showed in them, though it was asked again"
            );
            return (Verdict::Incomplete, reason);
        }
        let short = match self.short.read_again {
            0 => String::new(),
            again => format!(
                "; {again} windows held fewer people than are counted in them, and showed more when they were asked for again: others may be short in a way that no count tells"
            ),
        };
        let contradicted = if self.contradicted {
            "; the server said that there is more (count or next link) where the next page was empty, so nothing it says of that kind was relied on"
        } else {
            ""
        };
        let may_be_cut = if self.may_be_cut {
            "; some answers said neither how long they are (Content-Length) nor came in chunks, so nothing tells a table that was cut off from a whole one"
        } else {
            ""
        };
        let differing = match self.differing {
            0 => String::new(),
            differing => format!(
                "; {differing} records have the id of another one in the same answer and differ from it: of each id the last one is kept"
            ),
        };
        if self.passes > 0 {
            let reason = format!(
                "{} of {all} parts rest on two equal passes by page, the others on whole answers{contradicted}{may_be_cut}{differing}{short}",
                self.passes
            );
            return (Verdict::Agreed, reason);
        }
        let reason = match self.whole {
            1 => "everything came whole in one answer".to_owned(),
            parts => format!("each of {parts} parts came whole in one answer"),
        };
        if self.contradicted || self.may_be_cut || self.differing > 0 || self.short.read_again > 0 {
            let reason = reason + contradicted + may_be_cut + &differing + &short;
            return (Verdict::Agreed, reason);
        }
        (Verdict::Proven, reason)
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgress(answers) => write!(
                f,
                "{answers} answers in a row brought nothing that could be kept: the server says each time that there is more than it sends, so the scan was given up"
            ),
            Self::Contradicted => f.write_str(
                "the answers contradict each other: who was in one that was too large was not there when the same time was asked for again, so the scan was given up"
            ),
            Self::Grown(Growth { known, allowed }) => write!(
                f,
                "more than {allowed} records came where {known} were known: a growth that nobody expected, so the scan was given up"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_part_decides() {
        let mut parts = Parts::default();
        parts.add(Proof::Whole);
        assert_eq!(parts.verdict("GET /").0, Verdict::Proven);
        let contradicted = Parts {
            contradicted: true,
            ..parts
        };
        assert_eq!(contradicted.verdict("GET /").0, Verdict::Agreed);
        parts.add(Proof::Passes);
        assert_eq!(parts.verdict("GET /").0, Verdict::Agreed);
        parts.add(Proof::None);
        assert_eq!(parts.verdict("GET /").0, Verdict::Incomplete);
        let whole = Parts {
            whole: 3,
            ..Parts::default()
        };
        for weak in [
            Parts {
                filter_ignored: true,
                ..whole
            },
            Parts {
                not_found: 1,
                ..whole
            },
            Parts {
                given_up: Some(GivenUp::NoProgress(3)),
                ..whole
            },
        ] {
            assert_eq!(weak.verdict("GET /").0, Verdict::Incomplete);
        }
    }

    #[test]
    fn names_are_read_back() {
        for verdict in [
            Verdict::Proven,
            Verdict::Agreed,
            Verdict::Partial,
            Verdict::Incomplete,
        ] {
            assert_eq!(Verdict::named(verdict.name()), Some(verdict));
        }
        for proof in [Proof::Whole, Proof::Passes, Proof::None] {
            assert_eq!(Proof::named(proof.name()), Some(proof));
        }
    }
}
