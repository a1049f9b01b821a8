//! Lanes: how many of the pool's connections one tenant may hold, so that its slow calls never take the last one.
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Error, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use uuid::Uuid;

use crate::pool::{LONGEST_ACQUIRE, Taken};

/// Calls of one tenant that may wait for its lane: half of the calls that a server takes by default.
const MOST_WAITING: usize = 512;

/// The lanes of tenants whose calls run now. There are never more of them than calls.
#[derive(Clone)]
pub(crate) struct Lanes {
    width: usize,
    open: Arc<Mutex<HashMap<Uuid, Lane>>>,
}

struct Lane {
    /// Calls that hold a place or wait for one.
    calls: usize,
    places: Arc<Semaphore>,
}

impl Lanes {
    /// Half of `connections` for each tenant; one connection is one tenant's at a time.
    pub fn of(connections: u32) -> Self {
        Self {
            width: (connections as usize / 2).max(1),
            open: Arc::default(),
        }
    }

    /// A place in the tenant's lane, waited for as long as for a connection. Cancel-safe.
    pub async fn enter(&self, client: Uuid) -> Result<Place, Error> {
        let (ticket, places) = self.line_up(client)?;
        let permit = match places.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return Err(Error::PoolClosed),
            Err(TryAcquireError::NoPermits) => {
                metrics::counter!("onekeel_db_lane_waits_total", "outcome" => "waited").increment(1);
                let waited = tokio::time::timeout(LONGEST_ACQUIRE, places.acquire_owned()).await;
                waited
                    .map_err(|_| Error::PoolTimedOut)?
                    .map_err(|_| Error::PoolClosed)?
            }
        };
        Ok(Place {
            _permit: permit,
            _ticket: ticket,
        })
    }

    fn line_up(&self, client: Uuid) -> Result<(Ticket, Arc<Semaphore>), Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = open.entry(client).or_insert_with(|| Lane {
            calls: 0,
            places: Arc::new(Semaphore::new(self.width)),
        });
        if lane.calls >= self.width + MOST_WAITING {
            metrics::counter!("onekeel_db_lane_waits_total", "outcome" => "refused").increment(1);
            return Err(Error::PoolTimedOut);
        }
        lane.calls += 1;
        let ticket = Ticket {
            client,
            lanes: self.clone(),
        };
        Ok((ticket, lane.places.clone()))
    }
}

/// A call in a lane, counted out when it goes; the last one takes the lane with it.
struct Ticket {
    client: Uuid,
    lanes: Lanes,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.lanes.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = open.get_mut(&self.client) {
            lane.calls -= 1;
            if lane.calls == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// A place in a lane. The permit goes first, so that nobody opens a second lane while it is held.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _ticket: Ticket,
}

/// A connection with the place that it takes; the connection goes back before the place is free.
pub(crate) struct Held {
    pub connection: Taken,
    /// None where no tenant is set.
    pub _place: Option<Place>,
}

impl Held {
    /// See [`Taken::hand_on`].
    pub fn hand_on(self) {
        self.connection.hand_on();
    }

    /// It never goes back to the pool.
    pub fn close_on_drop(&mut self) {
        self.connection.close_on_drop();
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_tenant_fills_its_own_lane_and_no_other() {
        let (lanes, one, other) = (Lanes::of(4), Uuid::from_u128(1), Uuid::from_u128(2));
        let first = lanes.enter(one).await.expect("a place");
        let second = lanes.enter(one).await.expect("a place");
        let mut third = Box::pin(lanes.enter(one));
        assert!((&mut third).now_or_never().is_none(), "half of four is two");
        lanes.enter(other).await.expect("another lane");
        drop(first);
        let third = third.await.expect("the place that was left");
        drop((second, third));
        let open = lanes.open.lock().expect("no panic");
        assert!(open.is_empty(), "{} lanes are left behind", open.len());
    }

    #[tokio::test]
    async fn a_lane_has_an_end_and_a_call_that_goes_away_leaves_it() {
        let (lanes, one) = (Lanes::of(1), Uuid::from_u128(1));
        let held = lanes.enter(one).await.expect("one connection is one place");
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(lanes.enter(one))).collect();
        for call in &mut waiting {
            assert!(call.now_or_never().is_none(), "waits");
        }
        let refused = lanes.enter(one).await.err();
        assert!(matches!(refused, Some(Error::PoolTimedOut)), "one too many");
        waiting.pop();
        assert!(lanes.enter(one).now_or_never().is_none(), "there is room to wait again");
        drop((waiting, held));
        assert!(lanes.open.lock().expect("no panic").is_empty(), "a lane is left behind");
    }
}
