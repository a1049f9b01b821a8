//! The connections of a process. sqlx's pool opens them, closes them when they are old or long idle, and clears those that
//! come back in doubt; in between they stand here and go from one call to the next.
//!
//! sqlx 0.9 asks PostgreSQL about each connection that comes back, in a task of its own: a second round trip for every call of
//! one. A connection whose last statement is known to have ended well needs none.
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Error, PgConnection, PgPool, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest wait for a connection.
pub(crate) const LONGEST_ACQUIRE: Duration = Duration::from_secs(5);
/// How long a connection stands here before sqlx's pool looks at it again.
const LONGEST_AWAY: Duration = Duration::from_secs(30);

/// The connections of a process; clones share them.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Inner>);

struct Inner {
    pool: PgPool,
    /// One for each connection that there may be; calls wait here, the first one first.
    places: Semaphore,
    /// None when the pool is closed.
    parked: Mutex<Option<Vec<Parked>>>,
}

/// A connection on which nothing has begun.
struct Parked {
    connection: PoolConnection<Postgres>,
    /// When it left sqlx's pool.
    since: Instant,
}

impl Parked {
    fn now(connection: PoolConnection<Postgres>) -> Self {
        Self {
            connection,
            since: Instant::now(),
        }
    }
}

impl Connections {
    pub fn of(pool: PgPool) -> Self {
        let most = pool.options().get_max_connections();
        Self(Arc::new(Inner {
            pool,
            places: Semaphore::new(most as usize),
            parked: Mutex::new(Some(Vec::with_capacity(most as usize))),
        }))
    }

    /// The connection that was used last, or one of the pool. Waits 5 s at most. Cancel-safe.
    pub async fn take(&self) -> Result<Taken, Error> {
        if let Ok(place) = self.0.places.try_acquire()
            && let Some(idle) = self.0.idle()
        {
            return Ok(self.taken(place, idle));
        }
        let waited = async {
            let place = self.0.places.acquire().await.map_err(|_| Error::PoolClosed)?;
            let connection = match self.0.idle() {
                Some(idle) => idle,
                // This future is large, and rarely needed.
                None => Parked::now(Box::pin(self.0.pool.acquire()).await?),
            };
            Ok(self.taken(place, connection))
        };
        let waited = tokio::time::timeout(LONGEST_ACQUIRE, waited).await;
        waited.unwrap_or(Err(Error::PoolTimedOut))
    }

    fn taken(&self, place: SemaphorePermit<'_>, Parked { connection, since }: Parked) -> Taken {
        place.forget();
        Taken {
            connection: Some(connection),
            since,
            home: self.0.clone(),
        }
    }

    /// Where they lead.
    pub fn options(&self) -> Arc<PgConnectOptions> {
        self.0.pool.connect_options()
    }

    /// How many there may be.
    pub fn most(&self) -> u32 {
        self.0.pool.options().get_max_connections()
    }

    /// How many are open, and how many of them are idle.
    pub fn size(&self) -> (u32, usize) {
        let parked = self.0.parked().as_ref().map_or(0, Vec::len);
        (self.0.pool.size(), self.0.pool.num_idle() + parked)
    }

    /// Waits until every connection is back and closes it.
    pub async fn close(&self) {
        let parked = self.0.parked().take();
        drop(parked);
        self.0.places.close();
        self.0.pool.close().await;
    }
}

impl Inner {
    fn parked(&self) -> MutexGuard<'_, Option<Vec<Parked>>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> Option<Parked> {
        let parked = self.parked().as_mut().and_then(Vec::pop);
        parked.or_else(|| self.pool.try_acquire().map(Parked::now))
    }

    /// Keeps the connection for the next call, unless sqlx's pool is to look at it; that which has stood here longest goes
    /// there as well when it has been away for too long.
    fn park(&self, connection: PoolConnection<Postgres>, since: Instant) {
        let now = Instant::now();
        let is_old = |since: Instant| now.duration_since(since) > LONGEST_AWAY;
        let mut parked = self.parked();
        let Some(all) = &mut *parked else { return };
        let oldest = all.first().is_some_and(|first| is_old(first.since));
        let oldest = oldest.then(|| all.remove(0));
        if !is_old(since) {
            all.push(Parked { connection, since });
        }
        drop(parked);
        drop(oldest);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without the pool's tasks: nobody needs these connections any more, and there may be no runtime for a task.
        let parked = self.parked.get_mut().unwrap_or_else(PoisonError::into_inner);
        for parked in parked.take().into_iter().flatten() {
            drop(parked.connection.detach());
        }
    }
}

/// A connection, for one call. Dropped, it goes to sqlx's pool, which clears it before anybody else has it.
pub(crate) struct Taken {
    connection: Option<PoolConnection<Postgres>>,
    since: Instant,
    home: Arc<Inner>,
}

impl Taken {
    /// The last statement has ended well and no transaction is open: the next call may have it as it is.
    pub fn hand_on(mut self) {
        if let Some(connection) = self.connection.take() {
            self.home.park(connection, self.since);
        }
    }

    /// It never goes back to the pool.
    pub fn close_on_drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        drop(self.connection.take());
        self.home.places.add_permits(1);
    }
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(THERE)
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(THERE)
    }
}

const THERE: &str = "the connection is taken only when the value ends";
