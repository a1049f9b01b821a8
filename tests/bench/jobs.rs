//! What callers do with servers, each answer compared with what it must be.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CreateLeadRequest, GetLeadRequest, ImportLeadsRequest, Lead, ListLeadsRequest};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

use crate::load::{Dice, Job};
use crate::world::{Bearer, Sizes, World, lead_id, tenant_of};

const PAGE: usize = 50;
/// As a tool sends them that imports a file.
const IMPORTED: usize = 500;
const LARGEST_ANSWER: usize = 16 << 20;
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// Callers of a lead server, with the tokens of all tenants.
#[derive(Clone)]
pub struct Leads {
    clients: Arc<[LeadServiceClient<Channel>]>,
    tokens: Arc<[Bearer]>,
    sizes: Sizes,
    next: Arc<AtomicU64>,
}

impl Leads {
    /// Callers of the server at `host:port`.
    pub fn of(world: &World, address: &str) -> anyhow::Result<Self> {
        let clients = World::channels(address)?
            .into_iter()
            .map(|channel| LeadServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER));
        Ok(Self {
            clients: clients.collect(),
            tokens: world.tokens.clone(),
            sizes: world.sizes,
            next: Arc::default(),
        })
    }

    /// The clients take turns.
    pub fn client(&self) -> LeadServiceClient<Channel> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.clients.len() as u64;
        let place = usize::try_from(turn % count).expect("there are few clients");
        self.clients[place].clone()
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
        let number = self.leads.sizes.any_lead(dice, self.among);
        let id = lead_id(number).to_string();
        let request = self
            .leads
            .request(tenant_of(number, self.leads.sizes), GetLeadRequest { id: id.clone() });
        let lead = self
            .leads
            .client()
            .get_lead(request)
            .await
            .context("GetLead")?
            .into_inner();
        let email = !self.stored || lead.email == format!("lead{number}@example.com");
        ensure!(lead.id == id && email, "another lead was answered: {lead:?}");
        Ok(1)
    }
}

/// CreateLead for any tenant; the answer is what was sent, with an id.
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

/// CreateLead for one tenant after the other, so that each has its leases.
pub struct Touch {
    create: Create,
    next: AtomicU32,
}

impl Touch {
    /// Calls until each tenant had its turn.
    pub async fn all(leads: &Leads, created: &Arc<AtomicU64>, callers: usize) -> anyhow::Result<()> {
        let create = Create {
            leads: leads.clone(),
            created: created.clone(),
        };
        let touch = Arc::new(Self {
            create,
            next: AtomicU32::new(0),
        });
        let mut running = JoinSet::new();
        for _ in 0..callers {
            let touch = touch.clone();
            running.spawn(async move {
                loop {
                    let tenant = touch.next.fetch_add(1, Ordering::Relaxed);
                    if tenant >= touch.create.leads.sizes.active {
                        return anyhow::Ok(());
                    }
                    touch.create.for_tenant(tenant).await?;
                }
            });
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// ListLeads of any tenant; the answer is fifty leads, the newest first.
pub struct List {
    /// Callers.
    pub leads: Leads,
}

impl Job for List {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        let wish = ListLeadsRequest {
            page_size: i32::try_from(PAGE)?,
            ..ListLeadsRequest::default()
        };
        let request = self.leads.request(self.leads.sizes.any_tenant(dice), wish);
        let page = self
            .leads
            .client()
            .list_leads(request)
            .await
            .context("ListLeads")?
            .into_inner();
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
