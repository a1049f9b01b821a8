//! What callers do with servers, each answer compared with what it must be.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use http::uri::PathAndQuery;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CreateLeadRequest, GetLeadRequest, ImportLeadsRequest, Lead, ListLeadsRequest};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::load::{Dice, Job};
use crate::world::{Bearer, Sizes, World, lead_id, tenant_of};

const PAGE: usize = 50;
/// As a tool sends them that imports a file.
const IMPORTED: usize = 500;
const LARGEST_ANSWER: usize = 16 << 20;
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// A call for one certain tenant.
pub trait ForTenant: Send + Sync + 'static {
    /// One call, as [`Job::call`].
    fn for_tenant(&self, tenant: u32) -> impl Future<Output = anyhow::Result<u64>> + Send;
}

/// A server that has just started may ask a caller to try again.
const MOST_TRIES: u32 = 5;

/// Calls once for one tenant after the other, so that what a server asks once of each has been asked.
pub async fn touch<J: ForTenant>(job: J, sizes: Sizes, callers: usize) -> anyhow::Result<()> {
    let (job, next) = (Arc::new(job), Arc::new(AtomicU32::new(0)));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (job, next) = (job.clone(), next.clone());
        running.spawn(async move {
            loop {
                let tenant = next.fetch_add(1, Ordering::Relaxed);
                if tenant >= sizes.active {
                    return anyhow::Ok(());
                }
                let mut tried = 1;
                while let Err(error) = job.for_tenant(tenant).await {
                    ensure!(tried < MOST_TRIES, "tenant {tenant}: {error:#}");
                    tried += 1;
                }
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// Callers of a lead server, with the tokens of all tenants.
#[derive(Clone)]
pub struct Leads {
    channels: Arc<[Channel]>,
    tokens: Arc<[Bearer]>,
    sizes: Sizes,
    next: Arc<AtomicU64>,
}

impl Leads {
    /// Callers of the server at `host:port`.
    pub fn of(world: &World, address: &str) -> anyhow::Result<Self> {
        Ok(Self {
            channels: World::channels(address)?.into(),
            tokens: world.tokens.clone(),
            sizes: world.sizes,
            next: Arc::default(),
        })
    }

    /// The channels take turns.
    fn channel(&self) -> Channel {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.channels.len() as u64;
        let place = usize::try_from(turn % count).expect("there are few channels");
        self.channels[place].clone()
    }

    /// A client on the next channel.
    pub fn client(&self) -> LeadServiceClient<Channel> {
        LeadServiceClient::new(self.channel()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// A request of a tenant by its number.
    pub fn request<T>(&self, tenant: u32, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.tokens[tenant as usize].clone());
        request.set_timeout(LONGEST_CALL);
        request
    }
}

/// A lead as the seed makes them.
pub fn new_lead(email: String) -> Lead {
    Lead {
        first_name: "Ann".to_owned(),
        last_name: "Example".to_owned(),
        email,
        phone_raw: "(704)585-7792".to_owned(),
        company: "Example, Inc.".to_owned(),
        source: "web".to_owned(),
        score: 10,
        tags: vec!["bench".to_owned()],
        ..Lead::default()
    }
}

/// GetLead of any lead; the answer is this lead.
pub struct Get {
    /// Callers.
    pub leads: Leads,
    /// Whether the answer comes from the table, and not from an echo.
    pub stored: bool,
    /// Only so many leads, the first ones.
    pub among: u32,
}

impl Job for Get {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        self.one(self.leads.sizes.any_lead(dice, self.among)).await
    }
}

impl ForTenant for Get {
    async fn for_tenant(&self, tenant: u32) -> anyhow::Result<u64> {
        self.one(tenant).await
    }
}

impl Get {
    /// Of any lead in the table.
    pub fn any(leads: Leads) -> Self {
        Self {
            leads,
            stored: true,
            among: u32::MAX,
        }
    }

    async fn one(&self, number: u32) -> anyhow::Result<u64> {
        let id = lead_id(number).to_string();
        let wish = GetLeadRequest { id: id.clone() };
        let request = self.leads.request(tenant_of(number, self.leads.sizes), wish);
        let lead = self.leads.client().get_lead(request).await;
        let lead = lead.context("GetLead")?.into_inner();
        let email = !self.stored || lead.email == format!("lead{number}@example.com");
        ensure!(lead.id == id && email, "another lead was answered: {lead:?}");
        Ok(1)
    }
}

/// CreateLead for any tenant; the answer is what was sent, with an id.
#[derive(Clone)]
pub struct Create {
    /// Callers.
    pub leads: Leads,
    /// How many were acknowledged.
    pub created: Arc<AtomicU64>,
}

impl Job for Create {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        self.for_tenant(self.leads.sizes.any_tenant(dice)).await
    }
}

impl Create {
    /// Nobody asks how many there were.
    pub fn uncounted(leads: Leads) -> Self {
        Self {
            leads,
            created: Arc::default(),
        }
    }
}

impl ForTenant for Create {
    async fn for_tenant(&self, tenant: u32) -> anyhow::Result<u64> {
        let email = fresh_email();
        let wish = CreateLeadRequest {
            lead: Some(new_lead(email.clone())),
            request_id: String::new(),
        };
        let created = self.leads.client().create_lead(self.leads.request(tenant, wish)).await;
        let lead = created.context("CreateLead")?.into_inner();
        ensure!(
            lead.email == email && !lead.id.is_empty(),
            "another lead was answered: {lead:?}"
        );
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(1)
    }
}

/// ListLeads of any tenant; the answer is fifty leads, the newest first.
pub struct List {
    /// Callers.
    pub leads: Leads,
}

/// What callers look at of a page. They share the processors with the server, and pgbench looks at nothing.
#[derive(Clone, PartialEq, prost::Message)]
struct Page {
    #[prost(message, repeated, tag = "1")]
    leads: Vec<Listed>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

/// See [`Page`].
#[derive(Clone, PartialEq, prost::Message)]
struct Listed {
    #[prost(string, tag = "1")]
    id: String,
}

impl Job for List {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        self.for_tenant(self.leads.sizes.any_tenant(dice)).await
    }
}

impl ForTenant for List {
    async fn for_tenant(&self, tenant: u32) -> anyhow::Result<u64> {
        let wish = ListLeadsRequest {
            page_size: i32::try_from(PAGE)?,
            ..ListLeadsRequest::default()
        };
        let request = self.leads.request(tenant, wish);
        let mut channel = Grpc::new(self.leads.channel());
        channel.ready().await?;
        let path = PathAndQuery::from_static("/onekeel.lead.v1.LeadService/ListLeads");
        let codec = ProstCodec::<ListLeadsRequest, Page>::default();
        let page = channel.unary(request, path, codec).await;
        let page = page.context("ListLeads")?.into_inner();
        let sorted = page.leads.is_sorted_by(|one, next| one.id > next.id);
        ensure!(
            page.leads.len() == PAGE && sorted && !page.next_page_token.is_empty(),
            "no page: {page:?}"
        );
        Ok(1)
    }
}

/// ImportLeads for any tenant; every row is created.
pub struct Import {
    /// Callers.
    pub leads: Leads,
    /// How many were acknowledged.
    pub created: Arc<AtomicU64>,
}

impl Job for Import {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        let leads = (0..IMPORTED).map(|_| new_lead(fresh_email())).collect();
        let message = tokio_stream::once(ImportLeadsRequest { leads });
        let request = self.leads.request(self.leads.sizes.any_tenant(dice), message);
        let answer = self
            .leads
            .client()
            .import_leads(request)
            .await
            .context("ImportLeads")?
            .into_inner();
        let rows = u64::try_from(answer.created)?;
        ensure!(rows == IMPORTED as u64, "{rows} of {IMPORTED} rows were created");
        self.created.fetch_add(rows, Ordering::Relaxed);
        Ok(rows)
    }
}

/// An address that no lead of this run has.
fn fresh_email() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("new{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed))
}
