//! How messages become bytes: protobuf, with buffers of the size of a message of ours.
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// A lead fits, and the allocator has such pieces at hand; what is larger grows. tonic's own are 8 KiB for each direction
/// of each call.
const BUFFER: usize = 1000;
/// After so many bytes a stream sends what it has encoded; tonic's own.
const SEND_AFTER: usize = 32 * 1024;

/// tonic's protobuf codec with small buffers; the generated clients and servers use it.
#[derive(Clone, Copy, Debug)]
pub struct SmallBuffers<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for SmallBuffers<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for SmallBuffers<E, D>
where
    E: Message + Send + 'static,
    D: Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = ProstDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, SEND_AFTER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, SEND_AFTER))
    }
}
