//! Who may try a secret, and how often: nobody proves anything before, so that both are bounded for everybody.
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use onekeel_api::{ErrorReason, Fault};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Secrets that are looked up at once.
const MOST_AT_ONCE: usize = 32;
/// Wrong secrets that may come from one address in a minute.
const MOST_WRONG: u64 = 100;
const MINUTE: u64 = 60;
/// Addresses that share a slot share its bound. Which ones do, nobody can know or choose.
const SLOTS: u64 = 4096;

/// The way in.
pub(super) struct Door {
    places: Semaphore,
    began: Instant,
    seed: RandomState,
    /// The minute in the upper half, the wrong secrets of it in the lower.
    wrong: Box<[AtomicU64]>,
}

impl Door {
    pub fn new() -> Self {
        Self {
            places: Semaphore::new(MOST_AT_ONCE),
            began: Instant::now(),
            seed: RandomState::new(),
            wrong: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A place for one secret.
    ///
    /// # Errors
    /// `RATE_LIMITED` when too many wrong ones came from this address in this minute, `UNAVAILABLE` when too many secrets are
    /// looked up at once.
    pub fn enter(&self, address: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Fault> {
        self.refuse_flood(address, self.began.elapsed())?;
        let full = |_| Fault::unavailable("too many API keys are being exchanged; try again");
        self.places.try_acquire().map_err(full)
    }

    fn refuse_flood(&self, address: Option<IpAddr>, now: Duration) -> Result<(), Fault> {
        let (minute, state) = (now.as_secs() / MINUTE, self.slot(address).load(Ordering::Relaxed));
        if wrong_in(state, minute) < MOST_WRONG {
            return Ok(());
        }
        let left = MINUTE - now.as_secs() % MINUTE;
        let refused = Fault::new(
            ErrorReason::RateLimited,
            "too many wrong API keys came from your address; try again later",
        );
        Err(refused.retry_after(Duration::from_secs(left)))
    }

    /// Notes that a wrong secret came from there.
    pub fn note_wrong(&self, address: Option<IpAddr>) {
        self.note_wrong_at(address, self.began.elapsed());
    }

    fn note_wrong_at(&self, address: Option<IpAddr>, now: Duration) {
        let minute = now.as_secs() / MINUTE;
        let slot = self.slot(address);
        let next = (wrong_in(slot.load(Ordering::Relaxed), minute) + 1).min(MOST_WRONG);
        // Two at once may count as one: the bound needs to be near, not exact.
        slot.store(minute << 32 | next, Ordering::Relaxed);
    }

    fn slot(&self, address: Option<IpAddr>) -> &AtomicU64 {
        let place = self.seed.hash_one(address.map(network_of)) % SLOTS;
        &self.wrong[usize::try_from(place).expect("there are so many")]
    }
}

/// Who has one address of IPv6 mostly has 2^64 of them.
fn network_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

fn wrong_in(state: u64, minute: u64) -> u64 {
    if state >> 32 == minute { state & 0xffff_ffff } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_wrong_secrets_in_a_minute() {
        let door = Door::new();
        let address = |text: &str| Some(text.parse().expect(text));
        let (one, same, other) = (
            address("2001:db8::1"),
            address("2001:db8::2"),
            address("2001:db8:0:1::1"),
        );
        let (first, second) = (Duration::from_secs(59), Duration::from_secs(60));
        for _ in 0..MOST_WRONG {
            door.refuse_flood(one, first).expect("not yet");
            door.note_wrong_at(one, first);
        }
        let fault = door.refuse_flood(same, first).expect_err("the same network");
        assert_eq!(fault.reason(), ErrorReason::RateLimited);
        assert_eq!(fault.retry_delay(), Some(Duration::from_secs(1)));
        door.refuse_flood(one, second).expect("another minute");
        if !std::ptr::eq(door.slot(one), door.slot(other)) {
            door.refuse_flood(other, first).expect("another network");
        }
    }

    #[test]
    fn so_many_secrets_are_looked_up_at_once() {
        let door = Door::new();
        let places: Vec<_> = (0..MOST_AT_ONCE).map(|_| door.enter(None).expect("a place")).collect();
        let fault = door.enter(None).expect_err("no place");
        assert_eq!(fault.reason(), ErrorReason::Unavailable);
        drop(places);
        drop(door.enter(None).expect("a place again"));
    }
}
