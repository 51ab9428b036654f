//! What a subject answers with: figures, each beside a yardstick or a target where there is one.

use serde::{Deserialize, Serialize};

/// Below this share two ratios of one run are the same.
const NOISE_OF_RATIOS: f64 = 0.05;
/// Machines drift by so much between one run and the next, which a figure without a yardstick
/// cannot tell from its own change.
const NOISE_OF_TIMES: f64 = 0.2;
/// Bytes, requests: what is counted hardly differs.
const NOISE_OF_COUNTS: f64 = 0.02;

/// Which way a figure gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    More,
    Less,
}

/// What a line is to reach: at least where more is better, at most where less is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Figure(f64),
    Ratio(f64),
}

/// The figure as a multiple of a yardstick's, of the same round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    pub value: f64,
    pub to: String,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Names the line in every run: subject, size, what.
    pub name: String,
    /// The median of the rounds.
    pub figure: f64,
    pub unit: String,
    pub better: Better,
    pub ratio: Option<Ratio>,
    pub target: Option<Target>,
    /// By which share two runs of the same program may differ.
    pub noise: f64,
}

impl Line {
    /// A line of what was timed, a value a round.
    pub fn timed(name: String, unit: &str, better: Better, rounds: Vec<f64>) -> Self {
        Self::new(name, unit, better, rounds, NOISE_OF_TIMES)
    }

    /// A line of what was counted, a value a round.
    pub fn counted(name: String, unit: &str, rounds: Vec<f64>) -> Self {
        Self::new(name, unit, Better::Less, rounds, NOISE_OF_COUNTS)
    }

    fn new(name: String, unit: &str, better: Better, rounds: Vec<f64>, noise: f64) -> Self {
        let noise = noise.max(spread(&rounds));
        Self {
            name,
            figure: median(rounds),
            unit: unit.to_owned(),
            better,
            ratio: None,
            target: None,
            noise,
        }
    }

    /// Sets it beside a yardstick: a ratio a round.
    pub fn beside(mut self, yardstick: &str, ratios: Vec<f64>) -> Self {
        self.noise = NOISE_OF_RATIOS.max(spread(&ratios));
        self.ratio = Some(Ratio {
            value: median(ratios),
            to: yardstick.to_owned(),
        });
        self
    }

    pub fn wants(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether it reaches its target; none where it has none.
    pub fn reaches(&self) -> Option<bool> {
        let (value, bound) = match self.target? {
            Target::Figure(bound) => (self.figure, bound),
            Target::Ratio(bound) => (self.ratio.as_ref()?.value, bound),
        };
        Some(match self.better {
            Better::More => value >= bound,
            Better::Less => value <= bound,
        })
    }

    /// What runs are compared by: the ratio where there is one, since it does not drift with the
    /// machine.
    pub fn compared(&self) -> f64 {
        self.ratio.as_ref().map_or(self.figure, |ratio| ratio.value)
    }

    /// Whether it is worse than in a former run by more than the noise of both.
    pub fn is_worse_than(&self, then: &Self) -> bool {
        let noise = self.noise.max(then.noise);
        match self.better {
            Better::More => self.compared() * (1.0 + noise) < then.compared(),
            Better::Less => self.compared() > then.compared() * (1.0 + noise),
        }
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How far the rounds were apart, as a share of their median.
fn spread(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let middle = median(values.to_vec());
    if middle == 0.0 || !middle.is_finite() {
        0.0
    } else {
        (most - least) / middle.abs()
    }
}
