//! Answers that become ready together leave in one write.
//!
//! What many calls wait for often ends for all of them in the same moment, such as the transaction that they share. Each is
//! woken then, each answer wakes the connection, and tokio lets who was woken by a task run right after it: a write for each
//! answer. So the connection sleeps on while requests of it have been woken and have not had their turn.
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Turns of requests that a connection sleeps through: requests that never rest must not keep it from reading.
const MOST_TURNS: u32 = 64;

/// Wakes a connection, but for the moments in which more answers are about to come.
#[derive(Default)]
pub(super) struct Connected {
    task: AtomicWaker,
    /// Requests that were woken and have not had their turn. Who is asked before it was counted makes it negative for a moment.
    woken: AtomicIsize,
    /// Turns since the connection was to be woken, counted from 1; 0 when nobody wants it to be.
    held: AtomicU32,
}

impl Connected {
    /// Before the connection is polled, with the context of its task.
    pub fn register(&self, context: &Context<'_>) {
        self.task.register(context.waker());
    }

    /// A request that was woken has its turn now, or will have none.
    fn turn(&self) {
        let left = self.woken.fetch_sub(1, Ordering::SeqCst) - 1;
        if self.held.load(Ordering::SeqCst) > 0 && (left <= 0 || self.held.fetch_add(1, Ordering::SeqCst) >= MOST_TURNS)
        {
            self.release();
        }
    }

    fn release(&self) {
        if self.held.swap(0, Ordering::SeqCst) > 0 {
            self.task.wake();
        }
    }
}

impl Wake for Connected {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.load(Ordering::SeqCst) <= 0 {
            return self.task.wake();
        }
        // Where it is held already, that counts on.
        let _held = self.held.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
        // The last turn may have been taken meanwhile, by somebody who did not see that it is held.
        if self.woken.load(Ordering::SeqCst) <= 0 {
            self.release();
        }
    }
}

const ASLEEP: u8 = 0;
const WOKEN: u8 = 1;
const ENDED: u8 = 2;

/// Wakes a request, and has it counted until its turn.
struct Turn {
    task: AtomicWaker,
    state: AtomicU8,
    connection: Arc<Connected>,
}

impl Turn {
    fn becomes(&self, state: u8) {
        if self.state.swap(state, Ordering::SeqCst) == WOKEN {
            self.connection.turn();
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let fell = self
            .state
            .compare_exchange(ASLEEP, WOKEN, Ordering::SeqCst, Ordering::SeqCst);
        if fell.is_ok() {
            self.connection.woken.fetch_add(1, Ordering::SeqCst);
        }
        self.task.wake();
    }
}

/// A request that goes on as a task of its own.
pub(super) struct Later<R> {
    request: R,
    turn: Arc<Turn>,
    waker: Waker,
}

impl<R> Later<R> {
    /// A request of `connection`.
    pub fn new(request: R, connection: Arc<Connected>) -> Self {
        let turn = Arc::new(Turn {
            task: AtomicWaker::new(),
            state: AtomicU8::new(ASLEEP),
            connection,
        });
        Self {
            request,
            waker: turn.clone().into(),
            turn,
        }
    }
}

impl<R: Future<Output = ()> + Unpin> Future for Later<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.turn.task.register(context.waker());
        self.turn.becomes(ASLEEP);
        let Self { request, waker, .. } = &mut *self;
        Pin::new(request).poll(&mut Context::from_waker(waker))
    }
}

impl<R> Drop for Later<R> {
    fn drop(&mut self) {
        self.turn.becomes(ENDED);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A task that only counts how often it is woken.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A connection, what wakes it, and how often that was done.
    struct Scene {
        connected: Arc<Connected>,
        waker: Waker,
        woken: Arc<Counted>,
    }

    impl Scene {
        fn new() -> Self {
            let connected = Arc::<Connected>::default();
            let scene = Self {
                waker: connected.clone().into(),
                connected,
                woken: Arc::default(),
            };
            scene.polled();
            scene
        }

        /// As the connection's task does each time.
        fn polled(&self) {
            let task = self.woken.clone().into();
            self.connected.register(&Context::from_waker(&task));
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::SeqCst)
        }

        /// A request that waits, with what wakes it; at each turn after the first it answers.
        fn request(&self) -> (Later<impl Future<Output = ()> + Unpin>, Waker) {
            let (inside, connection) = (Arc::<Mutex<Option<Waker>>>::default(), self.waker.clone());
            let seen = inside.clone();
            let request = std::future::poll_fn(move |context| {
                if seen.lock().unwrap().replace(context.waker().clone()).is_some() {
                    connection.wake_by_ref();
                }
                Poll::Pending
            });
            let mut later = Later::new(request, self.connected.clone());
            turn(&mut later);
            let waker = inside.lock().unwrap().clone();
            (later, waker.expect("it had a turn"))
        }
    }

    fn turn(later: &mut Later<impl Future<Output = ()> + Unpin>) {
        let polled = Pin::new(later).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }

    #[test]
    fn a_connection_is_woken_once_for_answers_that_come_together() {
        let scene = Scene::new();
        let mut requests = [scene.request(), scene.request(), scene.request()];
        for (_, waker) in &requests {
            waker.wake_by_ref();
        }
        for (number, (later, _)) in requests.iter_mut().enumerate() {
            assert_eq!(scene.woken(), 0, "{number} answers are there, and more will come");
            turn(later);
        }
        assert_eq!(scene.woken(), 1, "all had their turns");
        scene.polled();
        scene.waker.wake_by_ref();
        assert_eq!(scene.woken(), 2, "nobody was woken besides");
    }

    #[test]
    fn requests_that_end_without_a_turn_leave_nobody_asleep() {
        let scene = Scene::new();
        let (gone, waker) = scene.request();
        waker.wake_by_ref();
        scene.waker.wake_by_ref();
        assert_eq!(scene.woken(), 0);
        drop(gone);
        assert_eq!(scene.woken(), 1);
        scene.polled();
        waker.wake();
        scene.waker.wake_by_ref();
        assert_eq!(scene.woken(), 2, "who has ended is not waited for");
    }

    #[test]
    fn requests_that_never_rest_do_not_keep_a_connection_asleep() {
        let scene = Scene::new();
        let mut requests = [scene.request(), scene.request()];
        for (_, waker) in &requests {
            waker.wake_by_ref();
        }
        let mut turns = 0;
        while scene.woken() == 0 {
            assert!(turns <= 2 * MOST_TURNS, "still asleep");
            for (later, waker) in &mut requests {
                turn(later);
                waker.wake_by_ref();
                turns += 1;
            }
        }
        assert!(turns >= MOST_TURNS, "woken after {turns} turns");
    }
}
