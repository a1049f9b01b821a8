//! Two tenants and every method of the contract: what A may do with its own, B may not even know of.
//!
//! The contract says which methods there are and who may call them; `requests.rs` has a request for each, and a method
//! without one fails the proof.
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onekeel_api::Audience;
use onekeel_tests::{Method, World, contract, same_refusal};
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::requests::request;
use crate::rows::digest;
use crate::things::Things;

/// A method, a request for it, and two tenants.
struct Proof<'a> {
    world: &'a World,
    method: &'a Method,
    request: Value,
    a: &'a Things,
    b: &'a Things,
}

impl Proof<'_> {
    async fn call(&self, token: &str, request: &Value) -> anyhow::Result<Result<Value, Status>> {
        self.method.call(&self.world.stack, token, request).await
    }

    async fn succeeds(&self, who: &str, token: &str, request: &Value) -> anyhow::Result<Value> {
        let answer = self.call(token, request).await?;
        answer.with_context(|| format!("{who} with {request}"))
    }

    async fn is_refused(&self, token: &str, request: &Value) -> anyhow::Result<Status> {
        match self.call(token, request).await? {
            Ok(answer) => bail!("{request} got {answer}"),
            Err(status) => Ok(status),
        }
    }

    fn is_for(&self, audience: Audience) -> bool {
        self.method.policy.audiences.contains(&audience)
    }

    /// All that the method is called with here: first what B must not get, then what each may do.
    async fn hold(&self) -> anyhow::Result<()> {
        if self.is_for(Audience::Public) {
            return self.a_secret_lets_into_its_own_tenant_only().await;
        }
        let before = digest(self.world, self.a.client).await?;
        if self.is_for(Audience::Service) {
            self.a_service_reaches_only_its_tenant().await?;
        }
        self.a_foreign_thing_is_an_absent_one().await?;
        if self.is_for(Audience::Tenant) {
            self.an_answer_tells_nothing_of_others().await?;
        }
        let after = digest(self.world, self.a.client).await?;
        ensure!(before == after, "what B did changed rows of A");
        if self.is_for(Audience::Tenant) {
            self.a_page_token_is_the_tenants_own().await?;
            self.a_request_id_is_the_tenants_own().await?;
        }
        self.those_who_may_succeed().await
    }

    /// What is for everybody knows its tenant by what it is given. B's token beside it changes nothing, and what never was
    /// is refused.
    async fn a_secret_lets_into_its_own_tenant_only(&self) -> anyhow::Result<()> {
        let (request, before) = (self.a.own(&self.request)?, digest(self.world, self.b.client).await?);
        for token in ["", &self.b.admin_token()?] {
            let answer = self.succeeds("whoever has A's secret", token, &request).await?;
            let given = answer["accessToken"].as_str().context("a token")?;
            let claims = given.split('.').nth(1).context("claims")?;
            let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
            ensure!(claims["clientId"] == json!(self.a.client.to_string()), "{claims}");
            ensure!(!self.b.shows_in(&answer.to_string()), "told of B: {answer}");
        }
        let mut never = request.clone();
        never["api_key"] = json!("okl_000000000000000000000000000000000000000000000000_000000");
        let refused = self.is_refused(&self.b.admin_token()?, &never).await?;
        ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
        ensure!(
            before == digest(self.world, self.b.client).await?,
            "A's secret changed rows of B"
        );
        self.a.wait_for_use().await
    }

    /// B puts one thing of A between its own, and then one that never was: the refusals are the same to the last byte. A
    /// read that finds nothing may say so instead, in the same words for both.
    async fn a_foreign_thing_is_an_absent_one(&self) -> anyhow::Result<()> {
        let token = self.b.admin_token()?;
        let code = if self.is_for(Audience::Tenant) {
            Code::NotFound
        } else {
            Code::PermissionDenied
        };
        for name in Things::named_in(&self.request) {
            let foreign = self.b.fill(&self.request, &name, &|name| self.a.thing(name))?;
            let never = |_: &str| Uuid::now_v7().to_string();
            let absent = self.b.fill(&self.request, &name, &never)?;
            match (self.call(&token, &foreign).await?, self.call(&token, &absent).await?) {
                (Err(refused), Err(other)) => {
                    ensure!(refused.code() == code, "{name} of A: {refused:?}");
                    same_refusal(&refused, &other)?;
                }
                (Ok(answer), Ok(other)) if !self.method.policy.writes && code == Code::NotFound => {
                    ensure!(answer == other, "{name} of A: {answer} and not {other}");
                    ensure!(!self.a.shows_in(&answer.to_string()), "{name} of A: {answer}");
                }
                (foreign, absent) => bail!("{name} of A: {foreign:?}; one that never was: {absent:?}"),
            }
        }
        if code == Code::PermissionDenied {
            let refused = self.is_refused(&token, &self.b.own(&self.request)?).await?;
            ensure!(refused.code() == code, "a tenant's administrator: {refused:?}");
        }
        Ok(())
    }

    /// A service that acts for B and names a thing of A changes nothing, and is told nothing.
    async fn a_service_reaches_only_its_tenant(&self) -> anyhow::Result<()> {
        let request = self.b.fill(&self.request, "$lease", &|name| self.a.thing(name))?;
        let told = match self.call(&self.b.service_token(&self.method.policy)?, &request).await? {
            Ok(answer) => answer.to_string(),
            Err(status) => format!("{status:?}"),
        };
        ensure!(!self.a.shows_in(&told), "a service for B is told {told}");
        let lease: i64 = sqlx::query_scalar("select count(*) from quota.reservations where id = $1")
            .bind(Uuid::try_parse(&self.a.thing("$lease"))?)
            .fetch_one(&self.world.behind)
            .await?;
        ensure!(lease == 1, "a service for B ended a lease of A");
        Ok(())
    }

    /// B's own answer holds nothing of A, and what A does makes no difference to what B reads.
    async fn an_answer_tells_nothing_of_others(&self) -> anyhow::Result<()> {
        let request = self.b.own(&self.request)?;
        if self.method.policy.writes {
            return Ok(());
        }
        let token = self.b.admin_token()?;
        let answer = self.succeeds("B", &token, &request).await?;
        ensure!(!self.a.shows_in(&answer.to_string()), "B is told of A: {answer}");
        if self.method.answers_with("next_page_token") {
            ensure!(
                self.b.shows_in(&answer.to_string()),
                "B does not find its own things: {answer}"
            );
        }
        Ok(())
    }

    async fn a_page_token_is_the_tenants_own(&self) -> anyhow::Result<()> {
        if !self.method.asks_for("page_token") {
            return Ok(());
        }
        let mut first = self.a.own(&self.request)?;
        first["page_size"] = json!(1);
        let page = self.succeeds("A", &self.a.admin_token()?, &first).await?;
        let page_token = page["nextPageToken"].as_str().context("A has two things at least")?;
        first["page_token"] = json!(page_token);
        self.succeeds("A, on its second page", &self.a.admin_token()?, &first)
            .await?;
        let mut stolen = self.b.own(&self.request)?;
        stolen["page_size"] = json!(1);
        stolen["page_token"] = json!(page_token);
        let refused = self.is_refused(&self.b.admin_token()?, &stolen).await?;
        ensure!(refused.code() == Code::InvalidArgument, "A's page token: {refused:?}");
        Ok(())
    }

    /// One request id in two tenants makes two things.
    async fn a_request_id_is_the_tenants_own(&self) -> anyhow::Result<()> {
        if !self.method.asks_for("request_id") {
            return Ok(());
        }
        let id = Uuid::new_v4().to_string();
        let mut answers = Vec::new();
        for tenant in [self.a, self.b] {
            let mut request = tenant.own(&self.request)?;
            request["request_id"] = json!(id);
            answers.push(self.succeeds("each", &tenant.admin_token()?, &request).await?);
        }
        ensure!(
            !self.a.shows_in(&answers[1].to_string()) && answers[0] != answers[1],
            "B got A's first result: {}",
            answers[1]
        );
        Ok(())
    }

    async fn those_who_may_succeed(&self) -> anyhow::Result<()> {
        let request = self.a.own(&self.request)?;
        for (audience, token) in [
            (Audience::Tenant, self.a.admin_token()?),
            (Audience::Platform, self.a.platform_token()?),
            (Audience::Service, self.a.service_token(&self.method.policy)?),
        ] {
            if self.is_for(audience) {
                self.succeeds(audience.as_str_name(), &token, &request).await?;
            }
        }
        Ok(())
    }
}

pub async fn every_method_keeps_tenants_apart(world: Arc<World>) -> anyhow::Result<()> {
    let methods = Arc::new(contract()?);
    let mut a = Things::of_new_tenant(&world, &methods).await?;
    let mut b = Things::of_new_tenant(&world, &methods).await?;
    let mut without = Vec::new();
    for method in methods.iter() {
        let name = method.name();
        let Some(request) = request(&name) else {
            without.push(name);
            continue;
        };
        for tenant in [&mut a, &mut b] {
            tenant.renew().await.with_context(|| name.clone())?;
            tenant.name_tenant(&method.policy.audiences).await?;
        }
        let proof = Proof {
            world: &world,
            method,
            request,
            a: &a,
            b: &b,
        };
        proof.hold().await.with_context(|| name.clone())?;
    }
    ensure!(without.is_empty(), "no isolation case for {without:?}");
    println!("{} methods keep two tenants apart", methods.len());
    Ok(())
}
