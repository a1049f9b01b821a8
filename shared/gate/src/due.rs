//! Slots whose leases may have to go back, by when: a round looks at those that are due, however many others there are.
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::units::Slot;

/// At most one living entry for each slot; one that an earlier entry has overtaken is dropped when its time comes.
#[derive(Default)]
pub(crate) struct Due(Mutex<BinaryHeap<Reverse<Entry>>>);

struct Entry {
    at: Instant,
    slot: Arc<Slot>,
}

impl Due {
    /// Looks at the slot as soon as one of its leases may have to go back; if none has to, not at all.
    pub fn watch(&self, slot: &Arc<Slot>) {
        if let Some(at) = slot.schedule() {
            let slot = slot.clone();
            self.heap().push(Reverse(Entry { at, slot }));
        }
    }

    /// Those that are due. Watch each again once it was looked at.
    pub fn take(&self, now: Instant) -> Vec<Arc<Slot>> {
        let (mut heap, mut due) = (self.heap(), Vec::new());
        while heap.peek().is_some_and(|Reverse(first)| first.at <= now) {
            due.extend(heap.pop().filter(|Reverse(first)| first.slot.is_due(first.at)));
        }
        due.into_iter().map(|Reverse(entry)| entry.slot).collect()
    }

    fn heap(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onekeel_api::ClientId;
    use onekeel_api::quota::Resource;
    use onekeel_tenancy::Tenant;
    use uuid::Uuid;

    use super::*;
    use crate::pieces::Wanted;

    const LONG: Duration = Duration::from_secs(60);

    fn slot() -> Arc<Slot> {
        #[expect(clippy::disallowed_methods, reason = "leases are kept below the verifier")]
        let tenant = Tenant::for_background(ClientId::new_v7(), "test");
        Arc::new(Slot::new(tenant, Resource::Leads))
    }

    fn put(slot: &Slot, idle: Duration) -> Uuid {
        let id = Uuid::now_v7();
        slot.put(id, 10, Instant::now() + LONG, idle);
        id
    }

    #[test]
    fn a_slot_is_looked_at_when_its_lease_may_be_idle_and_not_before() {
        let (due, slot, now) = (Due::default(), slot(), Instant::now());
        due.watch(&slot);
        assert!(due.take(now + 10 * LONG).is_empty(), "it has no lease");
        put(&slot, LONG);
        due.watch(&slot);
        due.watch(&slot);
        assert!(due.take(now + LONG / 2).is_empty());
        assert_eq!(due.take(now + 2 * LONG).len(), 1, "once, however often it was watched");
        assert!(due.take(now + 2 * LONG).is_empty(), "until it is watched again");
        due.watch(&slot);
        assert_eq!(due.take(now + 2 * LONG).len(), 1);
    }

    #[test]
    fn an_earlier_time_overtakes_a_later_one() {
        let (due, slot, now) = (Due::default(), slot(), Instant::now());
        put(&slot, 10 * LONG);
        due.watch(&slot);
        put(&slot, LONG);
        due.watch(&slot);
        assert_eq!(due.take(now + 2 * LONG).len(), 1);
        assert!(due.take(now + 20 * LONG).is_empty(), "the later one counts no more");
    }

    #[test]
    fn what_was_replaced_is_looked_at_in_the_next_round() {
        let (due, slot, now) = (Due::default(), slot(), Instant::now());
        let old = put(&slot, LONG);
        assert!(slot.take(Wanted::up_to(1)).is_some());
        assert_eq!(slot.replace(Wanted::up_to(1)).0, None, "a call is under way");
        due.watch(&slot);
        for _ in 0..2 {
            assert_eq!(due.take(now + LONG / 2).len(), 1);
            assert!(slot.take_replaced().is_empty());
            due.watch(&slot);
        }
        slot.landed(old);
        assert_eq!(due.take(now + LONG / 2)[0].take_replaced(), [old]);
    }
}
