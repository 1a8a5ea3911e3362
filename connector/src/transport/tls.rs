//! The connector's side of TLS: whom it trusts, and what it shows.
//!
//! The files are read again for every connection, so a certificate that is renewed is shown from the next one on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::TlsConnector;
use tracing::warn;

/// Certificates of the connection to the receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsFiles {
    /// File with authorities that are trusted beside the system's, as PEM.
    pub(crate) ca: Option<PathBuf>,
    /// File with the certificate to show to the receiver, as PEM. Needs `key`.
    pub(crate) cert: Option<PathBuf>,
    /// File with the certificate's private key, as PEM.
    pub(crate) key: Option<PathBuf>,
}

/// Makes encrypted connections.
pub(crate) struct Tls {
    files: TlsFiles,
    system: RootCertStore,
    current: Mutex<Current>,
}

/// What is in use, and what it was made of.
struct Current {
    connector: TlsConnector,
    contents: Contents,
}

/// What the files hold.
#[derive(Clone, Default, PartialEq, Eq)]
struct Contents {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the system's authorities and the files.
    ///
    /// # Errors
    /// Nobody would be trusted, or a file cannot be used; it is named.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut system = RootCertStore::empty();
        let (added, _) = system.add_parsable_certificates(found.certs);
        if added == 0 && files.ca.is_none() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("the system's certificates cannot be read{why}"));
        }
        Self::with_system(system, files)
    }

    fn with_system(system: RootCertStore, files: TlsFiles) -> Result<Self, String> {
        let contents = Contents::read(&files)?;
        let connector = contents.connector(&files, &system)?;
        Ok(Self { files, system, current: Mutex::new(Current { connector, contents }) })
    }

    /// Returns what makes the next connection. Files that cannot be used any more leave the ones before in place.
    pub(crate) async fn connector(self: &Arc<Self>) -> TlsConnector {
        let own = Arc::clone(self);
        let renewed = tokio::task::spawn_blocking(move || own.renew()).await;
        match renewed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error, "the new certificates are not used; the ones before stay"),
            Err(error) => warn!(%error, "the certificates could not be looked at"),
        }
        self.lock().connector.clone()
    }

    fn renew(&self) -> Result<(), String> {
        let contents = Contents::read(&self.files)?;
        if contents != self.lock().contents {
            let connector = contents.connector(&self.files, &self.system)?;
            *self.lock() = Current { connector, contents };
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, String> {
        let read = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => std::fs::read(path)
                .map(Some)
                .map_err(|error| format!("{} cannot be read: {error}", path.display())),
        };
        Ok(Self { ca: read(&files.ca)?, cert: read(&files.cert)?, key: read(&files.key)? })
    }

    fn connector(&self, files: &TlsFiles, system: &RootCertStore) -> Result<TlsConnector, String> {
        let mut roots = system.clone();
        if let (Some(pem), Some(path)) = (&self.ca, &files.ca) {
            for authority in certificates(pem, path)? {
                roots.add(authority).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match (&self.cert, &files.cert, &self.key, &files.key) {
            (Some(cert), Some(cert_path), Some(key), Some(key_path)) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| format!("{} has no private key: {error}", key_path.display()))?;
                let chain = certificates(cert, cert_path)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("{} cannot be shown: {error}", cert_path.display()))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, pem::Error>>();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{} has no certificate", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{} has no certificate: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests;
