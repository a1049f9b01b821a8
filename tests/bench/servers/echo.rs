//! An echo that speaks the contract: GetLead from memory, the same bytes behind every stack of layers.
use onekeel_api::lead::lead_service_server::LeadService;
use onekeel_api::lead::{
    BatchGetLeadsRequest, BatchGetLeadsResponse, CountLeadsRequest, CountLeadsResponse, CreateLeadRequest,
    DeleteLeadRequest, GetLeadRequest, ImportLeadsRequest, ImportLeadsResponse, Lead, LeadStatus, ListLeadsRequest,
    ListLeadsResponse, UndeleteLeadRequest, UpdateLeadRequest,
};
use tonic::codegen::http::Extensions;
use tonic::{Request, Response, Status, Streaming};

/// Answers GetLead with the id that it was asked for, and CountLeads with what its layers cost.
pub struct Echo<P>(pub P);

/// Measures what stands in front of the handlers, for the caller whose request brings these extensions.
#[tonic::async_trait]
pub trait Measure: Send + Sync + 'static {
    /// Nanoseconds of 1,000 calls.
    async fn measure(&self, extensions: &Extensions) -> Result<i64, Status>;
}

fn lead(id: String) -> Lead {
    Lead {
        id,
        first_name: "Ann".to_owned(),
        last_name: "Example".to_owned(),
        email: "ann@example.com".to_owned(),
        phone: "+17045857792".to_owned(),
        phone_raw: "(704)585-7792".to_owned(),
        company: "Example, Inc.".to_owned(),
        source: "web".to_owned(),
        status: LeadStatus::New.into(),
        score: 10,
        tags: vec!["bench".to_owned()],
        external_id: String::new(),
        create_time: Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 1,
        }),
        update_time: Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 1,
        }),
        etag: "1".to_owned(),
    }
}

fn only_echoes() -> Status {
    Status::unimplemented("this server only echoes GetLead")
}

#[tonic::async_trait]
impl<P: Measure> LeadService for Echo<P> {
    async fn get_lead(&self, request: Request<GetLeadRequest>) -> Result<Response<Lead>, Status> {
        Ok(Response::new(lead(request.into_inner().id)))
    }

    async fn count_leads(&self, request: Request<CountLeadsRequest>) -> Result<Response<CountLeadsResponse>, Status> {
        let count = self.0.measure(request.extensions()).await?;
        Ok(Response::new(CountLeadsResponse { count }))
    }

    async fn create_lead(&self, _request: Request<CreateLeadRequest>) -> Result<Response<Lead>, Status> {
        Err(only_echoes())
    }

    async fn batch_get_leads(
        &self,
        _request: Request<BatchGetLeadsRequest>,
    ) -> Result<Response<BatchGetLeadsResponse>, Status> {
        Err(only_echoes())
    }

    async fn update_lead(&self, _request: Request<UpdateLeadRequest>) -> Result<Response<Lead>, Status> {
        Err(only_echoes())
    }

    async fn delete_lead(&self, _request: Request<DeleteLeadRequest>) -> Result<Response<()>, Status> {
        Err(only_echoes())
    }

    async fn undelete_lead(&self, _request: Request<UndeleteLeadRequest>) -> Result<Response<Lead>, Status> {
        Err(only_echoes())
    }

    async fn list_leads(&self, _request: Request<ListLeadsRequest>) -> Result<Response<ListLeadsResponse>, Status> {
        Err(only_echoes())
    }

    async fn import_leads(
        &self,
        _request: Request<Streaming<ImportLeadsRequest>>,
    ) -> Result<Response<ImportLeadsResponse>, Status> {
        Err(only_echoes())
    }
}
