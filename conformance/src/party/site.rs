//! Where a receiver answers, and the plain or encrypted connections to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::case::Failed;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Addresses of one host that are tried, at most.
const MOST_ADDRESSES: usize = 8;

/// Where a receiver answers.
#[derive(Clone, Debug)]
pub struct Site {
    /// Each is tried in turn.
    addresses: Arc<[SocketAddr]>,
    /// What requests name as their host; none leaves it to the request.
    host: Option<HeaderValue>,
    tls: Option<Tls>,
}

/// Why a URL leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// It is none of a receiver, or the authorities cannot be used.
    #[error("{0}")]
    Wrong(String),
    /// Its host is not known.
    #[error("{0}")]
    Unknown(String),
}

#[derive(Clone)]
struct Tls {
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl From<SocketAddr> for Site {
    fn from(address: SocketAddr) -> Self {
        Self { addresses: Arc::new([address]), host: None, tls: None }
    }
}

impl From<&Site> for Site {
    fn from(site: &Site) -> Self {
        site.clone()
    }
}

impl Site {
    /// Reads a URL, `http://HOST[:PORT]` or `https://HOST[:PORT]`, and looks its host up. The authorities in `ca` are
    /// trusted beside the system's.
    ///
    /// # Errors
    /// It is no such URL, the host is not known, or the authorities cannot be used.
    pub async fn find(url: &str, ca: Option<&Path>) -> Result<Self, NotFound> {
        let wrong = |why: &str| {
            let wanted = "http://HOST[:PORT] or https://HOST[:PORT]";
            NotFound::Wrong(format!("`{url}` is not {wanted}: {why}"))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            Some(_) | None => return Err(wrong("the scheme is missing or another")),
        };
        if !uri.path().trim_end_matches('/').is_empty() || uri.query().is_some() {
            return Err(wrong("the suite appends the paths itself"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tls = if uri.scheme_str() == Some("https") {
            Some(Tls::to(bare, ca).map_err(|Failed(why)| NotFound::Wrong(why))?)
        } else {
            None
        };
        let found = tokio::net::lookup_host((bare, authority.port_u16().unwrap_or(port))).await;
        let found = found
            .map_err(|error| NotFound::Unknown(format!("the host `{bare}` cannot be found: {error}")))?;
        let addresses: Arc<[SocketAddr]> = found.take(MOST_ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(NotFound::Unknown(format!("the host `{bare}` has no address")));
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("the host is no host"))?;
        Ok(Self { addresses, host: Some(host), tls })
    }

    /// Returns the address that connections are tried at first.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Returns what requests name as their host; none when they say it themselves.
    #[must_use]
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// Connects. Cancelling drops the connection.
    ///
    /// # Errors
    /// Nobody listens, or shows a certificate that is trusted.
    pub async fn connect(&self) -> Result<Wire, Failed> {
        let connecting = tokio::time::timeout(CONNECT, async {
            let stream = TcpStream::connect(&self.addresses[..]).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => Ok(Wire(Box::new(stream))),
                Some(tls) => Ok(Wire(Box::new(tls.connector.connect(tls.name.clone(), stream).await?))),
            }
        });
        let made: Result<Wire, io::Error> = match connecting.await {
            Ok(made) => made,
            Err(_) => return Err(Failed(format!("{} did not answer within {CONNECT:?}", self.address()))),
        };
        made.map_err(|error| Failed(format!("no connection to {}: {error}", self.address())))
    }
}

impl Tls {
    fn to(host: &str, ca: Option<&Path>) -> Result<Self, Failed> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            let unusable = |why: String| Failed(format!("{} cannot be used: {why}", path.display()));
            let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            let before = roots.len();
            for certificate in found {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.len() == before {
                return Err(unusable("it holds no certificate".to_owned()));
            }
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Self { name, connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A connection, plain or encrypted. Dropping it cuts it.
pub struct Wire(Box<dyn Stream>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
