//! Limits: leases of one hot tenant, and what an allowance costs.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use onekeel_api::ClientId;
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{ReserveItem, ReserveRequest, Resource};
use onekeel_tenancy::{Signer, Tenant};
use tonic::Request;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::bench::Bench;
use crate::jobs::Leads;
use crate::load::{Dice, Job};
use crate::outcome::{Goal, Outcome};
use crate::variant::Variant;
use crate::world::{World, tenant_id};

/// Longer than any run, so that nobody sweeps while we measure.
const LIFE_SECONDS: i64 = 600;
/// What the seed has reserved for direct inserts.
const RESERVED_BEFORE: i64 = 1_000_000_000_000_000;

/// Reserve of one unit for one tenant, as a lead server asks.
struct Reserve {
    clients: Vec<QuotaServiceClient<Channel>>,
    signer: Arc<Signer>,
    tenant: ClientId,
    granted: Arc<AtomicU64>,
}

impl Reserve {
    fn new(bench: &Bench, address: &str, granted: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(bench.world.stack.secrets.folder.join("lead.key"))?;
        Ok(Self {
            clients: World::channels(address)?
                .into_iter()
                .map(QuotaServiceClient::new)
                .collect(),
            signer: Arc::new(Signer::from_pem("lead", &key)?),
            tenant: ClientId::from(hot_tenant(bench)),
            granted,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a service's signer needs a tenant, and no server is asked for one here"
    )]
    fn token(&self) -> anyhow::Result<Arc<str>> {
        Ok(self.signer.token_for(&Tenant::for_background(self.tenant, "bench"))?)
    }
}

impl Job for Reserve {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        let item = ReserveItem {
            resource: Resource::Leads.into(),
            min: 1,
            max: 1,
        };
        let mut request = Request::new(ReserveRequest {
            items: vec![item],
            ttl: Some(prost_types::Duration {
                seconds: LIFE_SECONDS,
                nanos: 0,
            }),
            request_id: Uuid::now_v7().to_string(),
        });
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {}", self.token()?).parse()?);
        let place = dice.below(u32::try_from(self.clients.len())?) as usize;
        let leases = self.clients[place]
            .clone()
            .reserve(request)
            .await
            .context("Reserve")?
            .into_inner()
            .leases;
        ensure!(
            matches!(&leases[..], [lease] if lease.amount == 1),
            "no lease of one unit: {leases:?}"
        );
        self.granted.fetch_add(1, Ordering::Relaxed);
        Ok(1)
    }
}

fn hot_tenant(bench: &Bench) -> Uuid {
    tenant_id(bench.world.sizes.tenants + 2)
}

/// Many callers, one tenant: ours against one UPDATE for each call.
pub async fn reserve(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let quota = bench.world.watched("quota", 0)?;
    let job = Reserve::new(bench, &bench.world.stack.address("quota", 0)?, counts[0].clone())?;
    let ours = Variant::calls("Reserve", job, bench.callers(), &quota);
    let program = bench.world.program("bench-naive").await?;
    let (address, watched) = (program.address(), program.watched().clone());
    let job = Reserve::new(bench, &address, counts[1].clone())?;
    let naive = Variant::calls("naive Reserve", job, bench.callers(), &watched);
    let what = "Reserve, one tenant / one UPDATE for each call over the same RPC";
    let (outcome, ..) = bench
        .compare(("reserve", what, Goal::AtLeast(10.0, 18.0)), &ours, &naive)
        .await?;
    let [ours, naive] = counts.map(|count| count.load(Ordering::Relaxed));
    let (leases, reserved): (i64, i64) = sqlx::query_as(
        "select (select count(*) from quota.reservations where client_id = $1 and amount = 1), reserved
        from quota.usage where client_id = $1 and resource = 'leads'",
    )
    .bind(hot_tenant(bench))
    .fetch_one(&bench.world.behind)
    .await?;
    let told = (i64::try_from(ours)?, i64::try_from(ours + naive)?);
    ensure!(
        (leases, reserved - RESERVED_BEFORE) == told,
        "{leases} leases and {reserved} reserved, of {ours} and {naive} that were acknowledged"
    );
    Ok(vec![outcome])
}

/// What admission adds to a call, measured inside of the server that has the product's layers.
pub async fn allowance(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let address = bench.world.program("bench-echo").await?.address();
    let leads = Leads::of(&bench.world, &address)?;
    let mut values = Vec::new();
    for _ in 0..bench.options.rounds {
        let answer = leads
            .client()
            .count_leads(leads.request(0, CountLeadsRequest {}))
            .await?
            .into_inner();
        // Nanoseconds of a thousand calls.
        values.push(answer.count as f64 / 1e6);
    }
    let what = "the tenant's state and allowance, added to each call";
    Ok(vec![Outcome::new(
        "allowance",
        what,
        "µs",
        Goal::AtMost(2.0, 1.0),
        values,
    )])
}
