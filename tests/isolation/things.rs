//! What a tenant has: one of everything that the contract can name, each marked with the tenant's own word.
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use chrono::NaiveDate;
use onekeel_api::{Audience, ClientId, Policy};
use onekeel_tenancy::{Role, Signer, Tenant};
use onekeel_tests::{Method, World};
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// A placeholder for something new each time; nobody can own it.
const FRESH: &str = "$fresh";
/// A placeholder for a new domain each time, with the tenant's own word in it.
const FRESH_DOMAIN: &str = "$fresh_domain";
/// A placeholder for the secret of the tenant's API key: who has it is let in by it, whoever that is.
const SECRET: &str = "$secret";
/// A placeholder for a day that is still far away, another one each time.
const DAY: &str = "$day";
/// A placeholder for the tenant's own word.
const MARKER: &str = "$marker";

/// A tenant, tokens for it, and its things by their placeholders.
pub struct Things {
    world: Arc<World>,
    methods: Arc<Vec<Method>>,
    /// The tenant.
    pub client: ClientId,
    /// A word that stands in everything that is this tenant's.
    pub marker: String,
    ids: BTreeMap<&'static str, String>,
}

impl Things {
    /// A tenant without things.
    pub async fn of_new_tenant(world: &Arc<World>, methods: &Arc<Vec<Method>>) -> anyhow::Result<Self> {
        let client = ClientId::parse("id", &world.create_tenant("enterprise").await?.id)?;
        world.limit(client, "requests_per_minute", 2_000_000).await?;
        Ok(Self {
            world: world.clone(),
            methods: methods.clone(),
            client,
            marker: format!("marker-{}", client.uuid().simple()),
            ids: BTreeMap::new(),
        })
    }

    /// New things for the tenant, in the place of those that it had.
    pub async fn renew(&mut self) -> anyhow::Result<()> {
        let lead = json!({"lead": {"first_name": MARKER, "external_id": FRESH}});
        let campaign = json!({"campaign": {"name": MARKER, "type": "CAMPAIGN_TYPE_DRIP"}});
        let agent = json!({"agent": {"name": MARKER, "type": "CHANNEL_CHAT"}});
        for (thing, deleted, service, noun, request) in [
            ("$lead", "$deleted_lead", "lead.v1.LeadService", "Lead", lead),
            (
                "$campaign",
                "$deleted_campaign",
                "campaign.v1.CampaignService",
                "Campaign",
                campaign,
            ),
            ("$agent", "$deleted_agent", "campaign.v1.AgentService", "Agent", agent),
        ] {
            let create = format!("onekeel.{service}/Create{noun}");
            for place in [thing, deleted] {
                let made = self.make(&create, &request).await?;
                self.ids.insert(place, made);
            }
            let delete = format!("onekeel.{service}/Delete{noun}");
            self.admin(&delete, &json!({"id": self.ids[deleted]})).await?;
        }
        let start = json!({"lead_id": "$lead", "channel": "CHANNEL_CHAT"});
        // Two, so that every list has a second page.
        for _ in 0..2 {
            let conversation = self
                .make("onekeel.campaign.v1.ConversationService/StartConversation", &start)
                .await?;
            self.ids.insert("$conversation", conversation);
        }
        let message = json!({"conversation_id": "$conversation", "sender": "SENDER_HUMAN", "text": MARKER});
        for _ in 0..2 {
            self.admin("onekeel.campaign.v1.ConversationService/AppendMessage", &message)
                .await?;
        }
        self.renew_domain().await?;
        self.renew_api_key().await?;
        let reserve = json!({"items": [{"resource": "RESOURCE_LEADS", "min": 1, "max": 1}]});
        let token = Self::service_token_for(&self.world, "lead", self.client)?;
        let leases = self
            .call("onekeel.quota.v1.QuotaService/Reserve", &token, &reserve)
            .await??;
        let lease = leases["leases"][0]["id"].as_str().context("a lease")?.to_owned();
        self.ids.insert("$lease", lease);
        Ok(())
    }

