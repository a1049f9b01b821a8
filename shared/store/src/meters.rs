//! What transactions and the pool cost. The handles are held: no label is looked up while a call waits.
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram};
use sqlx::Error;

use crate::pool::{Connections, Taken};

/// Made when first used: before that, nobody may be there to count.
#[derive(Default)]
pub(crate) struct Meters {
    transactions: Named<Transaction>,
    statements: Named<Histogram>,
    pool: OnceLock<Pool>,
}

/// Names of transactions stand in our source; there are as many as there are.
type Named<T> = RwLock<HashMap<&'static str, Arc<T>>>;

pub(crate) struct Transaction {
    pub seconds: Histogram,
    pub committed: Counter,
}

struct Pool {
    waiting: Gauge,
    acquire: Histogram,
}

impl Meters {
    pub fn transaction(&self, name: &'static str) -> Arc<Transaction> {
        named(&self.transactions, name, || Transaction {
            seconds: metrics::histogram!("onekeel_db_transaction_seconds", "name" => name),
            committed: metrics::counter!("onekeel_db_transactions_total", "name" => name, "outcome" => "COMMITTED"),
        })
    }

    pub fn statement(&self, name: &'static str) -> Arc<Histogram> {
        let make = || metrics::histogram!("onekeel_db_statement_seconds", "name" => name);
        named(&self.statements, name, make)
    }

    /// A connection, and how long the call waited for it.
    pub async fn acquire(&self, connections: &Connections) -> Result<Taken, Error> {
        let meters = self.pool.get_or_init(|| Pool {
            waiting: metrics::gauge!("onekeel_db_waiting"),
            acquire: metrics::histogram!("onekeel_db_acquire_seconds"),
        });
        let began = Instant::now();
        let waiting = Waiting::new(&meters.waiting);
        let acquired = connections.take().await;
        drop(waiting);
        meters.acquire.record(began.elapsed());
        acquired
    }
}

fn named<T>(all: &Named<T>, name: &'static str, make: impl FnOnce() -> T) -> Arc<T> {
    if let Some(known) = all.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return known.clone();
    }
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    all.entry(name).or_insert_with(|| Arc::new(make())).clone()
}

/// Also a call that goes away while it waits is counted out again.
struct Waiting<'a>(&'a Gauge);

impl<'a> Waiting<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
