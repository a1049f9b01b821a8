//! Readiness follows the database; liveness only says that the process runs.
use std::time::Duration;

use onekeel_store::Store;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::Round;

/// Name to ask for liveness; it stays SERVING until the process ends.
pub(crate) const LIVE: &str = "live";
const ROUND: Duration = Duration::from_secs(1);

/// Sets the readiness of `names` and of the server as a whole.
pub(crate) async fn set(reporter: &HealthReporter, names: &[&'static str], ready: bool) {
    let status = if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for name in names.iter().copied().chain([""]) {
        reporter.set_service_status(name, status).await;
    }
}

/// Asks the database every second; runs until it is dropped.
pub(crate) async fn follow(reporter: HealthReporter, names: Vec<&'static str>, store: Store) {
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        round.tick().await;
        let began = Round::begin("server.health");
        let ready = matches!(tokio::time::timeout(ROUND, store.ping()).await, Ok(Ok(())));
        if before.replace(ready) != Some(ready) {
            tracing::info!(ready, "readiness changed");
        }
        set(&reporter, &names, ready).await;
        metrics::gauge!("onekeel_ready").set(f64::from(u8::from(ready)));
        let (open, idle, most) = store.pool_size();
        metrics::gauge!("onekeel_db_connections", "state" => "open").set(f64::from(open));
        metrics::gauge!("onekeel_db_connections", "state" => "idle")
            .set(f64::from(u32::try_from(idle).unwrap_or(u32::MAX)));
        metrics::gauge!("onekeel_db_connections", "state" => "most").set(f64::from(most));
        metrics::gauge!("onekeel_cache_near_bytes").set(store.cache().near_bytes() as f64);
        began.end(ready);
    }
}
