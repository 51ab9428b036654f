//! How far a scan may be believed.

use std::fmt;

/// How one part of a scan was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
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
}

/// The verdict on a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Each part was whole: nobody who was there throughout is missing.
    Proven,
    /// Some part rests on two equal passes.
    Agreed,
    /// Somebody may be missing.
    Incomplete,
}

impl Verdict {
    /// The verdict of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Proven, Self::Agreed, Self::Incomplete]
            .into_iter()
            .find(|verdict| verdict.to_string() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proven => "proven",
            Self::Agreed => "agreed",
            Self::Incomplete => "incomplete",
        })
    }
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
    /// The server sent somebody outside the window that was asked for.
    pub filter_ignored: bool,
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
    pub fn verdict(&self) -> (Verdict, String) {
        if self.filter_ignored {
            return (
                Verdict::Incomplete,
                "the server does not honour registeredSince and registeredBefore, so the export was read by page, which people who change meanwhile can slip through".into(),
            );
        }
        if self.unproven > 0 {
            let reason = format!(
                "{} of {} parts could only be read by page, and no two passes agreed",
                self.unproven,
                self.whole + self.passes + self.unproven
            );
            return (Verdict::Incomplete, reason);
        }
        if self.passes > 0 {
            let reason = format!(
                "{} of {} parts rest on two equal passes by page, the others on whole answers",
                self.passes,
                self.whole + self.passes
            );
            return (Verdict::Agreed, reason);
        }
        let reason = match self.whole {
            1 => "everything came whole in one answer".to_owned(),
            parts => format!("each of {parts} parts came whole in one answer"),
        };
        (Verdict::Proven, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_part_decides() {
        let mut parts = Parts::default();
        parts.add(Proof::Whole);
        assert_eq!(parts.verdict().0, Verdict::Proven);
        parts.add(Proof::Passes);
        assert_eq!(parts.verdict().0, Verdict::Agreed);
        parts.add(Proof::None);
        assert_eq!(parts.verdict().0, Verdict::Incomplete);
        let ignored = Parts {
            whole: 3,
            filter_ignored: true,
            ..Parts::default()
        };
        assert_eq!(ignored.verdict().0, Verdict::Incomplete);
    }
}
