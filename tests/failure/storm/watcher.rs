//! Looks behind the walls all the time: no tenant is ever above its limit, and every row and byte is accounted for.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

const PACE: Duration = Duration::from_millis(25);

/// What a tenant has of one resource, read in one statement and so at one moment.
#[derive(Debug, sqlx::FromRow)]
struct Level {
    client_id: Uuid,
    resource: String,
    cap: i64,
    used: i64,
    reserved: i64,
    leased: i64,
    charged: i64,
    released: i64,
    owned: i64,
}

impl Level {
    /// What must never be, at no moment.
    fn violation(&self) -> Option<String> {
        let wrong = if self.owned > self.cap {
            "more is owned than the limit allows"
        } else if self.used + self.reserved > self.cap {
            "more is granted than the limit allows"
        } else if self.owned != self.used + self.charged - self.released {
            "something is owned that nobody counted, or counted and not owned"
        } else if self.reserved != self.leased {
            "reserved is not what leases hold"
        } else {
            return None;
        };
        Some(format!("{wrong}: {} of {}, {self:?}", self.resource, self.client_id))
    }
}

/// Runs until it is enough or something is wrong; returns how often it looked, and what was wrong.
pub async fn watch(behind: PgPool, enough: Arc<AtomicBool>) -> anyhow::Result<(usize, Option<String>)> {
    let mut round = tokio::time::interval(PACE);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0;
    while !enough.load(Ordering::Acquire) {
        round.tick().await;
        looks += 1;
        if let Some(violation) = look(&behind).await? {
            return Ok((looks, Some(violation)));
        }
    }
    Ok((looks, None))
}

async fn look(behind: &PgPool) -> anyhow::Result<Option<String>> {
    let levels: Vec<Level> = sqlx::query_as(
        "select u.client_id, u.resource, u.cap, u.used, u.reserved,
            (select coalesce(sum(amount), 0)::bigint from quota.reservations r
                where r.client_id = u.client_id and r.resource = u.resource) as leased,
            (select coalesce(sum(units), 0)::bigint from quota.charges c
                where c.client_id = u.client_id and c.resource = u.resource) as charged,
            (select coalesce(sum(units), 0)::bigint from quota.releases g
                where g.client_id = u.client_id and g.resource = u.resource) as released,
            case u.resource when 'leads' then l.rows else l.bytes end as owned
        from quota.usage u, lateral (
            select count(*) as rows, coalesce(sum(stored_bytes), 0)::bigint as bytes
            from lead.leads l where l.client_id = u.client_id and l.deleted_at is null
        ) l
        where u.resource in ('leads', 'storage_bytes')",
    )
    .fetch_all(behind)
    .await?;
    Ok(levels.iter().find_map(Level::violation))
}
