//! A connection whose caller has begun to speak HTTP/2: its first bytes were read to see that, and are read once more.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that begins with the preface.
pub(super) struct Opened<S> {
    stream: S,
    /// Bytes of the preface that were read for the second time.
    read_again: usize,
}

impl<S> Opened<S> {
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Waits for the preface. Who speaks another protocol, or stops in the middle, is no caller of ours.
    pub async fn open(mut stream: S) -> io::Result<Self> {
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        while filled < first.len() {
            let read = stream.read(&mut first[filled..]).await?;
            filled += read;
            if read == 0 || first[..filled] != PREFACE[..filled] {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the caller does not speak HTTP/2",
                ));
            }
        }
        Ok(Self { stream, read_again: 0 })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = &PREFACE[self.read_again..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let fits = left.len().min(into.remaining());
        into.put_slice(&left[..fits]);
        self.read_again += fits;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn only_the_preface_opens_and_it_is_read_once_more() {
        let opened = |bytes: &'static [u8]| async move {
            let (mut caller, server) = tokio::io::duplex(64);
            caller.write_all(bytes).await.unwrap();
            drop(caller);
            Opened::open(server).await
        };
        for other in [
            &b""[..],
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            &[0x16, 3, 1, 0, 5],
        ] {
            assert!(opened(other).await.is_err(), "{other:?}");
        }
        let mut stream = opened(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand more").await.unwrap();
        // In small pieces, as a reader may wish.
        let mut all = Vec::new();
        let mut piece = [0; 7];
        loop {
            match stream.read(&mut piece).await.unwrap() {
                0 => break,
                read => all.extend_from_slice(&piece[..read]),
            }
        }
        assert_eq!(all, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand more");
    }
}
