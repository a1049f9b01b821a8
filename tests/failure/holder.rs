//! Acts as LeadService without its gate: what it asks of QuotaService and what it writes are the test's own.
use anyhow::Context;
use onekeel_api::ClientId;
use onekeel_api::quota::{Lease, ReserveItem, ReserveRequest, Resource};
use onekeel_operator::stack::Stack;
use onekeel_tests::Voice;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

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
