//! Units of an open lease, taken for one transaction. Forgetting one is safe: the lease's end counts what committed.
use std::sync::Arc;

use crate::pieces::Wanted;
use crate::row::ChargeRow;
use crate::units::Slot;
use onekeel_api::quota::Resource;
use onekeel_api::{ErrorReason, Fault, Meter};

/// Units that nobody else spends meanwhile. Say how it ended:
///
/// * [`Charge::spent`] after the commit,
/// * [`Charge::refund`] when the work failed before the commit began,
/// * [`Charge::fenced`] when the database refused the lease,
/// * nothing (drop it) when nobody knows: the units are not used again, and the lease's end finds out.
pub struct Charge {
    row: ChargeRow,
    slot: Arc<Slot>,
}

impl Charge {
    fn new(row: ChargeRow, slot: Arc<Slot>) -> Self {
        Self { row, slot }
    }

    /// What the transaction writes.
    pub fn row(&self) -> ChargeRow {
        self.row
    }

    /// All units were committed.
    pub fn spent(self) {
        self.note_rows(self.row.units);
    }

    /// The first `units` were committed, the others serve the next call.
    pub fn spent_only(self, units: i64) {
        self.note_rows(units);
        let surplus = self.row.units - units;
        if surplus > 0 {
            self.slot
                .give_back(self.row.lease_id, self.row.first_unit + units, surplus);
        }
    }

    /// A unit is a row, but for bytes.
    fn note_rows(&self, units: i64) {
        if self.row.resource != Resource::StorageBytes {
            Meter::note_rows(u64::try_from(units).unwrap_or_default());
        }
    }

    /// None was committed; all serve the next call.
    pub fn refund(self) {
        self.spent_only(0);
    }

    /// The work failed: what that means for the units depends on whether its commit may have happened.
    pub fn failed(self, fault: &Fault) {
        if fault.is_fenced() {
            self.fenced();
        } else if !fault.is_commit_unknown() && fault.reason() != ErrorReason::DeadlineExceeded {
            self.refund();
        } else {
            metrics::counter!("onekeel_quota_unknown_commits_total").increment(1);
            tracing::warn!(lease.id = %self.row.lease_id, %fault, "the outcome of a commit is not known");
        }
    }

    /// As [`Charge::failed`], for one of several charges that were written together: the one at `place`, in a call that
    /// was fenced `fences` times before. The fence does not say which lease has ended, and a lease that lives is of use to
    /// others: the first one is dropped at once, as it is the scarce one, the others only when that did not help.
    pub fn failed_as(self, place: usize, fences: u32, fault: &Fault) {
        if fault.is_fenced() && place > 0 && fences.is_multiple_of(2) {
            self.refund();
        } else {
            self.failed(fault);
        }
    }

    /// The lease has ended; the next call reserves again.
    pub fn fenced(self) {
        metrics::counter!("onekeel_quota_fenced_total", "resource" => self.row.resource.name()).increment(1);
        tracing::info!(lease.id = %self.row.lease_id, "a charge was fenced");
        self.slot.forget(self.row.lease_id);
    }
}

impl Slot {
    /// As many units as are wanted, if the open lease has them.
    pub(crate) fn charge(self: &Arc<Self>, wanted: Wanted) -> Option<Charge> {
        self.take(wanted).map(|row| Charge::new(row, self.clone()))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.slot.landed(self.row.lease_id);
    }
}
