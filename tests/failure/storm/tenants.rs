//! The tenants of a storm: most of them always at their limit, the others far from it.
use onekeel_api::ClientId;
use onekeel_tests::World;

/// Limits of the tenants at their limit; the others keep their plan's.
const TIGHT: [i64; 12] = [5, 7, 10, 10, 15, 15, 20, 20, 25, 30, 40, 50];
const LOOSE: usize = 8;

pub struct Subject {
    pub id: ClientId,
}

/// Makes tenants; the request limit is out of their way.
pub async fn make(world: &World, limits: impl IntoIterator<Item = Option<i64>>) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for limit in limits {
        let id = world.member("enterprise").await?.id;
        world.limit(id, "requests_per_minute", 2_000_000).await?;
        if let Some(limit) = limit {
            world.limit(id, "leads", limit).await?;
        }
        subjects.push(Subject { id });
    }
    Ok(subjects)
}

/// The twenty of the storm.
pub fn twenty() -> impl Iterator<Item = Option<i64>> {
    TIGHT.into_iter().map(Some).chain([None; LOOSE])
}
