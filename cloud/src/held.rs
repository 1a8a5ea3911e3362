//! One connection that its server, and whoever watches or ends it, hold at once by one file descriptor.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connection. Cloning shares it; it is closed when the last one is dropped. One may read and one may write at a time.
#[derive(Clone, Debug)]
pub struct Held(Arc<TcpStream>);

impl Held {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Waits until there is something to read; returns whether the peer has closed its sending side. Cancelling loses
    /// nothing.
    ///
    /// # Errors
    /// The runtime is ending.
    pub(crate) async fn has_left(&self) -> io::Result<bool> {
        Ok(self.0.ready(Interest::READABLE).await?.is_read_closed())
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    /// They have ended already, or the process has no more file descriptors.
    pub(crate) fn shut(&self, how: Shutdown) -> io::Result<()> {
        std::net::TcpStream::from(self.0.as_fd().try_clone_to_owned()?).shutdown(how)
    }
}

impl AsyncRead for Held {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let (room, mut read) = (buf.remaining(), None);
            let tried = self.0.try_io(Interest::READABLE, || {
                let count = self.0.try_read_buf(buf)?;
                read = Some(count);
                // Less than there was room for: the next read would find nothing, which is noted without trying.
                if count > 0 && count < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match tried {
                _ if read.is_some() => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

impl AsyncWrite for Held {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written(cx, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shut(Shutdown::Write))
    }
}

impl Held {
    fn written(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}
