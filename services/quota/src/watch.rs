//! WatchQuota: how things stand, and then every threshold once when it is passed.
//!
//! The events are rows, so that a watch sees what any replica wrote. Each watch remembers a number for each resource;
//! within one, numbers follow without a gap and become visible in their order.
use std::sync::Arc;
use std::time::{Duration, Instant};

use onekeel_api::quota::watch_quota_response::News;
use onekeel_api::quota::{GetQuotaResponse, Resource, ThresholdEvent, WatchQuotaResponse};
use onekeel_api::{Call, ClientId, Fault, timestamp};
use onekeel_server::Draining;
use onekeel_store::{Single, Store};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

const MOST_WATCHES: usize = 1000;
const MOST_WATCHES_OF_A_TENANT: usize = 8;
const LONGEST_WATCH: Duration = Duration::from_secs(30 * 60);
const ROUND: Duration = Duration::from_millis(500);
/// Rounds that may fail one after the other before a watch ends.
const MOST_FAILURES: u32 = 20;
/// Messages that wait for a slow reader.
const QUEUE: usize = 16;

type Answer = Result<WatchQuotaResponse, Status>;

/// Running watches, bounded for the process and for each tenant.
pub(crate) struct Watches {
    store: Store,
    draining: Draining,
    all: Arc<Semaphore>,
    tenants: Cache<ClientId, Arc<Semaphore>>,
}

impl Watches {
    pub fn new(store: Store, draining: Draining) -> Self {
        Self {
            store,
            draining,
            all: Arc::new(Semaphore::new(MOST_WATCHES)),
            tenants: Cache::new(MOST_WATCHES),
        }
    }

    /// Starts a watch; dropping the stream ends it.
    pub async fn start(&self, tenant: Tenant) -> Result<ReceiverStream<Answer>, Fault> {
        let own = self.tenants.get_or_insert_with(&tenant.id(), || {
            Ok::<_, Fault>(Arc::new(Semaphore::new(MOST_WATCHES_OF_A_TENANT)))
        })?;
        let full = |_| Fault::unavailable("there are as many watches as there can be; try again later");
        let places = (
            own.try_acquire_owned().map_err(full)?,
            self.all.clone().try_acquire_owned().map_err(full)?,
        );
        let mut watch = Watch {
            store: self.store.clone(),
            tenant,
            seen: Resource::ALL.map(|_| 0),
            call: Call::current(),
            _places: places,
        };
        // What was before the watch is in its first message.
        watch.seen = watch.newest().await?;
        let quota = crate::usage::read(&watch.store, &watch.tenant).await?;
        let (sender, stream) = mpsc::channel(QUEUE);
        tokio::spawn(watch.run(quota, sender, self.draining.clone()));
        Ok(ReceiverStream::new(stream))
    }
}

struct Watch {
    store: Store,
    tenant: Tenant,
    /// The last event of each of [`Resource::ALL`].
    seen: [i64; Resource::ALL.len()],
    call: Option<Arc<Call>>,
    _places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Watch {
    async fn run(mut self, quota: GetQuotaResponse, sender: mpsc::Sender<Answer>, mut draining: Draining) {
        let end = tokio::time::sleep(LONGEST_WATCH);
        let told = tokio::select! {
            () = end => Err(Fault::unavailable("a watch lasts half an hour; watch again")),
            () = draining.begun() => Err(Fault::unavailable("this server ends; watch again")),
            // The reader has gone.
            () = sender.closed() => return,
            told = self.tell(quota, &sender) => told,
        };
        if let Err(fault) = told {
            // The call is over for the server, and still this is its answer, with its trace.
            let status = match self.call.take() {
                Some(call) => call.scope(async { fault.into() }).await,
                None => fault.into(),
            };
            // A reader that does not read has no place for it either.
            let _ = sender.try_send(Err(status));
        }
    }

    async fn tell(&mut self, quota: GetQuotaResponse, sender: &mpsc::Sender<Answer>) -> Result<(), Fault> {
        let message = |news| Ok(WatchQuotaResponse { news: Some(news) });
        if sender.send(message(News::Quota(quota))).await.is_err() {
            return Ok(());
        }
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failures = 0;
        loop {
            round.tick().await;
            let began = Instant::now();
            let events = match self.events().await {
                Ok(events) => events,
                Err(fault) if fault.retry_delay().is_some() && failures < MOST_FAILURES => {
                    tracing::debug!(tenant.id = %self.tenant.id(), %fault, "a watch could not look");
                    failures += 1;
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            failures = 0;
            metrics::histogram!("onekeel_quota_watch_seconds").record(began.elapsed());
            for event in events {
                if sender.send(message(News::Event(event))).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn newest(&self) -> Result<[i64; Resource::ALL.len()], Fault> {
        let read = async |tx: &mut onekeel_store::TenantTx| {
            let client = tx.client_id();
            let rows = sqlx::query!("select resource, events from quota.usage where client_id = $1", client);
            onekeel_store::DbResult::db(rows.fetch_all(tx.conn()).await)
        };
        let rows = self.store.run(&self.tenant, "read_event_numbers", read).await?;
        Ok(Resource::ALL.map(|resource| {
            let row = rows.iter().find(|row| row.resource == resource.name());
            row.map_or(0, |row| row.events)
        }))
    }

    /// What has happened since.
    async fn events(&mut self) -> Result<Vec<ThresholdEvent>, Fault> {
        let resources: Vec<String> = Resource::ALL.map(|resource| resource.name().to_owned()).to_vec();
        let read = async |single: &mut Single| {
            let client = single.client_id();
            sqlx::query!(
                r#"select resource as "resource!", number as "number!", threshold as "threshold!", used as "used!",
                    cap as "cap!", created_at as "created_at!"
                from quota.list_events($1, $2, $3)"#,
                client,
                &resources,
                &self.seen
            )
            .fetch_all(single.conn())
            .await
        };
        let rows = self.store.one(&self.tenant, "watch_quota", read).await?;
        // Without a row the tenant may not read any more: it is told nothing, and the gate ends the stream with the reason.
        let mut events = Vec::with_capacity(rows.len().saturating_sub(1));
        for row in rows {
            let place = Resource::ALL
                .iter()
                .position(|resource| resource.name() == row.resource);
            let Some(place) = place else { continue };
            self.seen[place] = self.seen[place].max(row.number);
            events.push(ThresholdEvent {
                resource: Resource::ALL[place].into(),
                number: row.number,
                threshold: row.threshold.into(),
                used: row.used,
                limit: row.cap,
                create_time: Some(timestamp(row.created_at)),
            });
        }
        Ok(events)
    }
}
