//! The database's own fence: what it refuses whoever writes.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{ReleaseReservationRequest, ReserveItem, ReserveRequest, Resource};
use onekeel_tenancy::{Signer, Tenant};
use onekeel_tests::{Member, World};
use sqlx::{Connection, PgConnection};
use tonic::Request;
use uuid::Uuid;

const UNITS: i64 = 10;

/// Acts as LeadService for one tenant.
struct Holder {
    quota: QuotaServiceClient<tonic::transport::Channel>,
    bearer: String,
    login: PgConnection,
    client: Uuid,
}

impl Holder {
    #[expect(
        clippy::disallowed_methods,
        reason = "a service's signer needs a tenant, and no server is asked for one here"
    )]
    async fn new(world: &World, member: &Member) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(world.stack.secrets.folder.join("lead.key"))?;
        let token = Signer::from_pem("lead", &key)?.token_for(&Tenant::for_background(member.id, "test"))?;
        Ok(Self {
            quota: QuotaServiceClient::new(world.stack.channel("quota", 0)?),
            bearer: format!("Bearer {token}"),
            login: PgConnection::connect(&world.stack.database.url_for("lead")?).await?,
            client: member.id.uuid(),
        })
    }

    fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.parse()?);
        Ok(request)
    }

    async fn reserve(&mut self) -> anyhow::Result<Uuid> {
        let item = ReserveItem {
            resource: Resource::Leads.into(),
            min: UNITS,
            max: UNITS,
        };
        let wish = self.request(ReserveRequest {
            items: vec![item],
            ttl: None,
            request_id: String::new(),
        })?;
        let leases = self.quota.reserve(wish).await?.into_inner().leases;
        Ok(Uuid::try_parse(&leases.first().context("a lease")?.id)?)
    }

    async fn release(&mut self, lease: Uuid) -> anyhow::Result<i64> {
        let wish = self.request(ReleaseReservationRequest { id: lease.to_string() })?;
        Ok(self.quota.release_reservation(wish).await?.into_inner().charged)
    }

    /// Writes a row with a charge in one transaction, as LeadService does; the broken constraint when it is refused.
    #[expect(clippy::disallowed_methods, reason = "the fence is tested without the store")]
    async fn write(&mut self, lease: Uuid, first_unit: i64, units: i64) -> anyhow::Result<Option<String>> {
        let mut tx = self.login.begin().await?;
        sqlx::query("select onekeel.set_tenant($1)")
            .bind(self.client)
            .execute(&mut *tx)
            .await?;
        let written = sqlx::query(
            "with row as (
                insert into lead.leads (client_id, id, first_name, last_name, company, source, status, score, tags,
                    created_at, updated_at, updated_by)
                values ($1, $2, '', '', '', '', 1, 0, '{}', now(), now(), 'test')
            )
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            values ($1, $3, $4, $5, 'leads', $6)",
        )
        .bind(self.client)
        .bind(Uuid::now_v7())
        .bind(lease)
        .bind(first_unit)
        .bind(units)
        .bind(UNITS)
        .execute(&mut *tx)
        .await;
        let Err(error) = written else {
            tx.commit().await?;
            return Ok(None);
        };
        let database = error.as_database_error().context("the database refuses")?;
        Ok(Some(database.constraint().unwrap_or_default().to_owned()))
    }
}

pub async fn the_database_refuses_what_a_lease_does_not_cover(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut holder = Holder::new(&world, &member).await?;
    let lease = holder.reserve().await?;
    ensure!(holder.write(lease, 0, 1).await?.is_none(), "the first unit");
    let twice = holder.write(lease, 0, 1).await?;
    ensure!(
        twice.as_deref() == Some("charges_pkey"),
        "a unit spent twice: {twice:?}"
    );
    let beyond = holder.write(lease, UNITS - 1, 2).await?;
    ensure!(
        beyond.as_deref() == Some("charges_range_check"),
        "a unit beyond the lease: {beyond:?}"
    );
    ensure!(holder.write(lease, UNITS - 1, 1).await?.is_none(), "the last unit");
    ensure!(holder.release(lease).await? == 2, "two units were charged");
    let late = holder.write(lease, 1, 1).await?;
    ensure!(
        late.as_deref() == Some("charges_reservation_fkey"),
        "a charge after the end: {late:?}"
    );
    ensure!(holder.release(lease).await? == 0, "an ended lease ends again");
    let (rows, used) = (world.rows(member.id).await?, world.settle(member.id).await?);
    ensure!((rows, used) == (2, 2), "{rows} rows, {used} used");
    Ok(holder.login.close().await?)
}

pub async fn a_retried_reservation_finds_its_leases_again(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut holder = Holder::new(&world, &member).await?;
    let item = |resource: Resource| ReserveItem {
        resource: resource.into(),
        min: 1,
        max: 2,
    };
    let wish = ReserveRequest {
        items: vec![item(Resource::Leads), item(Resource::Agents)],
        ttl: None,
        request_id: Uuid::new_v4().to_string(),
    };
    let first = holder
        .quota
        .reserve(holder.request(wish.clone())?)
        .await?
        .into_inner()
        .leases;
    let again = holder
        .quota
        .reserve(holder.request(wish.clone())?)
        .await?
        .into_inner()
        .leases;
    let ids = |leases: &[onekeel_api::quota::Lease]| leases.iter().map(|lease| lease.id.clone()).collect::<Vec<_>>();
    ensure!(
        first.len() == 2 && ids(&first) == ids(&again),
        "{first:?} and {again:?}"
    );
    ensure!(first[0].resource() == Resource::Leads, "in the order of the items");
    // An ended lease never comes back to life: the same request id is a new wish now.
    for id in ids(&first) {
        holder.release(Uuid::try_parse(&id)?).await?;
    }
    let fresh = holder.quota.reserve(holder.request(wish)?).await?.into_inner().leases;
    ensure!(
        ids(&fresh).iter().all(|id| !ids(&first).contains(id)),
        "an ended lease came back"
    );
    Ok(holder.login.close().await?)
}
