//! A body whose bytes are counted as they pass, and whose trailers tell how the call ended.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use onekeel_api::Meter;

use crate::contract::STATUS;

/// What a call owes its tenant's meter: shared by the call and its bodies, and settled when the last of them is gone.
pub(crate) struct Bill {
    pub meter: Arc<Meter>,
    /// A call of the tenant's own users; of a call between servers only the work is counted.
    pub counts: bool,
    ok: std::sync::atomic::AtomicBool,
}

impl Bill {
    pub fn new(meter: Arc<Meter>, counts: bool) -> Self {
        Self {
            meter,
            counts,
            ok: false.into(),
        }
    }

    /// Reads how the call ended from the head of its answer or from its trailers.
    pub fn read_status(&self, headers: &HeaderMap) {
        if headers.get(STATUS).is_some_and(|status| status == "0") {
            self.ok.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        self.meter.note_call();
        if self.counts {
            // Without a good status the caller, a deadline or the connection ended it.
            self.meter.note_request(*self.ok.get_mut());
        }
    }
}

/// A body, and the bill that its bytes are put on.
#[derive(Default)]
pub struct Counted<B> {
    inner: B,
    bill: Option<Arc<Bill>>,
    /// Whether to read it is the call's work, which is on the bill too.
    works: bool,
}

impl<B> Counted<B> {
    /// What a caller sends; it is read within the call.
    pub(crate) fn question(inner: B, bill: Option<Arc<Bill>>) -> Self {
        Self {
            inner,
            bill,
            works: false,
        }
    }

    /// What the caller gets, which a stream makes as it is read.
    pub(crate) fn answer(inner: B, bill: Option<Arc<Bill>>) -> Self {
        Self {
            inner,
            bill,
            works: true,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { inner, bill, works } = &mut *self;
        let Some(bill) = bill else {
            return Pin::new(inner).poll_frame(context);
        };
        let mut read = || Pin::new(&mut *inner).poll_frame(context);
        let frame = if *works { bill.meter.sync_scope(read) } else { read() };
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            if let Some(trailers) = frame.trailers_ref() {
                bill.read_status(trailers);
            }
            if let (Some(data), true) = (frame.data_ref(), bill.counts) {
                bill.meter.note_bytes(data.len() as u64);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