    /// A new domain that can be proved; the old one goes, as a tenant may have a few only.
    async fn renew_domain(&mut self) -> anyhow::Result<()> {
        let service = "onekeel.tenant.v1.DomainService";
        let listed = self.admin(&format!("{service}/ListDomains"), &json!({})).await?;
        for domain in listed["domains"].as_array().into_iter().flatten() {
            self.admin(&format!("{service}/RemoveDomain"), &json!({"id": domain["id"]}))
                .await?;
        }
        let domain = self
            .admin(&format!("{service}/AddDomain"), &json!({"name": FRESH_DOMAIN}))
            .await?;
        let text = |field: &str| domain[field].as_str().context("a text").map(str::to_owned);
        self.world.dns.put(&text("txtName")?, &[&text("txtValue")?]);
        self.ids.insert("$domain", text("id")?);
        Ok(())
    }

    /// A new API key, when the old one does not count any more: a tenant may have a hundred only.
    async fn renew_api_key(&mut self) -> anyhow::Result<()> {
        let service = "onekeel.tenant.v1.ApiKeyService";
        let listed = self.admin(&format!("{service}/ListApiKeys"), &json!({})).await?;
        let (own, mut keys) = (self.thing("$api_key"), listed["keys"].as_array().into_iter().flatten());
        if keys.any(|key| key["id"] == json!(own) && key["revokeTime"].is_null()) {
            return Ok(());
        }
        let create = json!({"name": MARKER, "role": "viewer"});
        let made = self.admin(&format!("{service}/CreateApiKey"), &create).await?;
        let text = |value: &Value| value.as_str().context("a text").map(str::to_owned);
        self.ids.insert("$api_key", text(&made["key"]["id"])?);
        self.ids.insert(SECRET, text(&made["secret"])?);
        Ok(())
    }

