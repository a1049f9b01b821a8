//! What may happen to a tenant's leases, as data: a failing sequence can be made smaller.
use onekeel_api::quota::Resource;
use proptest::prelude::*;

/// The resources of a sequence, in the one order of locks.
pub const RESOURCES: [Resource; 2] = [Resource::Agents, Resource::Leads];

/// Numbers of leases and of open transactions count those that are there, in a circle; where there is none, nothing
/// happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// Asks for `min` to `min + more` units of each of the resources.
    Reserve {
        resources: Vec<usize>,
        min: i64,
        more: i64,
        request: Option<u8>,
    },
    /// Charges fresh units of a lease in a transaction that stays open.
    Charge {
        lease: usize,
        units: i64,
    },
    Commit {
        open: usize,
    },
    Abort {
        open: usize,
    },
    /// The connection goes away in the middle.
    Cancel {
        open: usize,
    },
    Cheat {
        lease: usize,
        cheat: Cheat,
    },
    Settle {
        lease: usize,
    },
    /// Rows are deleted: they give units back.
    Release {
        resource: usize,
        units: i64,
    },
    /// The lease's time is over.
    Expire {
        lease: usize,
    },
    /// Waits until what was given back is folded.
    Fold,
    Limit {
        resource: usize,
        cap: i64,
    },
    /// QuotaService is killed and started again.
    Crash,
}

#[derive(Clone, Copy, Debug)]
pub enum Cheat {
    Twice,
    Beyond,
    Larger,
    Ended,
}

fn step() -> impl Strategy<Value = Step> {
    let (any, resource) = (0..8_usize, 0..RESOURCES.len());
    let resources = prop_oneof![2 => Just(vec![0]), 3 => Just(vec![1]), 2 => Just(vec![0, 1])];
    let request = prop_oneof![1 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    let cheat = prop_oneof![
        Just(Cheat::Twice),
        Just(Cheat::Beyond),
        Just(Cheat::Larger),
        Just(Cheat::Ended)
    ];
    prop_oneof![
        24 => (resources, 1..=4_i64, 0..=8_i64, request)
            .prop_map(|(resources, min, more, request)| Step::Reserve { resources, min, more, request }),
        24 => (any.clone(), 1..=3_i64).prop_map(|(lease, units)| Step::Charge { lease, units }),
        14 => any.clone().prop_map(|open| Step::Commit { open }),
        4 => any.clone().prop_map(|open| Step::Abort { open }),
        3 => any.clone().prop_map(|open| Step::Cancel { open }),
        6 => (any.clone(), cheat).prop_map(|(lease, cheat)| Step::Cheat { lease, cheat }),
        5 => any.clone().prop_map(|lease| Step::Settle { lease }),
        4 => (resource.clone(), 1..=2_i64).prop_map(|(resource, units)| Step::Release { resource, units }),
        1 => any.prop_map(|lease| Step::Expire { lease }),
        1 => Just(Step::Fold),
        4 => (resource, 0..=12_i64).prop_map(|(resource, cap)| Step::Limit { resource, cap }),
        1 => Just(Step::Crash),
    ]
}

/// Sequences; what shrinks first is their length.
pub fn sequence() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 20..=40)
}
