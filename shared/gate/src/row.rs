//! A charge as the database takes it.
use onekeel_api::Fault;
use onekeel_api::quota::Resource;
use uuid::Uuid;

/// What a row's transaction writes into `quota.charges`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeRow {
    /// The lease.
    pub lease_id: Uuid,
    /// First of the units.
    pub first_unit: i64,
    /// How many, one after the other.
    pub units: i64,
    /// Units of the whole lease.
    pub of: i64,
    /// What is charged.
    pub resource: Resource,
}

impl ChargeRow {
    /// The charge for a row of this size; a conflict when the row has become larger since the units were taken.
    pub fn covering(self, units: i64) -> Result<Self, Fault> {
        if units > self.units {
            return Err(Fault::state_conflict("row", "it was changed meanwhile; try again"));
        }
        Ok(Self { units, ..self })
    }

    /// The charge for the first `units` of these only; a batch charges what it really wrote.
    #[must_use]
    pub fn first(self, units: i64) -> Self {
        Self {
            units: units.min(self.units),
            ..self
        }
    }
}
