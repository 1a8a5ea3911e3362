//! Calls Vault, from code that waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::config::Secret;
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// The largest answer that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// Calls one server.
#[derive(Debug)]
pub(super) struct Client {
    /// Its address, without a slash at the end.
    address: String,
    namespace: Option<String>,
    tls: rustls::ClientConfig,
    timeout: Duration,
}

/// Why there is no answer.
pub(super) struct NoAnswer(pub(super) String);

impl Client {
    /// Will call the server at `address`. `ca` is a file of certificates to trust beside the system's.
    ///
    /// # Errors
    /// The address is not one that secrets may be fetched from, or the certificates cannot be read.
    pub(super) fn new(
        address: &str,
        namespace: Option<&str>,
        ca: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let fails = |why: &str| format!("VAULT_ADDR is `{address}`: {why}");
        let uri: Uri = address.parse().map_err(|_| fails("this is no URL"))?;
        let host = uri.host().ok_or_else(|| fails("this is no URL with a host"))?;
        let loopback = host == "localhost"
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if uri.scheme() != Some(&Scheme::HTTPS) && !(uri.scheme() == Some(&Scheme::HTTP) && loopback) {
            return Err(fails("secrets are fetched by https, or by http from this machine alone"));
        }
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            namespace: namespace.map(str::to_owned),
            tls: trust(ca)?,
            timeout,
        })
    }

    /// Posts `body`, or gets without one, and returns the answer's status and what it holds; null when that is no JSON.
    /// Blocks until the answer is there, at most for the timeout.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) fn call(
        &self,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), NoAnswer> {
        let mut request = Request::builder()
            .method(if body.is_some() { Method::POST } else { Method::GET })
            .uri(format!("{}{path}", self.address))
            .header("x-vault-request", "true");
        if let Some(token) = token {
            request = request.header("x-vault-token", token.expose());
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| NoAnswer("the token or the namespace is no header".to_owned()))?;
        // The caller may run on a runtime, which must not be blocked on from within.
        std::thread::scope(|scope| scope.spawn(|| self.wait_for(request)).join())
            .unwrap_or_else(|_| Err(NoAnswer("the call panicked".to_owned())))
    }

    fn wait_for(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Value), NoAnswer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| NoAnswer(error.to_string()))?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .build();
        let client = Pooled::builder(TokioExecutor::new()).build(connector);
        let answered = async {
            let (head, body) = client.request(request).await.map_err(|error| innermost(&error))?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?;
            let text = body.to_bytes();
            let json = std::str::from_utf8(&text).ok().and_then(|text| serde_json::from_str(text).ok());
            Ok((head.status, json.unwrap_or_default()))
        };
        let in_time = async { tokio::time::timeout(self.timeout, answered).await };
        let late = |_| Err(format!("no answer within {} s", self.timeout.as_secs()));
        runtime.block_on(in_time).unwrap_or_else(late).map_err(NoAnswer)
    }
}

/// Returns the error at the end of the chain, which says most.
fn innermost(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn trust(ca: Option<&str>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let fails = |why: String| format!("VAULT_CACERT: {path} cannot be used: {why}");
        let file = std::fs::File::open(path).map_err(|error| fails(error.to_string()))?;
        for certificate in CertificateDer::pem_reader_iter(file) {
            let certificate = certificate.map_err(|error| fails(error.to_string()))?;
            roots.add(certificate).map_err(|error| fails(error.to_string()))?;
        }
    }
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
