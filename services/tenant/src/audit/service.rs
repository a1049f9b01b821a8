//! AuditService, in a few lines.
use onekeel_api::PageKey;
use onekeel_api::tenant::audit_service_server::AuditService;
use onekeel_api::tenant::{ListAuditEventsRequest, ListAuditEventsResponse};
use onekeel_server::Parts;
use onekeel_store::{Single, Store};
use onekeel_tenancy::Caller;
use tonic::{Request, Response, Status};

use super::filter::Filter;
use super::repo::{self, EventRow};

/// Implements AuditService.
pub(crate) struct Trails {
    store: Store,
    page_key: PageKey,
}

impl Trails {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            page_key: parts.page_key.clone(),
        }
    }
}

#[tonic::async_trait]
impl AuditService for Trails {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let wish = request.get_ref();
        let tenant = Caller::of(&request)?.act_in("client_id", &wish.client_id)?;
        let filter = Filter::read(&wish.filter)?;
        let scope = format!("ListAuditEvents?{filter:?}");
        let page = self
            .page_key
            .page(tenant.id(), scope, wish.page_size, &wish.page_token)?;
        let (after, rows) = (repo::after(&page)?, page.rows());
        let list = async |single: &mut Single| repo::list(single, &filter, after, rows).await;
        let mut rows = self.store.one(&tenant, "list_audit_events", list).await?;
        let end = rows.pop_if(|row| !row.shown);
        let (rows, next_page_token) = page.finish(rows, EventRow::position);
        Ok(Response::new(ListAuditEventsResponse {
            events: rows.into_iter().map(Into::into).collect(),
            next_page_token: end.map_or(next_page_token, |end| page.token_after(end.position())),
        }))
    }
}
