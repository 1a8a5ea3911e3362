//! A connection that is closed while its peer still sends would be reset, and the peer would lose the answer with it. So the
//! rest is read and thrown away for a while (RFC 9112 section 9.6).

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How long the rest is read.
const LONGEST: Duration = Duration::from_secs(2);

/// How many bytes of the rest are read at most.
const MOST: usize = 32 << 20;

/// Reads what the peer still sends, until it closes, within bounds.
pub(crate) async fn drain(stream: &std::net::TcpStream) {
    let Ok(mut stream) = stream.try_clone().and_then(TcpStream::from_std) else { return };
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
