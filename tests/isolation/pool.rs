//! One database connection a server, two tenants, every method that reads, and calls that are dropped in the middle.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::Audience;
use onekeel_operator::stack::Plan;
use onekeel_tests::{Method, World, contract};

use crate::requests::request;
use crate::things::Things;

const STEP: Duration = Duration::from_micros(30);
const STEPS: u32 = 51;

/// Calls the method for a tenant and drops the call after `life`; returns whether it was dropped.
async fn dropped(world: &World, method: &Method, tenant: &Things, life: Duration) -> anyhow::Result<bool> {
    let request = tenant.own(&request(&method.name()).context("a request")?)?;
    let token = tenant.admin_token()?;
    let call = method.call(&world.stack, &token, &request);
    Ok(tokio::time::timeout(life, call).await.is_err())
}

/// Calls the method for a tenant; its answer is about this tenant and not about the other.
async fn answers_its_own(world: &World, method: &Method, own: &Things, other: &Things) -> anyhow::Result<()> {
    let request = own.own(&request(&method.name()).context("a request")?)?;
    let answer = method
        .call(&world.stack, &own.admin_token()?, &request)
        .await??
        .to_string();
    ensure!(!other.shows_in(&answer), "an answer tells of another tenant: {answer}");
    let names = method.answers_with("next_page_token") || method.answers_with("id");
    ensure!(
        !names || own.shows_in(&answer),
        "an answer lacks the tenant's own: {answer}"
    );
    Ok(())
}

pub async fn one_connection_serves_tenants_in_turn_and_none_sees_another(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let plan = Plan::default().with_env("MAX_CONNECTIONS", "1");
    let world = Arc::new(World::start(&plan).await?);
    let methods = Arc::new(contract()?);
    let mut a = Things::of_new_tenant(&world, &methods).await?;
    let mut b = Things::of_new_tenant(&world, &methods).await?;
    for tenant in [&mut a, &mut b] {
        tenant.renew().await?;
        tenant.name_tenant(&[Audience::Tenant]).await?;
    }
    let reads: Vec<&Method> = methods
        .iter()
        .filter(|method| method.policy.audiences.contains(&Audience::Tenant) && !method.policy.writes)
        .collect();
    let mut drops = 0_usize;
    for step in 0..STEPS {
        for method in &reads {
            let (first, second) = if step % 2 == 0 { (&a, &b) } else { (&b, &a) };
            let life = STEP * step;
            let (one, other) = tokio::try_join!(
                dropped(&world, method, first, life),
                dropped(&world, method, second, life / 2)
            )?;
            drops += usize::from(one) + usize::from(other);
            tokio::try_join!(
                answers_its_own(&world, method, first, second),
                answers_its_own(&world, method, second, first)
            )
            .with_context(|| method.name())?;
        }
    }
    println!(
        "{drops} calls of {} methods dropped, every answer its own tenant's",
        reads.len()
    );
    ensure!(drops > 500, "only {drops} calls were dropped");
    drop((a, b));
    let world = Arc::try_unwrap(world).ok().context("the stack is still held")?;
    world.stop().await
}
