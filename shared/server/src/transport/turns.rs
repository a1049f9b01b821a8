//! The first turn of each request of a connection is taken by the connection itself.
//!
//! hyper gives every request to an executor. A task of its own for each costs an allocation, a place in the scheduler's queue
//! and, worse, a wake of the connection for each answer, which then goes out in a write of its own. Most requests need not
//! wait for anything: their answers are ready after the first turn. So requests are put aside while frames are read, take
//! their first turns one after the other, and all answers that are ready leave in one write. Who has to wait goes on as a
//! task.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::Executor;

use super::together::{Connected, Later};

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The requests of one connection that have not had their first turn; at most as many as it may have streams. Clones are
/// the same.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Vec<Request>>>);

impl<F> Executor<F> for Turns
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        self.waiting(|waiting| waiting.push(Box::pin(request)));
    }
}

impl Turns {
    fn waiting<T>(&self, look: impl FnOnce(&mut Vec<Request>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives all that wait their first turn; whether there were any.
    fn take(&self, connection: &Arc<Connected>) -> bool {
        let waiting = self.waiting(std::mem::take);
        let any = !waiting.is_empty();
        for request in waiting {
            first_turn(request, connection);
        }
        any
    }
}

/// Nobody is woken by what happens during this turn, and nobody need be: as a task, the request is asked again.
fn first_turn(mut request: Request, connection: &Arc<Connected>) {
    let mut nobody = Context::from_waker(Waker::noop());
    // A request that panics ends alone, as a task would.
    let turn = catch_unwind(AssertUnwindSafe(|| request.as_mut().poll(&mut nobody)));
    if let Ok(Poll::Pending) = turn {
        tokio::spawn(Later::new(request, connection.clone()));
    }
}

/// A connection that gives its requests their first turns.
pub(super) struct Served<C> {
    connection: C,
    turns: Turns,
    connected: Arc<Connected>,
    waker: Waker,
}

impl<C> Served<C> {
    /// `connection` puts its requests into `turns`.
    pub fn new(connection: C, turns: Turns) -> Self {
        let connected = Arc::<Connected>::default();
        Self {
            connection,
            turns,
            waker: connected.clone().into(),
            connected,
        }
    }
}

impl<C> Served<Pin<Box<C>>> {
    /// The connection itself.
    pub fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future + Unpin> Future for Served<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        this.connected.register(context);
        let mut context = Context::from_waker(&this.waker);
        loop {
            let polled = Pin::new(&mut this.connection).poll(&mut context);
            // Answers are written when the connection is polled again; after its end, those that wait learn of it.
            if !this.turns.take(&this.connected) || polled.is_ready() {
                return polled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

    use super::*;

    /// A connection that hands over some requests, and ends when none is left.
    struct Connection {
        turns: Turns,
        requests: Vec<Request>,
        polled: usize,
    }

    impl Future for Connection {
        type Output = usize;

        fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<usize> {
            self.polled += 1;
            let requests = std::mem::take(&mut self.requests);
            if requests.is_empty() {
                return Poll::Ready(self.polled);
            }
            for request in requests {
                self.turns.execute(request);
            }
            Poll::Pending
        }
    }

    async fn served(requests: Vec<Request>) -> usize {
        let turns = Turns::default();
        let connection = Connection {
            turns: turns.clone(),
            requests,
            polled: 0,
        };
        Served::new(connection, turns).await
    }

    #[tokio::test]
    async fn answers_that_are_ready_are_there_when_the_connection_is_polled_next() {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let answer = |number: u32| -> Request {
            let sender = sender.clone();
            Box::pin(async move { sender.send(number).unwrap() })
        };
        assert_eq!(served(vec![answer(1), answer(2)]).await, 2, "polls of the connection");
        assert_eq!((answers.try_recv(), answers.try_recv()), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn who_waits_goes_on_alone_and_who_panics_ends_alone() {
        let (go, gone) = oneshot::channel::<()>();
        let (sender, mut answers) = mpsc::unbounded_channel();
        let waits = Box::pin(async move {
            gone.await.unwrap();
            sender.send("went on").unwrap();
        });
        let panics = Box::pin(async { panic!("a fault of its own") });
        served(vec![panics, waits, Box::pin(pending()), Box::pin(ready(()))]).await;
        go.send(()).unwrap();
        assert_eq!(answers.recv().await, Some("went on"));
    }

    /// tokio runs who was woken by a task right after it: the connection would be polled for the first answers already.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn answers_that_come_together_are_there_in_one_poll_of_the_connection() {
        const REQUESTS: usize = 16;
        let (arrive, mut arrived) = mpsc::unbounded_channel();
        let (send, mut answers) = mpsc::unbounded_channel();
        let (go, polls, turns) = (
            Arc::new(Semaphore::new(0)),
            Arc::<AtomicUsize>::default(),
            Turns::default(),
        );
        for _ in 0..REQUESTS {
            let (arrive, send, go) = (arrive.clone(), send.clone(), go.clone());
            turns.execute(async move {
                // From here on it is a task.
                tokio::task::yield_now().await;
                arrive.send(()).unwrap();
                go.acquire().await.unwrap().forget();
                send.send(()).unwrap();
            });
        }
        let polled = polls.clone();
        let mut work = Box::pin(async move {
            for _ in 0..REQUESTS {
                arrived.recv().await.unwrap();
            }
            let before = polled.load(Ordering::SeqCst);
            go.add_permits(REQUESTS);
            for _ in 0..REQUESTS {
                answers.recv().await.unwrap();
            }
            polled.load(Ordering::SeqCst) - before
        });
        let connection = poll_fn(move |context| {
            polls.fetch_add(1, Ordering::SeqCst);
            work.as_mut().poll(context)
        });
        let polls = tokio::spawn(Served::new(connection, turns)).await;
        assert_eq!(polls.expect("no panic"), 1);
    }

    /// What arrives from outside wakes the connection in the same moment in which its last request has its turn. If nobody
    /// does, nothing else ever will.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_comes_while_the_last_request_has_its_turn_is_not_forgotten() {
        const WAVES: usize = 50_000;
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (send, mut arrives) = mpsc::unbounded_channel();
        let outside = std::thread::spawn(move || {
            while asked.recv().is_ok() {
                send.send(()).unwrap();
            }
        });
        let (go, turns) = (Arc::new(Notify::new()), Turns::default());
        let request = go.clone();
        turns.execute(async move {
            loop {
                request.notified().await;
            }
        });
        let connection = Box::pin(async move {
            for _ in 0..WAVES {
                go.notify_one();
                ask.send(()).unwrap();
                arrives.recv().await.unwrap();
            }
        });
        let served = tokio::time::timeout(Duration::from_secs(60), Served::new(connection, turns));
        served.await.expect("it is woken");
        outside.join().unwrap();
    }
}
