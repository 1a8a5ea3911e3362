//! TLS of the listener: the certificate, which may change while running, and whose clients are known.
//!
//! The files are looked at every [`LOOK`] by their contents, so a rename over them and a swapped symbolic link are seen
//! like a plain write. A certificate and its key change one after the other; what does not fit together is complained
//! about when it still does not at the next look, and the connections go on with what was there before.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::answer::{self, Answer};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and what links it to its authority, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The authorities of connectors' certificates, as PEM. With it, a connector without a certificate is refused.
    pub client_ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// A file is not what it should be.
    #[error("{0} has no {1}: {2}")]
    NotPem(PathBuf, &'static str, #[source] pem::Error),
    /// The certificate cannot be used.
    #[error("the certificate in {0} cannot be used with the key in {1}: {2}")]
    Certificate(PathBuf, PathBuf, #[source] rustls::Error),
    /// The authorities cannot be used.
    #[error("{0} cannot be used to check the certificates of connectors: {1}")]
    Authorities(PathBuf, String),
    /// The library has none of the ciphers it needs.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// The TLS of a listener. Cloning shares it.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsFiles>,
    current: Arc<Mutex<Current>>,
}

/// What is in use, and what it was made of.
struct Current {
    config: Arc<ServerConfig>,
    contents: Contents,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Whose certificate a connection showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// None is asked for.
    Anyone,
    /// One of an authority that is trusted.
    Known,
    /// None, where connectors need one.
    Stranger,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read or used.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let config = contents.config(&files)?;
        let current = Arc::new(Mutex::new(Current { config, contents }));
        Ok(Self { files: Arc::new(files), current })
    }

    /// Looks at the files again and again and takes over what has changed. Ends only by being cancelled.
    pub(crate) async fn watch(&self) {
        let mut bad = Bad::default();
        loop {
            tokio::time::sleep(LOOK).await;
            let (files, known) = (Arc::clone(&self.files), self.lock().contents.clone());
            let looked = tokio::task::spawn_blocking(move || look(&files, &known)).await;
            match looked {
                Ok(Look::Same) => bad = Bad::default(),
                Ok(Look::Changed(current)) => {
                    info!(cert = %self.files.cert.display(), "the certificate was read again");
                    *self.lock() = *current;
                    bad = Bad::default();
                }
                Ok(Look::Bad(error)) => bad.note(error.to_string()),
                Err(error) => bad.note(error.to_string()),
            }
        }
    }

    /// Shakes hands with a client. Cancelling drops the connection.
    ///
    /// # Errors
    /// It speaks no TLS, an old one, or shows a certificate that is not trusted.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<(TlsStream<S>, Peer)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.lock().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().is_some_and(|shown| !shown.is_empty());
        let peer = match (&self.files.client_ca, shown) {
            (None, _) => Peer::Anyone,
            (Some(_), true) => Peer::Known,
            (Some(_), false) => Peer::Stranger,
        };
        Ok((stream, peer))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.files).finish()
    }
}

impl Peer {
    /// Returns the answer to a request that this peer may not make.
    pub(crate) fn refused(self, path: &str) -> Option<Answer> {
        let refused = self == Self::Stranger && path.starts_with("/connect/");
        refused.then(|| {
            let text = "connectors need a client certificate here, and this connection showed none";
            answer::closing(answer::detail(StatusCode::UNAUTHORIZED, text))
        })
    }
}

/// What a look at the files gave.
enum Look {
    Same,
    Changed(Box<Current>),
    Bad(TlsError),
}

fn look(files: &TlsFiles, known: &Contents) -> Look {
    let contents = match Contents::read(files) {
        Ok(contents) if contents == *known => return Look::Same,
        Ok(contents) => contents,
        Err(error) => return Look::Bad(error),
    };
    match contents.config(files) {
        Ok(config) => Look::Changed(Box::new(Current { config, contents })),
        Err(error) => Look::Bad(error),
    }
}

/// What is wrong with the files at the moment.
#[derive(Default)]
struct Bad {
    error: String,
    told: bool,
}

impl Bad {
    /// Complains at the second look in a row that finds the same.
    fn note(&mut self, error: String) {
        if self.error != error {
            *self = Self { error, told: false };
        } else if !std::mem::replace(&mut self.told, true) {
            let error = &self.error;
            warn!(error, "the new certificate is not used; the one before stays");
        }
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|error| TlsError::Unreadable(path.to_owned(), error));
        Ok(Self {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn config(&self, files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsError::NotPem(files.key.clone(), "private key", error))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(pem)) => {
                builder.with_client_cert_verifier(client_verifier(pem, path, provider)?)
            }
            (None, _) | (_, None) => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::Certificate(files.cert.clone(), files.key.clone(), error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |error| TlsError::NotPem(path.to_owned(), "certificate", error);
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(not_pem)?;
    if found.is_empty() { Err(not_pem(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// Asks every client for a certificate and lets those without one pass: senders have none.
fn client_verifier(
    pem: &[u8],
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let unusable = |error: String| TlsError::Authorities(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem, path)? {
        roots.add(authority).map_err(|error| unusable(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(error.to_string()))
}
