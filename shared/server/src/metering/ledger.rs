//! The counters of each tenant and day. What was taken out is written down or comes back; nothing leaves unseen.
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use onekeel_api::meter::Used;
use onekeel_api::{ClientId, Meter};
use onekeel_store::{Due, UsedInDay};
use onekeel_tenancy::Tenant;
use tokio::sync::Notify;
use uuid::Uuid;

/// With as many counters, they are written down before it is time.
const CROWDED: usize = 20_000;
/// More are not kept, whatever keeps the writer from its work; their calls are counted as lost.
const MOST: usize = 2 * CROWDED;
const SECONDS_A_DAY: u64 = 86_400;
/// Fewer requests and rows than so many wait, as a line costs the same for one as for many.
const FEW: u64 = 16;
/// In that many rounds after the first they are written down all the same.
const MOST_WAITED: u32 = 2;

struct Account {
    tenant: Tenant,
    meter: Arc<Meter>,
    /// Rounds.
    waited: u32,
}

impl Account {
    fn of(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            meter: Arc::default(),
            waited: 0,
        }
    }

    /// Whether it waits for one more round.
    fn waits(&mut self) -> bool {
        let waits = self.waited < MOST_WAITED && self.meter.is_below(FEW);
        self.waited = if waits { self.waited + 1 } else { 0 };
        waits
    }
}

/// What the calls of this process have used and nobody has written down yet.
pub(crate) struct Ledger {
    accounts: RwLock<HashMap<(ClientId, i32), Account>>,
    crowded: Notify,
    most: usize,
    /// Of tenants for whom there was no room.
    lost: Arc<Meter>,
}

impl Ledger {
    pub fn new() -> Self {
        Self::with_room_for(MOST)
    }

    fn with_room_for(most: usize) -> Self {
        Self {
            accounts: RwLock::default(),
            crowded: Notify::new(),
            most,
            lost: Arc::default(),
        }
    }

    /// The counters of a tenant for the calls that begin today (UTC).
    pub fn meter(&self, tenant: &Tenant) -> Arc<Meter> {
        self.meter_of(tenant, today())
    }

    fn meter_of(&self, tenant: &Tenant, day: i32) -> Arc<Meter> {
        let key = (tenant.id(), day);
        let known = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = known.get(&key) {
            return account.meter.clone();
        }
        drop(known);
        let mut accounts = self.accounts();
        if accounts.len() >= self.most && !accounts.contains_key(&key) {
            return self.lost.clone();
        }
        let account = accounts.entry(key).or_insert_with(|| Account::of(tenant));
        let meter = account.meter.clone();
        if accounts.len() == self.most / 2 {
            self.crowded.notify_one();
        }
        meter
    }

    fn accounts(&self) -> RwLockWriteGuard<'_, HashMap<(ClientId, i32), Account>> {
        self.accounts.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there are so many counters that they should be written down at once.
    pub async fn crowded(&self) {
        self.crowded.notified().await;
    }

    /// Takes out what was counted, but for the little that may wait. Call it once in each round.
    pub fn take_due(&self) -> Vec<Due> {
        self.take_unless(Account::waits)
    }

    /// Takes out all that was counted.
    pub fn take(&self) -> Vec<Due> {
        self.take_unless(|_| false)
    }

    /// Counters that nobody uses and that were empty go.
    fn take_unless(&self, waits: impl Fn(&mut Account) -> bool) -> Vec<Due> {
        let mut due: HashMap<ClientId, Due> = HashMap::new();
        self.accounts().retain(|(client, day), account| {
            if waits(account) {
                return true;
            }
            // Looked at first: whoever still holds the counters may add to them after they were emptied.
            let unused = Arc::get_mut(&mut account.meter).is_some();
            let used = account.meter.take();
            if used.is_nothing() {
                return !unused;
            }
            let tenant = || Due {
                tenant: account.tenant.clone(),
                days: Vec::new(),
            };
            let days = &mut due.entry(*client).or_insert_with(tenant).days;
            days.push(UsedInDay { day: *day, used });
            true
        });
        due.into_values().collect()
    }

