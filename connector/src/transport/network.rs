//! The network beneath the way to a receiver: TCP, or anything else that carries bytes both ways.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use engine::kind::Resources;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections.
pub trait Dial: Send + Sync + 'static {
    /// Connects to a name or address. Cancelling drops what was begun.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// What all channels of one process connect by: TCP, unless another was put among the [`Resources`] before.
pub struct Network(Box<dyn Dial>);

impl Network {
    /// Makes a network that connects by `dial`.
    pub fn new(dial: impl Dial) -> Self {
        Self(Box::new(dial))
    }

    pub(crate) fn of(resources: &Resources) -> Arc<Self> {
        match resources.get_or_make("", || Ok::<_, Infallible>(Self::default())) {
            Ok(network) => network,
            Err(never) => match never {},
        }
    }

    pub(super) async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        self.0.dial(host, port).await
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new(Tcp)
    }
}

struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let connecting = async move {
            let stream = TcpStream::connect((host, port)).await?;
            // Without it frames only wait longer.
            drop(stream.set_nodelay(true));
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        connecting.boxed()
    }
}
