//! Gives leases back that nobody uses, so that QuotaService counts them again.
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use onekeel_api::quota::ReleaseReservationRequest;
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::units::Slot;
use crate::{Gate, Peers};

/// Name of the work below in metrics.
const TASK: &str = "gate.settle_idle";
const ROUND: Duration = Duration::from_millis(250);
/// Open leases are counted once in so many rounds, since that looks at all of them.
const COUNTED: u64 = 20;
const RELEASES_AT_ONCE: usize = 16;
const LONGEST_RELEASE: Duration = Duration::from_secs(2);

/// Tells QuotaService that a lease is done. When that fails, its sweeper ends the lease later.
pub(crate) async fn release(peers: Peers, tenant: Tenant, lease: Uuid) {
    let message = ReleaseReservationRequest { id: lease.to_string() };
    let Ok(request) = peers.request(&tenant, message, LONGEST_RELEASE) else {
        return;
    };
    if let Err(status) = peers.quota().release_reservation(request).await {
        metrics::counter!("onekeel_quota_release_failures_total").increment(1);
        tracing::debug!(tenant.id = %tenant.id(), error = status.message(), "lease left to the sweeper");
    }
}

impl Gate {
    /// Gives idle leases back, for as long as it is polled. Run it as a task of the server.
    pub async fn settle_idle(self) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for number in 0_u64.. {
            round.tick().await;
            let began = Instant::now();
            let due = self.leases.due.take(began);
            self.give_back(&due, Duration::MAX).await;
            for slot in &due {
                self.leases.due.watch(slot);
            }
            if number.is_multiple_of(COUNTED) {
                let open = self.leases.slots.iter().filter(|(_, slot)| slot.is_open()).count();
                metrics::gauge!("onekeel_quota_open_leases").set(open as f64);
            }
            metrics::counter!("onekeel_background_rounds_total", "task" => TASK, "outcome" => "done").increment(1);
            metrics::histogram!("onekeel_background_round_seconds", "task" => TASK).record(began.elapsed());
        }
    }

    /// Gives every lease back that no call is using; part of a server's shutdown.
    pub async fn close(&self) {
        let all: Vec<_> = self.leases.slots.iter().map(|(_, slot)| slot).collect();
        self.give_back(&all, Duration::ZERO).await;
    }

    /// The leases of these slots that nobody has used for as long as they are kept idle, or for `most`.
    async fn give_back(&self, slots: &[Arc<Slot>], most: Duration) {
        let idle = slots.iter().flat_map(|slot| {
            let leases = slot.take_replaced().into_iter().chain(slot.take_idle(most));
            leases.map(|lease| (slot.tenant.clone(), lease)).collect::<Vec<_>>()
        });
        let idle: Vec<_> = idle.collect();
        let peers = &self.leases.peers;
        let released = futures_util::stream::iter(idle);
        let release = |(tenant, lease)| release(peers.clone(), tenant, lease);
        released.for_each_concurrent(RELEASES_AT_ONCE, release).await;
    }
}
