//! An answer that was encoded before. It goes out as it is: nobody takes it apart to put it together again.
use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::ready;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use onekeel_api::Fault;
use prost::Message;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use crate::contract::STATUS;

/// In front of a message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const HEAD: usize = 5;
const ACCEPTED: &str = "grpc-accept-encoding";

/// The message of a good unary answer, as it goes over the wire. Clones share its bytes.
#[derive(Debug)]
pub struct Ready<T> {
    frame: Frame,
    message: PhantomData<fn() -> T>,
}

/// Waits in the extensions of a response for [`sent`].
#[derive(Clone, Debug)]
struct Frame(Bytes);

impl<T> Clone for Ready<T> {
    fn clone(&self) -> Self {
        Self {
            frame: self.frame.clone(),
            message: PhantomData,
        }
    }
}

impl<T: Message + Default> Ready<T> {
    /// Encodes a message, which is shorter than 4 GiB as all that we send.
    pub fn of(message: &T) -> Self {
        let length = message.encoded_len();
        let mut frame = BytesMut::with_capacity(HEAD + length);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        message.encode_raw(&mut frame);
        Self {
            frame: Frame(frame.freeze()),
            message: PhantomData,
        }
    }

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.frame.0.len()
    }

    /// The answer to a call with this metadata. For a caller that takes compressed answers it is decoded again, as only
    /// whole messages are compressed.
    ///
    /// # Errors
    /// `INTERNAL` when it cannot be decoded, which is our own mistake.
    pub fn answer(&self, call: &MetadataMap) -> Result<tonic::Response<T>, Fault> {
        let accepted = call.get(ACCEPTED).and_then(|accepted| accepted.to_str().ok());
        if accepted.is_some_and(|accepted| accepted.contains("gzip")) {
            let message = T::decode(self.frame.0.slice(HEAD..)).map_err(Fault::internal)?;
            return Ok(tonic::Response::new(message));
        }
        let mut answer = tonic::Response::new(T::default());
        answer.extensions_mut().insert(self.frame.clone());
        Ok(answer)
    }
}

/// Puts what is ready in the place of the message that a handler answered with.
pub(crate) fn sent(mut response: http::Response<Body>) -> http::Response<Body> {
    let Some(Frame(frame)) = response.extensions_mut().remove() else {
        return response;
    };
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    response.map(|_empty| Body::new(Full::new(frame).with_trailers(ready(Some(Ok(trailers))))))
}

#[cfg(test)]
mod tests {
    use onekeel_api::lead::ListLeadsResponse;

    use super::*;

    fn ready_page() -> (ListLeadsResponse, Ready<ListLeadsResponse>) {
        let page = ListLeadsResponse {
            next_page_token: "next".to_owned(),
            ..ListLeadsResponse::default()
        };
        let ready = Ready::of(&page);
        (page, ready)
    }

    #[tokio::test]
    async fn what_is_ready_goes_out_in_its_frame() {
        let (page, ready) = ready_page();
        let answer = ready.answer(&MetadataMap::new()).expect("an answer");
        let (_, message, extensions) = answer.into_parts();
        assert_eq!(message, ListLeadsResponse::default(), "nobody encodes this");
        let mut response = http::Response::new(Body::empty());
        *response.extensions_mut() = extensions;
        let body = sent(response).into_body().collect().await.expect("a body");
        assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
        let bytes = body.to_bytes();
        let length = u8::try_from(page.encoded_len()).expect("a short page");
        assert_eq!(bytes[..HEAD], [0, 0, 0, 0, length]);
        assert_eq!(ListLeadsResponse::decode(&bytes[HEAD..]).expect("a page"), page);
    }

    #[tokio::test]
    async fn what_was_not_ready_and_what_is_to_be_compressed_is_left_to_tonic() {
        let (page, ready) = ready_page();
        let mut call = MetadataMap::new();
        call.insert(ACCEPTED, "identity,gzip".parse().expect("a value"));
        let answer = ready.answer(&call).expect("an answer");
        assert!(answer.extensions().get::<Frame>().is_none());
        assert_eq!(answer.into_inner(), page);
        let body = sent(http::Response::new(Body::new(Full::from("as it was"))));
        let body = body.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "as it was");
    }
}
