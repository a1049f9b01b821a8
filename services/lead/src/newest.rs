//! The newest page of each tenant, as it was answered last. It is what most callers ask for, again and again: PostgreSQL says
//! each time whether it still is the newest page, by the ids and versions of its leads, and sends them only when it is not.
//! So nobody has to be told of a change, and no answer is older than its question.
use std::sync::{Arc, LazyLock};

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

const EXPECTED_PAGES: usize = 100;
/// What a page costs beside its bytes and marks.
const OVERHEAD: usize = 256;

/// What a page is known by: the ids of its rows and their versions, in its order, with the one row that is too many for it.
#[derive(Default)]
pub(crate) struct Marks {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
}

impl Marks {
    pub fn of(rows: &[LeadRow]) -> Self {
        rows.iter().map(|row| (row.id, row.version)).collect()
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

impl FromIterator<(Uuid, i64)> for Marks {
    fn from_iter<I: IntoIterator<Item = (Uuid, i64)>>(rows: I) -> Self {
        let (ids, versions) = rows.into_iter().unzip();
        Self { ids, versions }
    }
}

struct Known {
    marks: Marks,
    answer: Ready<ListLeadsResponse>,
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
        let Some(known) = self.0.get(&(tenant.id(), most)) else {
            OUTCOMES.unknown.increment(1);
            return Ok(None);
        };
        if known.marks.still_hold(store, tenant, most).await? {
            OUTCOMES.same.increment(1);
            return Ok(Some(known.answer.clone()));
        }
        OUTCOMES.changed.increment(1);
        Ok(None)
    }

    /// Keeps what is answered for rows with these marks; an empty page is as cheap to read.
    pub fn keep(&self, tenant: &Tenant, most: i64, marks: Marks, answer: &ListLeadsResponse) {
        if !marks.ids.is_empty() {
            let known = Known {
                marks,
                answer: Ready::of(answer),
            };
            self.0.insert((tenant.id(), most), Arc::new(known));
        }
    }
}
