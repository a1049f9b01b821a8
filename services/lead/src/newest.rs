//! The newest page of each tenant, as it was answered last. It is what most callers ask for, again and again: PostgreSQL says
//! each time whether it still is the newest page, by the ids and versions of its leads, and sends them only when it is not.
//! So nobody has to be told of a change, and no answer is older than its question.
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use metrics::Counter;
use onekeel_api::lead::ListLeadsResponse;
use onekeel_api::{ClientId, Fault};
use onekeel_server::Ready;
use onekeel_store::{Single, Store};
use onekeel_tenancy::Tenant;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::lead::LeadRow;

/// Rows that are put back under a running server, as by `pg_restore`, may get a version twice: a page is read anew after so
/// long in any case.
const LONGEST_KNOWN: Duration = Duration::from_secs(600);
const EXPECTED_PAGES: usize = 100;
/// What a page costs beside its bytes and marks.
const OVERHEAD: usize = 256;

/// What a page is known by: the ids of its rows and their versions, in its order, with the one row that is too many for it.
pub(crate) struct Marks {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
}

impl Marks {
    pub fn of(rows: &[LeadRow]) -> Self {
        let (ids, versions) = rows.iter().map(|row| (row.id, row.version)).unzip();
        Self { ids, versions }
    }

    /// Whether the tenant's newest rows, as many as were asked for, still are these.
    async fn still_hold(&self, store: &Store, tenant: &Tenant, most: i64) -> Result<bool, Fault> {
        let ask = async |single: &mut Single| {
            let client = single.client_id();
            sqlx::query_scalar!(
                r#"select lead.are_newest($1, $2, $3, $4) as "same!""#,
                client,
                most,
                &self.ids,
                &self.versions
            )
            .fetch_one(single.conn())
            .await
        };
        store.one(tenant, "confirm_newest_leads", ask).await
    }
}

/// When a page was read, and of which run of the database: another one may lack the last commits of this one, and give their
/// versions to others.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    run: i64,
}

impl Reading {
    /// Take it before the page is asked for.
    pub fn now(store: &Store) -> Self {
        Self {
            at: Instant::now(),
            run: store.database_run(),
        }
    }

    fn counts_at(self, now: Self) -> bool {
        self.run == now.run && now.at.saturating_duration_since(self.at) < LONGEST_KNOWN
    }
}

struct Known {
    marks: Marks,
    answer: Ready<ListLeadsResponse>,
    read: Reading,
}

/// A tenant, and how many rows its page is made of.
type Key = (ClientId, i64);

#[derive(Clone)]
struct Size;

impl Weighter<Key, Arc<Known>> for Size {
    fn weight(&self, _key: &Key, known: &Arc<Known>) -> u64 {
        let mark = size_of::<Uuid>() + size_of::<i64>();
        let bytes = known.answer.size() + known.marks.ids.len() * mark + OVERHEAD;
        bytes.try_into().unwrap_or(u64::MAX)
    }
}

/// Held, since lists count here.
struct Outcomes {
    same: Counter,
    changed: Counter,
    unknown: Counter,
}

static OUTCOMES: LazyLock<Outcomes> = LazyLock::new(|| {
    let of = |outcome| metrics::counter!("onekeel_newest_pages_total", "outcome" => outcome);
    Outcomes {
        same: of("same"),
        changed: of("changed"),
        unknown: of("unknown"),
    }
});

/// Newest pages by tenant and size, bounded by their bytes.
pub(crate) struct Newest(Cache<Key, Arc<Known>, Size>);

impl Newest {
    /// Room for so many bytes; none remembers nothing.
    pub fn new(bytes: u64) -> Self {
        Self(Cache::with_weighter(EXPECTED_PAGES, bytes, Size))
    }

    /// The page of `most` rows as it was answered last, if it is what would be answered now.
    pub async fn known(
        &self,
        store: &Store,
        tenant: &Tenant,
        most: i64,
    ) -> Result<Option<Ready<ListLeadsResponse>>, Fault> {
        let Some(known) = self.young(&(tenant.id(), most), Reading::now(store)) else {
            OUTCOMES.unknown.increment(1);
            return Ok(None);
        };
        // The question may have been the first one to meet another database.
        if known.marks.still_hold(store, tenant, most).await? && known.read.counts_at(Reading::now(store)) {
            OUTCOMES.same.increment(1);
            return Ok(Some(known.answer.clone()));
        }
        OUTCOMES.changed.increment(1);
        Ok(None)
    }

    fn young(&self, key: &Key, now: Reading) -> Option<Arc<Known>> {
        self.0.get(key).filter(|known| known.read.counts_at(now))
    }

    /// Keeps what is answered for rows with these marks; an empty page is as cheap to read.
    pub fn keep(&self, tenant: &Tenant, most: i64, marks: Marks, answer: &ListLeadsResponse, read: Reading) {
        if marks.ids.is_empty() || self.0.capacity() == 0 {
            return;
        }
        let answer = Ready::of(answer);
        let known = Known { marks, answer, read };
        self.0.insert((tenant.id(), most), Arc::new(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_kept_for_a_while_and_within_their_room() {
        #[expect(clippy::disallowed_methods, reason = "pages are kept below the verifier")]
        let tenant = || Tenant::for_background(ClientId::new_v7(), "test");
        let (one, other) = (tenant(), tenant());
        let marks = || Marks {
            ids: vec![Uuid::nil()],
            versions: vec![1],
        };
        let page = ListLeadsResponse::default();
        let now = Reading {
            at: Instant::now(),
            run: 1,
        };
        let later = Reading {
            at: now.at + LONGEST_KNOWN,
            ..now
        };
        let newest = Newest::new(1 << 20);
        newest.keep(&one, 51, marks(), &page, now);
        assert!(newest.young(&(one.id(), 51), now).is_some());
        assert!(newest.young(&(one.id(), 50), now).is_none(), "a page of another size");
        assert!(newest.young(&(other.id(), 51), now).is_none(), "another tenant's");
        assert!(newest.young(&(one.id(), 51), later).is_none(), "too old");
        let restored = Reading { run: 2, ..now };
        assert!(newest.young(&(one.id(), 51), restored).is_none(), "another database");
        let none = Newest::new(0);
        none.keep(&one, 51, marks(), &page, now);
        assert!(none.young(&(one.id(), 51), now).is_none(), "no room");
        let small = Newest::new(64 * 1024);
        for _ in 0..10_000 {
            small.keep(&tenant(), 51, marks(), &page, now);
        }
        assert!(small.0.weight() <= 64 * 1024 && !small.0.is_empty());
    }
}
