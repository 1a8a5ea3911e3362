//! A connection that is closed while its peer still sends would be reset, and the peer would lose the answer with it. So the
//! rest is read and thrown away for a while (RFC 9112 section 9.6).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How long the rest is read.
const LONGEST: Duration = Duration::from_secs(2);

/// How many bytes of the rest are read at most.
const MOST: usize = 32 << 20;

/// A second hold on a connection, which keeps it open after its server has let go.
pub(crate) struct Linger(Arc<std::net::TcpStream>);

impl Linger {
    /// Takes hold of a connection.
    ///
    /// # Errors
    /// The process has no more file descriptors.
    pub(crate) fn of(stream: TcpStream) -> io::Result<(TcpStream, Self)> {
        let stream = stream.into_std()?;
        let held = stream.try_clone()?;
        Ok((TcpStream::from_std(stream)?, Self(Arc::new(held))))
    }

    /// Returns the connection itself.
    pub(crate) fn stream(&self) -> Arc<std::net::TcpStream> {
        Arc::clone(&self.0)
    }

    /// Reads what the peer still sends, until it closes, within bounds.
    pub(crate) async fn finish(self) {
        let Ok(mut stream) = self.0.try_clone().and_then(TcpStream::from_std) else { return };
        let rest = async {
            let (mut piece, mut read) = (vec![0; 64 * 1024], 0);
            while read < MOST {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(more) => read += more,
                }
            }
        };
        // A peer that goes on for longer is cut off.
        drop(tokio::time::timeout(LONGEST, rest).await);
    }
}
