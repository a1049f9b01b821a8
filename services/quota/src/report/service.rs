//! The table of contents: each method in a few lines.
use onekeel_api::ClientId;
use onekeel_api::Fault;
use onekeel_api::quota::usage_service_server::UsageService;
use onekeel_api::quota::{
    GetUsageReportRequest, ListPriceListsRequest, ListPriceListsResponse, Money, PriceList, PublishPriceListRequest,
    Usage, UsageDay, UsageReport,
};
use onekeel_server::Parts;
use onekeel_store::{Single, Store, TenantTx};
use onekeel_tenancy::{Caller, Platform};
use tonic::{Request, Response, Status};

use super::cost::{List, Sums, add, in_force, money};
use super::period::{Period, write};
use super::publish::NewList;
use super::repo;

/// Implements UsageService.
pub(crate) struct Reports {
    store: Store,
}

impl Reports {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
        }
    }
}

#[tonic::async_trait]
impl UsageService for Reports {
    async fn get_usage_report(&self, request: Request<GetUsageReportRequest>) -> Result<Response<UsageReport>, Status> {
        let wish = request.get_ref();
        let tenant = Caller::of(&request)?.act_in("client_id", &wish.client_id)?;
        let period = Period::read(&wish.start_date, &wish.end_date)?;
        let read = async |tx: &mut TenantTx| Ok((repo::days(tx, period).await?, repo::lists(tx, period).await?));
        let (days, lists) = self.store.run(&tenant, "get_usage_report", read).await?;
        Ok(Response::new(report(days, lists)?))
    }

    async fn publish_price_list(
        &self,
        request: Request<PublishPriceListRequest>,
    ) -> Result<Response<PriceList>, Status> {
        // Prices belong to no tenant: the event stands in the platform's own trail.
        let platform = Platform::of(&request)?.act_for(ClientId::PLATFORM);
        let list = NewList::try_from(request.into_inner())?;
        let write = async |tx: &mut TenantTx| list.write(tx).await;
        let published = self.store.run(&platform, "publish_price_list", write).await?;
        Ok(Response::new(published))
    }

    async fn list_price_lists(
        &self,
        _request: Request<ListPriceListsRequest>,
    ) -> Result<Response<ListPriceListsResponse>, Status> {
        let read = async |single: &mut Single| repo::latest_lists(single).await;
        let lists = self.store.catalogue("list_price_lists", read).await?;
        let price_lists = lists.into_iter().map(List::message).collect();
        Ok(Response::new(ListPriceListsResponse { price_lists }))
    }
}

fn report(days: Vec<(chrono::NaiveDate, Usage)>, lists: Vec<List>) -> Result<UsageReport, Fault> {
    let (mut total, mut sums) = (Usage::default(), Sums::default());
    let mut priced = Vec::with_capacity(days.len());
    for (day, usage) in days {
        add(&mut total, &usage);
        let cost = in_force(&lists, day).map(|list| -> Result<Money, Fault> {
            let micros = list.cost(&usage);
            sums.add(&list.currency, micros);
            money(&list.currency, micros)
        });
        priced.push(UsageDay {
            date: write(day),
            usage: Some(usage),
            cost: cost.transpose()?,
        });
    }
    Ok(UsageReport {
        days: priced,
        total: Some(total),
        costs: sums.messages()?,
        price_lists: lists.into_iter().map(List::message).collect(),
    })
}
