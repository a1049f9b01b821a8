//! Acts as LeadService without its gate: what it asks of QuotaService and what it writes are the test's own.
use std::sync::Arc;

use anyhow::Context;
use onekeel_api::ClientId;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{Lease, ReleaseReservationRequest, ReserveItem, ReserveRequest, Resource};
use onekeel_operator::stack::Stack;
use onekeel_tenancy::{Signer, Tenant};
use onekeel_tests::World;
use sqlx::{Connection, PgConnection};
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

/// Calls of QuotaService with LeadService's own token.
#[derive(Clone)]
pub struct Voice {
    quota: QuotaServiceClient<Channel>,
    signer: Arc<Signer>,
}

impl Voice {
    /// Calls the process `replica` of QuotaService.
    pub fn new(stack: &Stack, replica: usize) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(stack.secrets.folder.join("lead.key"))?;
        Ok(Self {
            quota: QuotaServiceClient::new(stack.channel("quota", replica)?),
            signer: Arc::new(Signer::from_pem("lead", &key)?),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a service's signer needs a tenant, and no server is asked for one here"
    )]
    pub fn request<T>(&self, client: ClientId, message: T) -> anyhow::Result<Request<T>> {
        let token = self.signer.token_for(&Tenant::for_background(client, "test"))?;
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    pub async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Vec<Lease>, Status> {
        Ok(self.quota.clone().reserve(request).await?.into_inner().leases)
    }

    /// Ends a lease, whoever uses it; returns how many of its units were charged.
    pub async fn release(&self, client: ClientId, lease: Uuid) -> anyhow::Result<i64> {
        let wish = self.request(client, ReleaseReservationRequest { id: lease.to_string() })?;
        Ok(self.quota.clone().release_reservation(wish).await?.into_inner().charged)
    }
}

/// Ends every lease of a tenant that no transaction uses, and does not wait for the time when they end by themselves.
pub async fn end_leases(world: &World, client: ClientId) -> anyhow::Result<()> {
    let leases: Vec<Uuid> = sqlx::query_scalar("select id from quota.reservations where client_id = $1")
        .bind(client.uuid())
        .fetch_all(&world.behind)
        .await?;
    let voice = Voice::new(&world.stack, 0)?;
    for lease in leases {
        voice.release(client, lease).await?;
    }
    Ok(())
}

/// Units of a lease as a transaction charges them.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    pub lease: Uuid,
    pub first: i64,
    pub count: i64,
    pub of: i64,
}

/// What became of a row.
#[derive(Debug)]
pub enum Written {
    Row(Uuid),
    /// The constraint that refused it.
    Refused(String),
}

impl Written {
    pub fn is_row(&self) -> bool {
        matches!(self, Self::Row(_))
    }

    pub fn is_refused_by(&self, constraint: &str) -> bool {
        matches!(self, Self::Refused(name) if name == constraint)
    }
}

/// Writes a lead with a charge in one transaction, as LeadService does.
#[expect(clippy::disallowed_methods, reason = "the fence is tested without the store")]
pub async fn write_row(login: &mut PgConnection, client: ClientId, units: Units) -> Result<Written, sqlx::Error> {
    let (id, mut tx) = (Uuid::now_v7(), login.begin().await?);
    sqlx::query("select onekeel.set_tenant($1)")
        .bind(client.uuid())
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
    .bind(client.uuid())
    .bind(id)
    .bind(units.lease)
    .bind(units.first)
    .bind(units.count)
    .bind(units.of)
    .execute(&mut *tx)
    .await;
    let Err(error) = written else {
        tx.commit().await?;
        return Ok(Written::Row(id));
    };
    let constraint = error.as_database_error().and_then(|database| database.constraint());
    let Some(constraint) = constraint.map(str::to_owned) else {
        return Err(error);
    };
    tx.rollback().await?;
    Ok(Written::Refused(constraint))
}

/// One tenant's LeadService.
pub struct Holder {
    pub voice: Voice,
    pub client: ClientId,
    pub login: PgConnection,
}

impl Holder {
    pub async fn new(stack: &Stack, client: ClientId) -> anyhow::Result<Self> {
        Ok(Self {
            voice: Voice::new(stack, 0)?,
            client,
            login: PgConnection::connect(&stack.database.url_for("lead")?).await?,
        })
    }

    /// A lease of exactly `units` leads.
    pub async fn reserve(&self, units: i64) -> anyhow::Result<Uuid> {
        let item = ReserveItem {
            resource: Resource::Leads.into(),
            min: units,
            max: units,
        };
        let wish = ReserveRequest {
            items: vec![item],
            ttl: None,
            request_id: String::new(),
        };
        let leases = self.ask(wish).await?;
        Ok(Uuid::try_parse(&leases.first().context("a lease")?.id)?)
    }

    pub async fn ask(&self, wish: ReserveRequest) -> anyhow::Result<Vec<Lease>> {
        Ok(self.voice.reserve(self.voice.request(self.client, wish)?).await?)
    }

    pub async fn release(&self, lease: Uuid) -> anyhow::Result<i64> {
        self.voice.release(self.client, lease).await
    }

    pub async fn write(&mut self, units: Units) -> anyhow::Result<Written> {
        Ok(write_row(&mut self.login, self.client, units).await?)
    }
}
