//! Leases on the wire.
use chrono::{DateTime, Utc};
use onekeel_api::quota::{Lease, Resource};
use onekeel_api::timestamp;
use uuid::Uuid;

/// A lease as it stands in `quota.reservations`.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub id: Uuid,
    pub resource: Resource,
    pub amount: i64,
    pub expires_at: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

impl From<Reservation> for Lease {
    fn from(reservation: Reservation) -> Self {
        let left = (reservation.expires_at - reservation.now).to_std().unwrap_or_default();
        Self {
            id: reservation.id.to_string(),
            resource: reservation.resource.into(),
            amount: reservation.amount,
            expire_time: Some(timestamp(reservation.expires_at)),
            ttl: prost_types::Duration::try_from(left).ok(),
        }
    }
}
