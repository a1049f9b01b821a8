//! Writes down what was counted: every few seconds, early when there is much, and once more when the server ends.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use onekeel_api::{ErrorReason, Fault};
use onekeel_store::{Due, Store};
use onekeel_telemetry::Calls;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::Ledger;
use crate::Round;

/// Name of the work below in metrics.
const TASK: &str = "server.usage";
/// What a crash may lose of a tenant that calls much.
const ROUND: Duration = Duration::from_secs(5);
/// Tenants in one transaction: many, as a transaction costs more than a row; few, as one whose end nobody knows is lost.
const TOGETHER: usize = 50;
/// Few, so that calls find connections.
const AT_ONCE: usize = 2;
/// How long a server that ends tries to write down the rest.
const LONGEST_FAREWELL: Duration = Duration::from_secs(8);
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The running work.
pub(crate) struct Writer {
    ledger: Arc<Ledger>,
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
}

impl Writer {
    /// Starts it for the server `service`.
    pub fn start(service: &'static str, store: Store, calls: Arc<Calls>) -> Self {
        let ledger = Arc::new(Ledger::new());
        let (stop, stopped) = oneshot::channel();
        let rounds = Rounds {
            ledger: ledger.clone(),
            store,
            service,
            calls,
        };
        let work = tokio::spawn(rounds.run(stopped));
        Self { ledger, stop, work }
    }

    /// Where calls are counted.
    pub fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }

    /// Writes down the rest and ends. Call it when no call is left and the store is still open.
    pub async fn finish(self) {
        drop(self.stop);
        if let Err(error) = self.work.await {
            tracing::error!(%error, "what tenants used last was not written down");
        }
    }
}

struct Rounds {
    ledger: Arc<Ledger>,
    store: Store,
    service: &'static str,
    calls: Arc<Calls>,
}

impl Rounds {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                biased;
                _ = &mut stopped => break,
                _ = round.tick() => self.ledger.take_due(),
                () = self.ledger.crowded() => {
                    metrics::counter!("onekeel_usage_early_rounds_total").increment(1);
                    self.ledger.take()
                }
            };
            self.calls.weigh(self.ledger.take_calls());
            let began = Round::begin(TASK);
            began.end(self.write_all(due).await);
        }
        let deadline = Instant::now() + LONGEST_FAREWELL;
        while !self.write_all(self.ledger.take()).await {
            if Instant::now() + AGAIN_AFTER > deadline {
                let requests = self.ledger.take().iter().map(Due::requests).sum();
                lose("SHUTDOWN", requests);
                return;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Whether everything was written. Once the database does not answer, the rest waits for the next round.
    async fn write_all(&self, due: Vec<Due>) -> bool {
        let well = AtomicBool::new(true);
        let write = async |due: &[Due]| {
            if !well.load(Ordering::Relaxed) || !self.write(due).await {
                for due in due {
                    self.ledger.give_back(due);
                }
                well.store(false, Ordering::Relaxed);
            }
        };
        let together = futures_util::stream::iter(due.chunks(TOGETHER));
        together.for_each_concurrent(AT_ONCE, write).await;
        lose("CROWDED", self.ledger.take_lost().requests);
        well.into_inner()
    }

    /// Whether nothing is left to write for these tenants.
    async fn write(&self, due: &[Due]) -> bool {
        match self.store.add_usage(self.service, due).await {
            Ok(missing) => {
                let gone = due.iter().filter(|due| missing.contains(&due.tenant.id()));
                lose("NO_TENANT", gone.map(Due::requests).sum());
                true
            }
            // Written or not; to write it again could put it on the tenants' bills twice.
            Err(fault) if is_unknown(&fault) => {
                lose("UNKNOWN_COMMIT", due.iter().map(Due::requests).sum());
                true
            }
            Err(fault) => {
                metrics::counter!("onekeel_usage_write_failures_total").increment(1);
                tracing::warn!(%fault, "what tenants used could not be written down and is tried again");
                false
            }
        }
    }
}

fn is_unknown(fault: &Fault) -> bool {
    fault.is_commit_unknown() || fault.reason() == ErrorReason::DeadlineExceeded
}

/// Says that requests are on nobody's bill.
fn lose(why: &'static str, requests: u64) {
    if requests > 0 {
        metrics::counter!("onekeel_usage_lost_requests_total", "reason" => why).increment(requests);
        tracing::warn!(error.reason = why, requests, "requests are in no usage report");
    }
}
