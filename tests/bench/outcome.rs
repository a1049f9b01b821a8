//! What a row of the table came to.
use serde::Serialize;

use crate::variant::{Rounds, median};

/// What must be reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Goal {
    /// At least the first, better the second.
    AtLeast(f64, f64),
    /// At most the first, better the second.
    AtMost(f64, f64),
    /// Between both.
    Between(f64, f64),
    /// Nothing; it is told because it explains.
    None,
}

/// How a row stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Better than asked.
    Stretch,
    /// As asked.
    Reached,
    /// Not reached.
    Missed,
    /// Nothing was asked.
    Told,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// For `--only`.
    pub name: &'static str,
    /// What was measured against what.
    pub what: String,
    /// `×`, `µs`, `MB`, `ms`.
    pub unit: &'static str,
    /// What must be reached.
    pub goal: Goal,
    /// One value for each round.
    pub values: Vec<f64>,
    /// The rounds that the values come from.
    pub rounds: Vec<Rounds>,
}

impl Outcome {
    /// A ratio of two variants, round by round.
    pub fn new(name: &'static str, what: impl Into<String>, unit: &'static str, goal: Goal, values: Vec<f64>) -> Self {
        Self {
            name,
            what: what.into(),
            unit,
            goal,
            values,
            rounds: Vec::new(),
        }
    }

    /// With the rounds that it comes from.
    #[must_use]
    pub fn with_rounds(mut self, rounds: &[&Rounds]) -> Self {
        self.rounds = rounds.iter().map(|one| (*one).clone()).collect();
        self
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        median(self.values.clone())
    }

    /// The least and the most.
    pub fn range(&self) -> (f64, f64) {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    /// How it stands to its goal.
    pub fn verdict(&self) -> Verdict {
        let value = self.median();
        let (reached, stretch) = match self.goal {
            Goal::AtLeast(reach, stretch) => (value >= reach, value >= stretch),
            Goal::AtMost(reach, stretch) => (value <= reach, value <= stretch),
            Goal::Between(least, most) => ((least..=most).contains(&value), false),
            Goal::None => return Verdict::Told,
        };
        match (reached, stretch) {
            (true, true) => Verdict::Stretch,
            (true, false) => Verdict::Reached,
            (false, _) => Verdict::Missed,
        }
    }
}
