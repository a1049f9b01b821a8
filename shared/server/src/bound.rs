//! The layer that bounds a call: how many at once, how long, and how far a panic reaches.
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use http::{HeaderMap, HeaderName, Request, Response};
use onekeel_api::{Call, Deadline, Fault, Policies};
use tokio::sync::Semaphore;
use tonic::Status;
use tower::{Layer, Service};

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Of a call whose caller names none, and at most.
const LONGEST_CALL: Duration = Duration::from_secs(30);
const LONGEST_STREAM: Duration = Duration::from_secs(600);
/// tonic ends a call at its `grpc-timeout` with CANCELLED and without details; ours comes first.
const EARLIER: Duration = Duration::from_millis(5);

/// Puts [`Bound`] around a service.
#[derive(Clone)]
pub(crate) struct BoundLayer {
    pub policies: Arc<Policies>,
    pub calls: Arc<Semaphore>,
}

impl<S> Layer<S> for BoundLayer {
    type Service = Bound<S>;

    fn layer(&self, inner: S) -> Bound<S> {
        Bound {
            inner,
            config: self.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Bound<S> {
    inner: S,
    config: BoundLayer,
}

impl<S, B, R> Service<Request<B>> for Bound<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default + Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, BoxFuture<'static, Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = self.config.limit(request.uri().path(), request.headers());
        let Ok(place) = self.config.calls.clone().try_acquire_owned() else {
            metrics::counter!("onekeel_rpc_shed_total").increment(1);
            let full = Fault::unavailable("the server has as many calls as it can take; try again");
            return Either::Left(ready(Ok(refusal(full))));
        };
        let Ok(called) = std::panic::catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) else {
            return Either::Left(ready(Ok(panicked())));
        };
        let deadline = Deadline::at(Call::beginning() + limit);
        Either::Right(Box::pin(async move {
            let _place = place;
            let within = deadline.scope(AssertUnwindSafe(called).catch_unwind());
            match tokio::time::timeout_at(deadline.instant().into(), within).await {
                Ok(Ok(answered)) => answered,
                Ok(Err(_panic)) => Ok(panicked()),
                Err(_elapsed) => Ok(refusal(Fault::deadline_exceeded())),
            }
        }))
    }
}

fn panicked<R: Default>() -> Response<R> {
    metrics::counter!("onekeel_rpc_panics_total").increment(1);
    refusal(Fault::internal("a handler panicked; the panic itself is in the log"))
}

fn refusal<R: Default>(fault: Fault) -> Response<R> {
    Status::from(fault).into_http()
}

impl BoundLayer {
    fn limit(&self, path: &str, headers: &HeaderMap) -> Duration {
        let streams = self.policies.get(path).is_some_and(|policy| policy.is_stream());
        let longest = if streams { LONGEST_STREAM } else { LONGEST_CALL };
        let asked = headers
            .get(TIMEOUT)
            .and_then(|value| parse_timeout(value.to_str().ok()?));
        asked.map_or(longest, |asked| {
            asked.saturating_sub(EARLIER.min(asked / 10)).min(longest)
        })
    }
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
        let layer = BoundLayer {
            policies: Arc::default(),
            calls: Arc::new(Semaphore::new(places)),
        };
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
