//! The layer that bounds a call: how many at once, how long, and how far a panic reaches.
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{CatchUnwind, Either};
use http::{HeaderMap, HeaderName, Request, Response};
use onekeel_api::{Call, Deadline, Fault};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::futures::TaskLocalFuture;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};
use tonic::Status;
use tower::{Layer, Service};

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Of a call whose caller names none, and at most.
const LONGEST_CALL: Duration = Duration::from_secs(30);
const LONGEST_STREAM: Duration = Duration::from_secs(600);
/// tonic ends a call at its `grpc-timeout` with CANCELLED and without details; ours comes first.
const EARLIER: Duration = Duration::from_millis(5);

/// Puts [`Bound`] around a service: as many calls at once as there are places.
#[derive(Clone)]
pub(crate) struct BoundLayer(pub Arc<Semaphore>);

impl<S> Layer<S> for BoundLayer {
    type Service = Bound<S>;

    fn layer(&self, inner: S) -> Bound<S> {
        Bound {
            inner,
            places: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Bound<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S, B, R> Service<Request<B>> for Bound<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, Bounded<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let deadline = Deadline::at(Call::beginning() + limit(request.headers()));
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            metrics::counter!("onekeel_rpc_shed_total").increment(1);
            let full = Fault::unavailable("the server has as many calls as it can take; try again");
            return Either::Left(ready(Ok(refusal(full))));
        };
        let Ok(called) = std::panic::catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) else {
            return Either::Left(ready(Ok(panicked())));
        };
        Either::Right(Bounded {
            called: deadline.scope(AssertUnwindSafe(called).catch_unwind()),
            deadline,
            timer: None,
            _place: place,
        })
    }
}

pin_project! {
    /// A call that has a place, until it is answered or its time is over.
    pub(crate) struct Bounded<F> {
        #[pin]
        called: TaskLocalFuture<Deadline, CatchUnwind<AssertUnwindSafe<F>>>,
        deadline: Deadline,
        // Only for a call that has to wait; most are answered in their first turn.
        timer: Option<Pin<Box<Sleep>>>,
        _place: OwnedSemaphorePermit,
    }
}

impl<F, R, E> Future for Bounded<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.called.poll(context) {
            Poll::Ready(Ok(answered)) => return Poll::Ready(answered),
            Poll::Ready(Err(_panic)) => return Poll::Ready(Ok(panicked())),
            Poll::Pending => {}
        }
        let end = this.deadline.instant().into();
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        // Also where the call has used up its turn: its time is over all the same.
        let timer = pin!(unconstrained(timer.as_mut()));
        timer.poll(context).map(|()| Ok(refusal(Fault::deadline_exceeded())))
    }
}

fn panicked<R: Default>() -> Response<R> {
    metrics::counter!("onekeel_rpc_panics_total").increment(1);
    refusal(Fault::internal("a handler panicked; the panic itself is in the log"))
}

fn refusal<R: Default>(fault: Fault) -> Response<R> {
    Status::from(fault).into_http()
}

/// How long the call may take: as long as its caller says, and no longer than its kind may.
fn limit(headers: &HeaderMap) -> Duration {
    let streams = Call::with_current(|call| call.policy().is_some_and(|policy| policy.is_stream()));
    let longest = if streams.unwrap_or(false) {
        LONGEST_STREAM
    } else {
        LONGEST_CALL
    };
    let asked = headers
        .get(TIMEOUT)
        .and_then(|value| parse_timeout(value.to_str().ok()?));
    asked.map_or(longest, |asked| {
        asked.saturating_sub(EARLIER.min(asked / 10)).min(longest)
    })
}

/// `grpc-timeout` as the gRPC protocol over HTTP/2 defines it: up to 8 digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Method;
    use onekeel_api::ErrorReason;
    use tower::ServiceExt;

    use super::*;

    /// The reason that a bounded call is refused for.
    async fn refused<F>(places: usize, timeout: &str, work: fn() -> F) -> Option<ErrorReason>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let layer = BoundLayer(Arc::new(Semaphore::new(places)));
        let handler = move |_request: Request<()>| {
            let working = work();
            async move {
                working.await;
                Ok::<_, Infallible>(Response::new(()))
            }
        };
        let request = Request::builder()
            .method(Method::POST)
            .header("grpc-timeout", timeout)
            .body(());
        let bounded = layer.layer(tower::service_fn(handler));
        let Ok(response) = bounded.oneshot(request.expect("a request")).await;
        let status = Status::from_header_map(response.headers())?;
        Some(Fault::from_status(&status).reason())
    }

    /// Panics where the layers do what need not wait.
    fn before_it_waits() -> std::future::Ready<()> {
        panic!("a layer's own fault")
    }

    #[tokio::test]
    async fn a_call_passes_and_a_panic_a_wait_or_a_crowd_do_not() {
        assert_eq!(refused(1, "1S", || async {}).await, None);
        let panics = refused(1, "1S", || async { panic!("a handler's own fault") }).await;
        assert_eq!(panics, Some(ErrorReason::Internal));
        assert_eq!(refused(1, "1S", before_it_waits).await, Some(ErrorReason::Internal));
        assert_eq!(
            refused(1, "20m", std::future::pending::<()>).await,
            Some(ErrorReason::DeadlineExceeded)
        );
        assert_eq!(refused(0, "1S", || async {}).await, Some(ErrorReason::Unavailable));
    }

    #[test]
    fn a_grpc_timeout_is_read_as_the_protocol_says() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "1", "-1m", "123456789S", "1x", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