    /// Calls by tenant since this was asked last, whoever made them.
    pub fn take_calls(&self) -> Vec<(Uuid, u64)> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let calls = accounts
            .iter()
            .map(|((client, _), account)| (client.uuid(), account.meter.take_calls()));
        calls.filter(|(_, calls)| *calls > 0).collect()
    }

    /// Puts back what could not be written; the next round tries again.
    pub fn give_back(&self, due: &Due) {
        let mut accounts = self.accounts();
        for UsedInDay { day, used } in &due.days {
            let account = accounts
                .entry((due.tenant.id(), *day))
                .or_insert_with(|| Account::of(&due.tenant));
            account.meter.give_back(*used);
        }
    }

    /// What tenants used for whom there was no room, since this was asked last.
    pub fn take_lost(&self) -> Used {
        self.lost.take()
    }
}

/// Days since 1970 (UTC).
fn today() -> i32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i32::try_from(now.as_secs() / SECONDS_A_DAY).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "what is counted here is nobody's")]
    fn tenant() -> Tenant {
        Tenant::for_background(ClientId::new_v7(), "test")
    }

    fn requests(due: &[Due]) -> u64 {
        due.iter().map(Due::requests).sum()
    }

    #[test]
    fn what_is_taken_out_is_taken_once_and_comes_back_whole() {
        let (ledger, tenant) = (Ledger::new(), tenant());
        ledger.meter_of(&tenant, 1).note_request(true);
        ledger.meter_of(&tenant, 2).note_request(false);
        let due = ledger.take();
        assert_eq!((due.len(), requests(&due)), (1, 2), "one tenant, two days");
        assert!(ledger.take().is_empty(), "taken once");
        ledger.give_back(&due[0]);
        ledger.meter_of(&tenant, 2).note_request(true);
        let days: BTreeMap<i32, u64> = ledger
            .take()
            .iter()
            .flat_map(|due| due.days.iter().map(|day| (day.day, day.used.requests)))
            .collect();
        assert_eq!(days, BTreeMap::from([(1, 1), (2, 2)]));
    }

    #[test]
    fn little_waits_for_a_few_rounds_and_much_for_none() {
        let (ledger, tenant) = (Ledger::new(), tenant());
        let count = |calls| (0..calls).for_each(|_| ledger.meter_of(&tenant, 1).note_request(true));
        for _ in 0..3 {
            count(1);
            assert_eq!(requests(&ledger.take_due()), 0);
            count(1);
            assert_eq!(requests(&ledger.take_due()), 0);
            assert_eq!(requests(&ledger.take_due()), 2, "in the third round");
        }
        count(FEW);
        assert_eq!(requests(&ledger.take_due()), FEW);
        count(1);
        assert_eq!(requests(&ledger.take_due()), 0);
        assert_eq!(requests(&ledger.take()), 1, "nothing waits at the end");
    }

    #[test]
    fn counters_go_when_nobody_uses_them_and_not_before() {
        let (ledger, tenant) = (Ledger::new(), tenant());
        let running = ledger.meter_of(&tenant, 1);
        for _ in 0..3 {
            assert!(ledger.take().is_empty());
        }
        running.note_request(true);
        drop(running);
        assert_eq!(requests(&ledger.take()), 1, "a call outlived three rounds");
        ledger.take();
        assert!(ledger.accounts().is_empty());
    }

    #[test]
    fn a_crowd_wakes_the_writer_and_beyond_the_bound_calls_are_counted_as_lost() {
        let ledger = Ledger::with_room_for(10);
        let tenants: Vec<Tenant> = (0..12).map(|_| tenant()).collect();
        for (place, tenant) in tenants.iter().enumerate() {
            ledger.meter_of(tenant, 1).note_request(true);
            let woken = futures_util::FutureExt::now_or_never(ledger.crowded()).is_some();
            assert_eq!(woken, place == 4, "at {place}");
        }
        assert_eq!((requests(&ledger.take()), ledger.take_lost().requests), (10, 2));
        assert_eq!(ledger.accounts().len(), 10);
    }

    #[test]
    fn nothing_is_lost_or_doubled_between_calls_and_the_writer() {
        const CALLS: u64 = 20_000;
        let (ledger, tenants) = (Ledger::new(), [tenant(), tenant(), tenant()]);
        let mut seen = 0;
        std::thread::scope(|threads| {
            let caller = || {
                for call in 0..CALLS {
                    ledger
                        .meter_of(&tenants[usize::try_from(call % 3).expect("small")], 1)
                        .note_request(true);
                }
            };
            let callers = [threads.spawn(caller), threads.spawn(caller)];
            while callers.iter().any(|caller| !caller.is_finished()) {
                seen += requests(&ledger.take());
            }
        });
        seen += requests(&ledger.take());
        assert_eq!(seen, 2 * CALLS);
    }
}
