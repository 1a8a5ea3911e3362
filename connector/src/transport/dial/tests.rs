//! Encrypted connections, against a server whose certificate the test decides to trust.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("../../../tests/certificate/certificate.pem")).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Starts a server that answers one request over TLS with 503 and returns its port.
async fn server() -> u16 {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../../tests/certificate/key.pem")).unwrap();
    let config =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not trust the certificate leaves here.
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /hooks/connect/stream/orders HTTP/1.1\r\n"));
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nencrypted";
        stream.write_all(answer).await.unwrap();
    });
    port
}

/// Connects to `host`, trusting `roots`.
async fn connect(host: &str, roots: RootCertStore) -> String {
    let port = server().await;
    let config =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let address = format!("wss://{host}:{port}/hooks").try_into().unwrap();
    let tls = TlsConnector::from(Arc::new(config));
    let dialer = Dialer::new(address, "orders", Secret::new("s3cret"), Some(tls)).unwrap();
    let refused = dialer.connect().await.err().unwrap().to_string();
    refused.replace(&port.to_string(), "PORT")
}

fn trusting() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    roots
}

#[tokio::test]
async fn a_receiver_with_a_trusted_certificate_is_spoken_to_by_name_and_by_address() {
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(
            connect(host, trusting()).await,
            "the receiver answered 503 Service Unavailable: encrypted"
        );
    }
}

#[tokio::test]
async fn a_receiver_with_an_unknown_certificate_is_left_and_the_reason_named() {
    let told = connect("localhost", RootCertStore::empty()).await;
    assert_eq!(told, "no encrypted connection to localhost:PORT: invalid peer certificate: UnknownIssuer");
}
