//! Where the decisions of a run come from.
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// When set, a run decides as the run did that printed this seed.
const VARIABLE: &str = "ONEKEEL_STORM_SEED";

/// Every actor draws from a generator of its own, so that none depends on how fast the others are.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64);

impl Seed {
    /// The seed that the environment names, or a new one.
    pub fn choose() -> anyhow::Result<Self> {
        let given = std::env::var(VARIABLE).ok();
        let given = given.map(|text| text.parse().with_context(|| format!("{VARIABLE} is no number: {text}")));
        let fresh = || uuid::Uuid::new_v4().as_u64_pair().0;
        Ok(Self(given.transpose()?.unwrap_or_else(fresh)))
    }

    pub fn of(self, actor: &str, number: usize) -> StdRng {
        let mut hasher = DefaultHasher::new();
        (self.0, actor, number).hash(&mut hasher);
        StdRng::seed_from_u64(hasher.finish())
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VARIABLE}={}", self.0)
    }
}