    /// Waits until the use of the tenant's API key is written down, so that it changes no row later.
    pub async fn wait_for_use(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
        let mut round = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            round.tick().await;
            let listed = self
                .admin("onekeel.tenant.v1.ApiKeyService/ListApiKeys", &json!({}))
                .await?;
            let mut keys = listed["keys"].as_array().into_iter().flatten();
            let own = json!(self.thing("$api_key"));
            if keys.any(|key| key["id"] == own && !key["lastUsedTime"].is_null()) {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "the use of a key is not written down"
            );
        }
    }

    /// Makes a tenant for the operator's methods to work on; one that is this tenant's own for all others.
    pub async fn name_tenant(&mut self, audiences: &[Audience]) -> anyhow::Result<()> {
        if audiences.contains(&Audience::Tenant) {
            self.ids.insert("$tenant", self.client.to_string());
            return Ok(());
        }
        let (spare, deleted) = (
            self.world.create_tenant("basic").await?,
            self.world.create_tenant("basic").await?,
        );
        let delete = json!({"id": deleted.id});
        self.call(
            "onekeel.tenant.v1.TenantService/DeleteTenant",
            &self.platform_token()?,
            &delete,
        )
        .await??;
        self.ids.insert("$host", format!("{}.example.com", spare.slug));
        self.ids.insert("$tenant", spare.id);
        self.ids.insert("$deleted_tenant", deleted.id);
        Ok(())
    }

    /// The placeholders in `request` that stand for a thing of the tenant.
    pub fn named_in(request: &Value) -> Vec<String> {
        match request {
            Value::String(text)
                if text.starts_with('$') && ![FRESH, FRESH_DOMAIN, SECRET, DAY, MARKER].contains(&text.as_str()) =>
            {
                vec![text.clone()]
            }
            Value::Array(values) => values.iter().flat_map(Self::named_in).collect(),
            Value::Object(fields) => fields.values().flat_map(Self::named_in).collect(),
            _ => Vec::new(),
        }
    }

    /// `request` with this tenant's things in it; `other` gives the thing for the placeholder `foreign`.
    pub fn fill(&self, request: &Value, foreign: &str, other: &impl Fn(&str) -> String) -> anyhow::Result<Value> {
        Ok(match request {
            Value::String(text) if text == FRESH => format!("f{}", Uuid::now_v7().simple()).into(),
            Value::String(text) if text == FRESH_DOMAIN => {
                format!("f{}.{}.example.net", Uuid::now_v7().simple(), self.marker).into()
            }
            Value::String(text) if text == DAY => far_day().to_string().into(),
            Value::String(text) if text == MARKER => self.marker.clone().into(),
            Value::String(text) if text == foreign => other(text).into(),
            Value::String(text) if text.starts_with('$') => match self.ids.get(text.as_str()) {
                Some(id) => id.clone().into(),
                None => bail!("no thing for {text}"),
            },
            Value::Array(values) => {
                let filled = values.iter().map(|value| self.fill(value, foreign, other));
                Value::Array(filled.collect::<anyhow::Result<_>>()?)
            }
            Value::Object(fields) => {
                let filled = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.fill(value, foreign, other)?)));
                Value::Object(filled.collect::<anyhow::Result<_>>()?)
            }
            other => other.clone(),
        })
    }

    /// `request` with this tenant's own things.
    pub fn own(&self, request: &Value) -> anyhow::Result<Value> {
        self.fill(request, "", &|_| String::new())
    }

    /// The thing that a placeholder stands for.
    pub fn thing(&self, placeholder: &str) -> String {
        self.ids.get(placeholder).cloned().unwrap_or_default()
    }

    /// Whether `text` tells anything of this tenant.
    pub fn shows_in(&self, text: &str) -> bool {
        let client = self.client.to_string();
        let mut words = self.ids.values().chain([&self.marker, &client]);
        words.any(|word| text.contains(word.as_str()))
    }

    /// A token of the tenant's administrator.
    pub fn admin_token(&self) -> anyhow::Result<String> {
        self.world.stack.token(Some(self.client), Role::Admin)
    }

    /// A token of an operator.
    pub fn platform_token(&self) -> anyhow::Result<String> {
        self.world.stack.token(None, Role::PlatformAdmin)
    }

    /// A token of a server that acts for the tenant; of one that may call the method, if any may.
    pub fn service_token(&self, policy: &Policy) -> anyhow::Result<String> {
        let caller = policy.callers.first().map_or("lead", String::as_str);
        Self::service_token_for(&self.world, caller, self.client)
    }

    /// A token of a server that acts for a tenant.
    #[expect(
        clippy::disallowed_methods,
        reason = "a service's signer needs a tenant, and no server is asked for one here"
    )]
    pub fn service_token_for(world: &World, service: &str, client: ClientId) -> anyhow::Result<String> {
        let key = std::fs::read_to_string(world.stack.secrets.folder.join(format!("{service}.key")))?;
        let tenant = Tenant::for_background(client, "test");
        Ok(Signer::from_pem(service, &key)?.token_for(&tenant)?.to_string())
    }

    async fn make(&self, method: &str, request: &Value) -> anyhow::Result<String> {
        let made = self.admin(method, request).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }

    async fn admin(&self, method: &str, request: &Value) -> anyhow::Result<Value> {
        let request = self.own(request)?;
        let answer = self.call(method, &self.admin_token()?, &request).await?;
        answer.with_context(|| format!("{method} {request}"))
    }

    async fn call(&self, method: &str, token: &str, request: &Value) -> anyhow::Result<Result<Value, Status>> {
        let found = self.methods.iter().find(|known| known.name() == method);
        let found = found.with_context(|| format!("the contract has no {method}"))?;
        found.call(&self.world.stack, token, request).await
    }
}

fn far_day() -> NaiveDate {
    const DAYS: u128 = 2_000_000;
    let days = u64::try_from(Uuid::new_v4().as_u128() % DAYS).unwrap_or_default();
    NaiveDate::from_ymd_opt(2100, 1, 1).unwrap_or_default() + chrono::Days::new(days)
}
