//! Changes that make a row larger or smaller.
use onekeel_api::quota::Resource;
use onekeel_api::{ErrorReason, Fault};
use onekeel_store::TenantTx;
use onekeel_tenancy::Tenant;

use crate::{ChargeRow, Gate, write_charge, write_release};

/// Tries of one change whose row grows further while bytes are asked for.
const MOST_TRIES: u32 = 5;

/// What a change came to.
#[derive(Debug)]
pub enum Resized<T> {
    /// It is done.
    Done(T),
    /// Nothing was written: the row would grow by this many bytes more than the charge covers.
    Grows(i64),
}

/// The step from one size to another, covered by a charge where it is a growth.
#[derive(Clone, Copy, Debug)]
pub struct Resize {
    growth: i64,
    charge: Option<ChargeRow>,
}

impl Resize {
    /// The step, or the bytes that it lacks. Both sizes are those of a row that the transaction has locked.
    pub fn between(before: i64, after: i64, charge: Option<ChargeRow>) -> Result<Self, i64> {
        let growth = after - before;
        if growth > charge.map_or(0, |charge| charge.units) {
            return Err(growth);
        }
        Ok(Self { growth, charge })
    }

    /// Charges or releases the difference, after the row was written.
    pub async fn write(self, tx: &mut TenantTx) -> Result<(), Fault> {
        match self.charge {
            Some(charge) if self.growth > 0 => write_charge(tx, charge.first(self.growth)).await,
            _ => write_release(tx, &[(Resource::StorageBytes, -self.growth)]).await,
        }
    }
}

impl Gate {
    /// Runs `work`, which changes a row: first without a charge, as most changes do not need one, then with as many
    /// bytes as it lacked. `work` decides under the row's lock, so that two changes cannot both count one difference.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED` when the tenant's storage is full and the row would grow; else whatever `work` returns.
    pub async fn resized<T, W>(&self, tenant: &Tenant, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(Option<ChargeRow>) -> Result<Resized<T>, Fault> + Clone,
    {
        let mut lacking = match work.clone()(None).await? {
            Resized::Done(value) => return Ok(value),
            Resized::Grows(bytes) => bytes,
        };
        for _ in 0..MOST_TRIES {
            let work = work.clone();
            let charged = async |[bytes]: [ChargeRow; 1]| work(Some(bytes)).await;
            match self
                .charged(tenant, [(Resource::StorageBytes, lacking)], charged)
                .await?
            {
                Resized::Done(value) => return Ok(value),
                Resized::Grows(bytes) => lacking = bytes,
            }
        }
        Err(Fault::new(
            ErrorReason::Conflict,
            "the row kept growing under this change; try again",
        ))
    }
}
