//! Pages of leads by keyset: the cost of a page does not grow with its place.
use chrono::{DateTime, Utc};
use onekeel_api::lead::{ListLeadsRequest, ListLeadsResponse};
use onekeel_api::{Fault, Page, PageKey};
use onekeel_store::{Single, Store};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response};
use uuid::Uuid;

use crate::filter::Filter;
use crate::lead::LeadRow;
use crate::newest::{Marks, Newest, Reading};

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// By the time of the last change, and not by that of the creation.
    by_update_time: bool,
    descending: bool,
}

impl Order {
    /// What a list without a wish is in.
    const NEWEST: Self = Self {
        by_update_time: false,
        descending: true,
    };

    fn read(text: &str) -> Result<Self, Fault> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (by_update_time, descending) = match words[..] {
            [] | ["create_time", "desc"] => (false, true),
            ["create_time"] | ["create_time", "asc"] => (false, false),
            ["update_time", "desc"] => (true, true),
            ["update_time"] | ["update_time", "asc"] => (true, false),
            _ => {
                let description = "must be create_time desc, create_time, update_time desc or update_time";
                return Err(Fault::invalid("order_by", description));
            }
        };
        Ok(Self {
            by_update_time,
            descending,
        })
    }

    /// Where a lead stands in this order, in a page token: its id, behind its time where that counts. Ids of version 7
    /// are in the order of creation.
    fn position(self, row: &LeadRow) -> Vec<u8> {
        let time = self
            .by_update_time
            .then(|| row.updated_at.timestamp_micros().to_be_bytes());
        time.into_iter().flatten().chain(row.id.into_bytes()).collect()
    }

    fn after(self, page: &Page) -> Result<Option<(DateTime<Utc>, Uuid)>, Fault> {
        let Some(position) = page.after() else {
            return Ok(None);
        };
        let (time, id) = position.split_at(if self.by_update_time { 8 } else { 0 });
        let micros = time.try_into().map(i64::from_be_bytes).unwrap_or_default();
        let time = DateTime::from_timestamp_micros(micros);
        let time = time.ok_or_else(|| Fault::internal("a page token of ours holds no time"))?;
        Ok(Some((time, Uuid::from_slice(id).map_err(Fault::internal)?)))
    }
}

/// One page, and the token of the next if there is one. A token of another tenant, filter or order is
/// `INVALID_ARGUMENT`.
pub(crate) async fn list(
    store: &Store,
    newest: &Newest,
    key: &PageKey,
    tenant: &Tenant,
    request: &Request<ListLeadsRequest>,
) -> Result<Response<ListLeadsResponse>, Fault> {
    let wish = request.get_ref();
    let filter = Filter::read(&wish.filter)?.and_status(wish.status)?;
    let order = Order::read(&wish.order_by)?;
    let scope = format!("ListLeads?{filter:?}&{order:?}");
    let page = key.page(tenant.id(), scope, wish.page_size, &wish.page_token)?;
    let is_newest = filter == Filter::default() && order == Order::NEWEST && page.after().is_none();
    if is_newest && let Some(known) = newest.known(store, tenant, page.rows()).await? {
        return known.answer(request.metadata());
    }
    let reading = Reading::now(store);
    let rows = read(store, tenant, &filter, order, &page).await?;
    let marks = is_newest.then(|| Marks::of(&rows));
    let (rows, next_page_token) = page.finish(rows, |row| order.position(row));
    let answer = ListLeadsResponse {
        leads: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    };
    if let Some(marks) = marks {
        newest.keep(tenant, page.rows(), marks, &answer, reading);
    }
    Ok(Response::new(answer))
}

async fn read(
    store: &Store,
    tenant: &Tenant,
    filter: &Filter,
    order: Order,
    page: &Page,
) -> Result<Vec<LeadRow>, Fault> {
    let (after_time, after_id) = order.after(page)?.unzip();
    let read = async |single: &mut Single| {
        let client = single.client_id();
        sqlx::query_as!(
            LeadRow,
            r#"select id as "id!", first_name as "first_name!", last_name as "last_name!", email, phone, phone_raw,
                company as "company!", source as "source!", status as "status!", score as "score!", tags as "tags!",
                external_id, version as "version!", created_at as "created_at!", updated_at as "updated_at!", stored_bytes as "stored_bytes!"
            from lead.list_leads($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
            client,
            filter.status,
            filter.source.as_deref(),
            filter.email.as_deref(),
            filter.phone.as_deref(),
            filter.external_id.as_deref(),
            filter.updated.from,
            filter.updated.before,
            order.by_update_time,
            order.descending,
            after_time,
            after_id,
            page.rows()
        )
        .fetch_all(single.conn())
        .await
    };
    store.one(tenant, "list_leads", read).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_of_four() {
        let order = |text| Order::read(text).map(|order| (order.by_update_time, order.descending));
        assert_eq!(order("").expect("the default"), (false, true));
        assert_eq!(order(" update_time  desc ").expect("an order"), (true, true));
        assert_eq!(order("create_time").expect("an order"), (false, false));
        for bad in ["name", "create_time descending", "create_time, update_time"] {
            assert_eq!(order(bad).expect_err(bad).violations()[0].0, "order_by");
        }
    }
}
