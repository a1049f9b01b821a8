//! Programs of a tenant, by tokens that they were given for API keys.
use anyhow::{Context, ensure};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_tenancy::Role;
use onekeel_tests::{Method, World, contract};
use serde_json::{Value, json};

const SERVICE: &str = "onekeel.tenant.v1.ApiKeyService";
/// A read of each server.
const READS: [&str; 4] = [
    "onekeel.lead.v1.LeadService/CountLeads",
    "onekeel.campaign.v1.CampaignService/ListCampaigns",
    "onekeel.quota.v1.QuotaService/GetQuota",
    "onekeel.tenant.v1.TenantService/GetTenant",
];
const LONGEST: std::time::Duration = std::time::Duration::from_secs(10);

/// A token of a key with this role that lives, and one of a key that is revoked, as every server knows.
pub async fn tokens(world: &World, client: ClientId, role: Role) -> anyhow::Result<[String; 2]> {
    let (methods, admin) = (contract()?, world.stack.token(Some(client), Role::Admin)?);
    let find = |name: &str| {
        let found = methods.iter().find(|method| method.name() == name);
        found.with_context(|| format!("the contract has no {name}"))
    };
    let call = async |method: &str, token: &str, request: Value| -> anyhow::Result<Value> {
        Ok(find(method)?.call(&world.stack, token, &request).await??)
    };
    let mut tokens = Vec::new();
    for name in ["living", "revoked"] {
        let create = json!({"name": name, "role": role.name()});
        let made = call(&format!("{SERVICE}/CreateApiKey"), &admin, create).await?;
        let exchange = json!({"api_key": made["secret"]});
        let given = call(&format!("{SERVICE}/ExchangeApiKey"), "", exchange).await?;
        tokens.push(given["accessToken"].as_str().context("a token")?.to_owned());
        if name == "revoked" {
            let revoke = json!({"id": made["key"]["id"]});
            call(&format!("{SERVICE}/RevokeApiKey"), &admin, revoke).await?;
        }
    }
    for read in READS {
        wait_until_refused(world, find(read)?, &tokens[1]).await?;
    }
    let [living, revoked] = <[String; 2]>::try_from(tokens).ok().context("two tokens")?;
    Ok([living, revoked])
}

async fn wait_until_refused(world: &World, method: &Method, token: &str) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + LONGEST;
    let mut round = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        round.tick().await;
        let refused = method.call(&world.stack, token, &json!({})).await?.err();
        if refused.is_some_and(|status| Fault::from_status(&status).reason() == ErrorReason::Unauthenticated) {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{} admits a revoked key",
            method.name()
        );
    }
}
