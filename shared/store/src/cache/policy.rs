//! How much of Redis one tenant may use, and for how long, by its plan.
use std::str::FromStr;
use std::time::Duration;

use onekeel_api::Call;

const LONGEST_TTL: u64 = 300;
const MOST_ENTRIES: u32 = 1_000_000;
/// The plan of tenants whose plan is not named.
const ANY: &str = "*";

/// One plan's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub entries: u32,
    pub ttl: Duration,
}

/// Shares by plan, written as `<plan>=<entries>x<seconds>` with commas between; `*` stands for every other plan.
#[derive(Clone, Debug)]
pub struct CachePolicy(Vec<(String, Share)>);

impl CachePolicy {
    /// The share of the tenant whose call runs now.
    pub(crate) fn share(&self) -> Share {
        let of = |plan: &str| self.0.iter().find(|(name, _)| name == plan).map(|(_, share)| *share);
        let own = Call::with_current(|call| call.plan().and_then(of)).flatten();
        let any = own.or_else(|| of(ANY));
        any.expect("a policy without a share for every other plan is not parsed")
    }
}

impl FromStr for CachePolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (plan, share) = share_of(part.trim())
                .ok_or_else(|| format!("`{part}` must be <plan>=<entries>x<seconds>, for example basic=1000x30"))?;
            if share.entries > MOST_ENTRIES || !(1..=LONGEST_TTL).contains(&share.ttl.as_secs()) {
                return Err(format!(
                    "`{part}` must be of at most {MOST_ENTRIES} entries and of 1 to {LONGEST_TTL} seconds"
                ));
            }
            if shares.iter().any(|(other, _)| other == plan) {
                return Err(format!("the plan {plan} is named twice"));
            }
            shares.push((plan.to_owned(), share));
        }
        if shares.iter().all(|(plan, _)| plan != ANY) {
            return Err(format!(
                "must end with a share for every other plan, for example {ANY}=1000x30"
            ));
        }
        Ok(Self(shares))
    }
}

fn share_of(part: &str) -> Option<(&str, Share)> {
    let (plan, share) = part.split_once('=')?;
    let (entries, seconds) = share.split_once('x')?;
    let share = Share {
        entries: entries.parse().ok()?,
        ttl: Duration::from_secs(seconds.parse().ok()?),
    };
    (!plan.is_empty()).then_some((plan, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_a_share_for_everybody() {
        let policy: CachePolicy = "basic=10x5, *=100x30".parse().expect("a policy");
        assert_eq!(policy.share().ttl, Duration::from_secs(30));
        assert_eq!(policy.share().entries, 100, "no call runs here");
        for wrong in [
            "",
            "basic=10x5",
            "*=x5",
            "*=10",
            "*=10x0",
            "*=10x301",
            "*=1x1,*=1x1",
            "=1x1,*=1x1",
            "*=-1x1",
        ] {
            assert!(wrong.parse::<CachePolicy>().is_err(), "{wrong:?}");
        }
    }
}
