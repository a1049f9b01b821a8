//! One read for all who want the same at the same time.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::near::Stamp;

/// What a read came to; `None` when it failed or was given up, and everybody reads for himself.
type Landed = Option<Option<Bytes>>;

/// A read under way: when it began, and where it lands.
type Flight = (Stamp, watch::Receiver<Landed>);

/// Reads under way, at most one a key. As many as there are calls.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Box<str>, Flight>>);

/// What a call does that found nothing.
pub(crate) enum Part<'a> {
    /// It reads, and tells the others.
    Pilot(Pilot<'a>),
    /// It waits for another that began after the last change it could know of.
    Passenger(watch::Receiver<Landed>),
    /// It reads for itself: the one under way may have begun too early.
    Alone,
}

impl Flights {
    pub fn join(&self, key: &str, now: Stamp) -> Part<'_> {
        if now.is_deaf() {
            return Part::Alone;
        }
        let mut flights = self.flights();
        match flights.get(key) {
            Some((began, landed)) if *began == now => Part::Passenger(landed.clone()),
            Some(_) => Part::Alone,
            None => {
                let (tell, landed) = watch::channel(None);
                flights.insert(key.into(), (now, landed));
                Part::Pilot(Pilot {
                    flights: self,
                    key: key.into(),
                    tell,
                })
            }
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Box<str>, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The call that reads. Dropped, it frees the key, and those who wait read for themselves.
pub(crate) struct Pilot<'a> {
    flights: &'a Flights,
    key: Box<str>,
    tell: watch::Sender<Landed>,
}

impl Pilot<'_> {
    pub fn land(self, found: Option<Bytes>) {
        self.tell.send_replace(Some(found));
    }
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        self.flights.flights().remove(&self.key);
    }
}

/// Waits for the one who reads.
pub(crate) async fn arrive(mut landed: watch::Receiver<Landed>) -> Landed {
    // The sender goes away without a word when its call failed or was dropped.
    landed.wait_for(Option::is_some).await.ok()?.clone()
}

#[cfg(test)]
mod tests {
    use super::super::near::Near;
    use super::*;

    #[tokio::test]
    async fn one_reads_for_all_who_came_after_the_last_change() {
        let (flights, near) = (Flights::default(), Near::new(1000));
        near.listen();
        let Part::Pilot(pilot) = flights.join("a", near.stamp("a")) else {
            panic!("nobody read before");
        };
        let Part::Passenger(landed) = flights.join("a", near.stamp("a")) else {
            panic!("somebody reads");
        };
        near.changed("a");
        assert!(matches!(flights.join("a", near.stamp("a")), Part::Alone));
        pilot.land(Some(Bytes::from_static(b"1")));
        assert_eq!(arrive(landed).await, Some(Some(Bytes::from_static(b"1"))));
        assert!(matches!(flights.join("a", near.stamp("a")), Part::Pilot(_)));
    }

    #[tokio::test]
    async fn a_dropped_read_leaves_nobody_waiting() {
        let (flights, near) = (Flights::default(), Near::new(1000));
        near.listen();
        let pilot = flights.join("a", near.stamp("a"));
        let Part::Passenger(landed) = flights.join("a", near.stamp("a")) else {
            panic!("somebody reads");
        };
        drop(pilot);
        assert_eq!(arrive(landed).await, None);
    }
}
