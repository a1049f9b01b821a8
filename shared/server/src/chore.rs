//! Background work that visits every tenant in turn and does its work there a batch at a time.
use std::time::Duration;

use onekeel_api::{ClientId, Fault};
use onekeel_store::{Directory, Store};
use onekeel_tenancy::Tenant;

use crate::Round;

const TENANTS_A_PAGE: i32 = 100;
/// From the beginning of one round to that of the next.
const ROUND: Duration = Duration::from_secs(3600);

/// A bounded piece of work that was done for a tenant.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Rows that it wrote or deleted.
    pub rows: i64,
    /// The most that it would have; with as many, there may be more to do.
    pub most: i64,
}

/// What is done for each tenant, round after round.
#[derive(Clone)]
pub struct Chore {
    /// The door to the database.
    pub store: Store,
    /// Its name in metrics, logs and as the author of what it writes.
    pub task: &'static str,
    /// The tenants, a page at a time, after the one given.
    pub directory: fn(Option<ClientId>) -> Directory,
}

impl Chore {
    /// Works every hour for as long as the server runs, from its start on. `batch` does a bounded piece of work for a tenant, and
    /// is called again while there is more. A tenant where that fails does not keep the others'; the next round tries again.
    pub async fn run<F>(self, batch: impl Fn(Store, Tenant) -> F)
    where
        F: Future<Output = Result<Batch, Fault>>,
    {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            let began = Round::begin(self.task);
            began.end(self.visit_all(&batch).await);
        }
    }

    /// Whether nothing failed.
    async fn visit_all<F>(&self, batch: &impl Fn(Store, Tenant) -> F) -> bool
    where
        F: Future<Output = Result<Batch, Fault>>,
    {
        let (mut well, mut after) = (true, None);
        loop {
            let page = self.store.walk((self.directory)(after), TENANTS_A_PAGE, self.task);
            let page = match page.await {
                Ok(page) => page,
                Err(fault) => {
                    self.report(&fault);
                    return false;
                }
            };
            let Some(last) = page.last() else {
                return well;
            };
            after = Some(last.id());
            for tenant in page {
                well &= self.visit(tenant, batch).await;
            }
        }
    }

    /// Batch after batch until nothing is left; whether it went well.
    async fn visit<F>(&self, tenant: Tenant, batch: &impl Fn(Store, Tenant) -> F) -> bool
    where
        F: Future<Output = Result<Batch, Fault>>,
    {
        loop {
            let done = match batch(self.store.clone(), tenant.clone()).await {
                Ok(done) => done,
                Err(fault) => {
                    self.report(&fault);
                    return false;
                }
            };
            let rows = u64::try_from(done.rows).unwrap_or_default();
            metrics::counter!("onekeel_chore_rows_total", "task" => self.task).increment(rows);
            if done.rows < done.most {
                return true;
            }
        }
    }

    fn report(&self, fault: &Fault) {
        metrics::counter!("onekeel_chore_failures_total", "task" => self.task).increment(1);
        tracing::warn!(task = self.task, %fault, "work for a tenant failed and is tried again in the next round");
    }
}
