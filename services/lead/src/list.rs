//! Pages of leads, newest first, by keyset: the cost of a page does not grow with its place.
use onekeel_api::lead::{LeadStatus, ListLeadsRequest, ListLeadsResponse};
use onekeel_api::{Fault, PageKey};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::lead::LeadRow;

const DEFAULT_SIZE: i32 = 50;
const LARGEST_SIZE: i32 = 1000;

/// A checked wish for a page.
pub(crate) struct Page {
    size: i64,
    status: Option<i16>,
    scope: String,
    after: Option<Uuid>,
}

impl Page {
    /// Reads the wish; a token of another tenant or another filter is `INVALID_ARGUMENT`.
    pub fn new(request: &ListLeadsRequest, key: &PageKey, tenant: &Tenant) -> Result<Self, Fault> {
        let size = match request.page_size {
            0 => DEFAULT_SIZE,
            size if size < 0 => return Err(Fault::invalid("page_size", "must not be negative")),
            size => size.min(LARGEST_SIZE),
        };
        let status = LeadStatus::try_from(request.status);
        let status = status.map_err(|_| Fault::invalid("status", "must be a status of the contract"))?;
        let scope = format!("ListLeads?status={}", i32::from(status));
        let after = match request.page_token.as_str() {
            "" => None,
            token => {
                let position = key.open(tenant.id(), &scope, token)?;
                Some(Uuid::from_slice(&position).map_err(Fault::internal)?)
            }
        };
        Ok(Self {
            size: size.into(),
            status: (status != LeadStatus::Unspecified).then(|| i16::try_from(i32::from(status)).unwrap_or_default()),
            scope,
            after,
        })
    }
}

/// One page, and the token of the next if there is one.
pub(crate) async fn list(
    store: &Store,
    key: &PageKey,
    tenant: &Tenant,
    page: Page,
) -> Result<ListLeadsResponse, Fault> {
    let read = async |tx: &mut TenantTx| read(tx, &page).await;
    let mut rows = store.run(tenant, "list_leads", read).await?;
    let most = usize::try_from(page.size).map_err(Fault::internal)?;
    let more = rows.len() > most;
    rows.truncate(most);
    let last = rows.last().filter(|_| more);
    let next_page_token = last
        .map(|row| key.sign(tenant.id(), &page.scope, row.id.as_bytes()))
        .unwrap_or_default();
    Ok(ListLeadsResponse {
        leads: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

/// One row more than the page, to know whether another follows. Two statements, so that each has its own index.
async fn read(tx: &mut TenantTx, page: &Page) -> Result<Vec<LeadRow>, Fault> {
    let client = tx.client_id();
    let after = page.after.unwrap_or(Uuid::max());
    let Some(status) = page.status else {
        let rows = sqlx::query_as!(
            LeadRow,
            "select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags,
                external_id, version, created_at, updated_at
            from lead.leads where client_id = $1 and id < $2 and deleted_at is null order by id desc limit $3",
            client,
            after,
            page.size + 1
        );
        return rows.fetch_all(tx.conn()).await.db();
    };
    let rows = sqlx::query_as!(
        LeadRow,
        "select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags,
            external_id, version, created_at, updated_at
        from lead.leads where client_id = $1 and status = $2 and id < $3 and deleted_at is null
        order by id desc limit $4",
        client,
        status,
        after,
        page.size + 1
    );
    rows.fetch_all(tx.conn()).await.db()
}
