//! Time: a thing that is another tenant's takes as long to refuse as one that never was.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use onekeel_api::Audience;
use onekeel_tests::{Method, World, contract};
use serde_json::Value;
use uuid::Uuid;

use crate::requests::request;
use crate::things::Things;

const PAIRS: usize = 40;
/// A busy machine may need more than one look; a difference in what is done shows in each.
const LOOKS: usize = 4;
const MOST_APART: f64 = 1.5;
/// Times that are no further apart than this are the same, whatever their ratio.
const NOISE: Duration = Duration::from_micros(300);

pub async fn a_foreign_thing_takes_as_long_as_an_absent_one(world: Arc<World>) -> anyhow::Result<()> {
    let methods = Arc::new(contract()?);
    let mut a = Things::of_new_tenant(&world, &methods).await?;
    let mut b = Things::of_new_tenant(&world, &methods).await?;
    for tenant in [&mut a, &mut b] {
        tenant.renew().await?;
        tenant.name_tenant(&[Audience::Tenant]).await?;
    }
    let mut looked_at = 0;
    for method in methods
        .iter()
        .filter(|method| method.policy.audiences.contains(&Audience::Tenant))
    {
        let Some(template) = request(&method.name()) else {
            continue;
        };
        for name in Things::named_in(&template) {
            let foreign = b.fill(&template, &name, &|name| a.thing(name))?;
            let absent = b.fill(&template, &name, &|_| Uuid::now_v7().to_string())?;
            let mut looks = Vec::new();
            for _ in 0..LOOKS {
                let pair = look(&world, method, &b.admin_token()?, [&foreign, &absent]).await?;
                looks.push(pair);
                if are_one_class(pair) {
                    break;
                }
            }
            let same = looks.last().is_some_and(|pair| are_one_class(*pair));
            ensure!(
                same,
                "{} with {name} of another tenant, and with none: {looks:?}",
                method.name()
            );
            looked_at += 1;
        }
    }
    ensure!(looked_at >= 20, "only {looked_at} things were looked at");
    println!("{looked_at} foreign things take as long as absent ones");
    Ok(())
}

/// Calls in turn, and how long the quick ones of each kind took: what is slower than that, other work on the machine made.
async fn look(world: &World, method: &Method, token: &str, requests: [&Value; 2]) -> anyhow::Result<[Duration; 2]> {
    let mut times = [Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS)];
    for _ in 0..PAIRS {
        for (request, times) in requests.into_iter().zip(&mut times) {
            let began = Instant::now();
            // Whatever it answers; another test looks at that.
            let _answer = method.call(&world.stack, token, request).await?;
            times.push(began.elapsed());
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[PAIRS / 10]
    }))
}

fn are_one_class([one, other]: [Duration; 2]) -> bool {
    let ratio = one.as_secs_f64() / other.as_secs_f64();
    one.abs_diff(other) <= NOISE || (1.0 / MOST_APART..=MOST_APART).contains(&ratio)
}
