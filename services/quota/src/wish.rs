//! What a Reserve call asks for, checked.
use std::time::Duration;

use onekeel_api::quota::{ReserveRequest, Resource};
use onekeel_api::{Fault, Violations};
use uuid::Uuid;

const MOST_UNITS: i64 = 100_000;
const MOST_BYTES: i64 = 1 << 30;
const DEFAULT_TTL: Duration = Duration::from_secs(30);
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// A checked wish, in order of resource: the one order of locks.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub items: Vec<Item>,
    pub ttl: Duration,
    pub request_id: Option<Uuid>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// Place in the caller's list.
    pub place: usize,
    pub resource: Resource,
    /// Fewest units that are of use.
    pub min: i64,
    pub max: i64,
}

impl TryFrom<ReserveRequest> for Wish {
    type Error = Fault;

    fn try_from(request: ReserveRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        wrong.check(
            (1..=Resource::ALL.len()).contains(&request.items.len()),
            "items",
            "must be 1 to 4 items",
        );
        let mut items = Vec::new();
        for (place, item) in request.items.iter().enumerate() {
            let field = |name: &str| format!("items[{place}].{name}");
            let resource = item.resource();
            wrong.check(
                resource != Resource::Unspecified,
                &field("resource"),
                "must be a resource of the contract",
            );
            wrong.check(
                !items.iter().any(|other: &Item| other.resource == resource),
                &field("resource"),
                "must stand in one item only",
            );
            let most = if resource == Resource::StorageBytes {
                MOST_BYTES
            } else {
                MOST_UNITS
            };
            wrong.check(
                (1..=most).contains(&item.min),
                &field("min"),
                format!("must be 1 to {most}"),
            );
            wrong.check(
                (item.min..=most).contains(&item.max),
                &field("max"),
                format!("must be `min` to {most}"),
            );
            items.push(Item {
                place,
                resource,
                min: item.min,
                max: item.max,
            });
        }
        items.sort_by_key(|item| item.resource.name());
        let ttl = request
            .ttl
            .map_or(Some(DEFAULT_TTL), |ttl| Duration::try_from(ttl).ok());
        wrong.check(
            ttl.is_some_and(|ttl| TTL.contains(&ttl)),
            "ttl",
            "must be 1 s to 10 min",
        );
        let request_id = match request.request_id.as_str() {
            "" => None,
            text => {
                let parsed = Uuid::try_parse(text).ok();
                wrong.check(parsed.is_some(), "request_id", "must be a UUID");
                parsed
            }
        };
        wrong.into_result()?;
        Ok(Self {
            items,
            ttl: ttl.unwrap_or(DEFAULT_TTL),
            request_id,
        })
    }
}
