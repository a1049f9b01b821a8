//! What a storm did; one that did nothing has proved nothing.
use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;

use super::killer::{KINDS, Kind};
use super::seed::Seed;
use super::spender::Spent;
use super::sweeper::Swept;
use super::told::Told;

/// What the database says to a unit that is spent again, to one that was never there, and to a lease that has ended.
const TWICE: &str = "charges_pkey";
const BEYOND: &str = "charges_range_check";
const ENDED: &str = "charges_reservation_fkey";

pub struct Summary {
    pub seed: Seed,
    pub seconds: u64,
    pub kills: BTreeMap<Kind, usize>,
    pub unknown_commits: usize,
    pub fenced: usize,
    pub told: Told,
    pub spent: Spent,
    pub swept: Swept,
    pub looks: usize,
    pub rows: i64,
}

impl Summary {
    fn refused(&self, constraint: &str) -> usize {
        self.spent.refused.get(constraint).copied().unwrap_or_default()
    }

    /// Fails when a part of the storm did not take place.
    pub fn is_a_storm(&self) -> anyhow::Result<()> {
        for kind in KINDS {
            let kills = self.kills.get(&kind).copied().unwrap_or_default();
            ensure!(kills > 0, "no {kind:?} was killed");
        }
        ensure!(self.fenced > 0, "no row was fenced");
        ensure!(self.swept.in_use > 0, "no lease in use was ended");
        for constraint in [TWICE, BEYOND, ENDED] {
            ensure!(
                self.refused(constraint) > 0,
                "no double spend was refused by {constraint}"
            );
        }
        let full = self.told.refused.get("QUOTA_EXCEEDED").copied().unwrap_or_default();
        ensure!(full > 0, "no tenant was at its limit");
        for (what, calls) in [
            ("creation", self.told.creates),
            ("change", self.told.updates),
            ("deletion", self.told.deletes),
            ("return", self.told.undeletes),
        ] {
            ensure!(calls > 0, "no {what} was acknowledged");
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "storm of {} s, {}: killed", self.seconds, self.seed)?;
        for (kind, kills) in &self.kills {
            write!(f, " {kind:?} {kills},")?;
        }
        let told = &self.told;
        write!(
            f,
            " {} commits unknown, {} rows fenced; {} leases ended from outside, {} of them in use; double spends refused: \
             {} twice, {} beyond, {} of ended or enlarged leases; acknowledged: {} creations, {} changes, {} deletions, \
             {} returns; {} calls with an unknown outcome",
            self.unknown_commits,
            self.fenced,
            self.swept.ended,
            self.swept.in_use,
            self.refused(TWICE),
            self.refused(BEYOND),
            self.refused(ENDED),
            told.creates,
            told.updates,
            told.deletes,
            told.undeletes,
            told.unknown
        )?;
        for (reason, calls) in &told.refused {
            write!(f, ", {calls} refused as {reason}")?;
        }
        write!(
            f,
            "; {} looks at every tenant, none above its limit; {} rows, {} used, 0 reserved",
            self.looks, self.rows, self.rows
        )
    }
}
