//! Calls that several commands make: tenants are created, leads are imported.
use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use onekeel_api::ClientId;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{ImportLeadsRequest, ImportLeadsResponse, Lead};
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::tenant::{CreateTenantRequest, Tenant};
use onekeel_operator::stack::Stack;
use onekeel_tenancy::Role;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Request, Status};

const ROWS_A_MESSAGE: usize = 250;

/// A request with a bearer token.
pub fn with_token<T>(message: T, token: &str) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    request.set_timeout(Duration::from_secs(300));
    Ok(request)
}

/// Creates a tenant with a plan.
pub async fn create_tenant(stack: &Stack, name: &str, slug: &str, plan: &str) -> anyhow::Result<(ClientId, Tenant)> {
    let mut client = TenantServiceClient::new(stack.channel("tenant", 0)?);
    let wish = CreateTenantRequest {
        display_name: name.to_owned(),
        slug: slug.to_owned(),
        plan: plan.to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    let token = stack.token(None, Role::PlatformAdmin)?;
    let tenant = client.create_tenant(with_token(wish, &token)?).await?.into_inner();
    Ok((ClientId::parse("id", &tenant.id)?, tenant))
}

/// What an import came to.
pub struct Imported {
    /// The server's answer.
    pub answer: ImportLeadsResponse,
    /// From the first row sent to the answer.
    pub took: Duration,
}

/// Imports leads in one stream with a progress bar.
pub async fn import(
    client: &mut LeadServiceClient<Channel>,
    token: &str,
    leads: &[Lead],
) -> anyhow::Result<Result<Imported, Status>> {
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} rows  {per_sec}  {elapsed}")?;
    let bar = ProgressBar::new(leads.len() as u64).with_style(style);
    let messages: Vec<ImportLeadsRequest> = leads
        .chunks(ROWS_A_MESSAGE)
        .map(|rows| ImportLeadsRequest { leads: rows.to_vec() })
        .collect();
    let progress = bar.clone();
    let stream = tokio_stream::iter(messages).map(move |message| {
        progress.inc(message.leads.len() as u64);
        message
    });
    let began = Instant::now();
    let answer = client.import_leads(with_token(stream, token)?).await;
    bar.finish_and_clear();
    let took = began.elapsed();
    Ok(answer.map(|answer| Imported {
        answer: answer.into_inner(),
        took,
    }))
}

/// Lines to copy: grpcurl against this stack.
pub fn grpcurl_lines(stack: &Stack, client: ClientId) -> anyhow::Result<String> {
    let address = |service| stack.address(service, 0);
    let (tenant, lead) = (address("tenant")?, address("lead")?);
    let (campaign, quota) = (address("campaign")?, address("quota")?);
    let token = stack.token(Some(client), Role::Admin)?;
    let platform = stack.token(None, Role::PlatformAdmin)?;
    let mut lines = format!(
        "export TENANT={tenant} LEAD={lead} CAMPAIGN={campaign} QUOTA={quota}\n\
         export TENANT_ID={client}\n\
         export TOKEN={token}\n\
         export PLATFORM_TOKEN={platform}\n"
    );
    let Some(certificates) = &stack.certificates else {
        return Ok(lines + GRPCURL_LINES);
    };
    writeln!(lines, "export CA={}", certificates.trusted().display())?;
    Ok(lines + &GRPCURL_LINES.replace("-plaintext", "-cacert $CA"))
}

const GRPCURL_LINES: &str = r#"grpcurl -plaintext $LEAD list
grpcurl -plaintext $LEAD describe onekeel.lead.v1.LeadService.CreateLead
grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d '{"lead": {"first_name": "Ann", "email": "ann@example.com"}}' $LEAD onekeel.lead.v1.LeadService/CreateLead
grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d '{"page_size": 2}' $LEAD onekeel.lead.v1.LeadService/ListLeads
grpcurl -plaintext -H "authorization: Bearer $TOKEN" $QUOTA onekeel.quota.v1.QuotaService/GetQuota
grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d '{"campaign": {"name": "Spring", "type": "CAMPAIGN_TYPE_DRIP"}}' $CAMPAIGN onekeel.campaign.v1.CampaignService/CreateCampaign
grpcurl -plaintext -H "authorization: Bearer $TOKEN" $TENANT onekeel.tenant.v1.TenantService/GetTenantSettings
grpcurl -plaintext -H "authorization: Bearer $PLATFORM_TOKEN" $QUOTA onekeel.quota.v1.QuotaService/ListPlans"#;
