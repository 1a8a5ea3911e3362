//! Encrypted connections, against a server whose certificate the test makes.

use bytestring::ByteString;
use engine::config::Secret;
use engine::ledger::Window;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::transport::dial::{Dialer, Way};
use crate::transport::proxy::{self, Proxy};

#[path = "../../../../cloud/tests/wire/party/authority.rs"]
mod authority;

use authority::{Authority, Signed};

/// A server that answers every request with 503, which tells that TLS stands.
struct Server {
    port: u16,
}

impl Server {
    /// `clients`: whose certificates clients must show.
    async fn start(signed: &Signed, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let chain = vec![CertificateDer::from_pem_slice(signed.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate leaves here.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /hooks/connect/stream/orders HTTP/1.1\r\n"));
                let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nencrypted";
                stream.write_all(answer).await.unwrap();
            }
        });
        Self { port }
    }

    /// Connects to `host` and returns why that came to nothing.
    async fn refuses(&self, host: &str, tls: &Arc<Tls>) -> String {
        self.refuses_through(host, tls, None).await
    }

    async fn refuses_through(&self, host: &str, tls: &Arc<Tls>, proxy: Option<Proxy>) -> String {
        let way = Way {
            channel: ByteString::from("orders"),
            connector: ByteString::new(),
            window: Window { events: 1, bytes: 1 },
            tap: false,
            tls: Some(Arc::clone(tls)),
            proxy,
            network: Arc::default(),
        };
        let address = format!("wss://{host}:{}/hooks", self.port).try_into().unwrap();
        let dialer = Dialer::new(address, Secret::new("s3cret"), way).unwrap();
        let refused = dialer.upgrade(true).await.err().unwrap().to_string();
        refused.replace(&self.port.to_string(), "PORT")
    }
}

/// Trusts nobody but what its files name.
fn tls(files: TlsFiles) -> Result<Arc<Tls>, String> {
    Tls::with_system(RootCertStore::empty(), files).map(Arc::new)
}

fn trusting(authority: &Authority) -> Arc<Tls> {
    Arc::new(Tls::with_system(authority.roots(), TlsFiles::default()).unwrap())
}

const ENCRYPTED: &str = "the receiver answered 503 Service Unavailable: encrypted";

#[tokio::test]
async fn a_receiver_with_a_trusted_certificate_is_spoken_to_by_name_and_by_address() {
    let authority = Authority::new();
    let server = Server::start(&authority.sign(&["localhost", "127.0.0.1"]), None).await;
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(server.refuses(host, &trusting(&authority)).await, ENCRYPTED);
    }
}

#[tokio::test]
async fn a_receiver_that_cannot_be_trusted_is_left_and_the_reason_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (signed, reason) in [
        (authority.sign_until(&["localhost"], 2001), "certificate expired"),
        (authority.sign(&["other.example"]), "certificate not valid for name \"localhost\""),
        (other.sign(&["localhost"]), "UnknownIssuer"),
    ] {
        let server = Server::start(&signed, None).await;
        let told = server.refuses("localhost", &trusting(&authority)).await;
        let front = "no encrypted connection to localhost:PORT: invalid peer certificate: ";
        assert!(told.starts_with(front) && told.contains(reason), "{told}");
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_beside_the_systems() {
    let (own, system, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &own.pem).unwrap();
    let both = Tls::with_system(system.roots(), TlsFiles { ca: Some(ca), ..TlsFiles::default() });
    let both = Arc::new(both.unwrap());
    for authority in [own, system] {
        let server = Server::start(&authority.sign(&["localhost"]), None).await;
        assert_eq!(server.refuses("localhost", &both).await, ENCRYPTED);
    }
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_shown_and_read_again_when_renewed() {
    let (authority, clients, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let path = |name| Some(folder.path().join(name));
    let show = |signed: &Signed| {
        std::fs::write(folder.path().join("cert.pem"), &signed.cert).unwrap();
        std::fs::write(folder.path().join("key.pem"), &signed.key).unwrap();
    };
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    show(&Authority::new().sign(&["dc-1"]));
    let server = Server::start(&authority.sign(&["localhost"]), Some(&clients)).await;
    let nobody = server.refuses("localhost", &trusting(&authority)).await;
    assert!(nobody.contains("CertificateRequired"), "{nobody}");
    let files = TlsFiles { ca: path("ca.pem"), cert: path("cert.pem"), key: path("key.pem") };
    let shown = tls(files).unwrap();
    assert_ne!(server.refuses("localhost", &shown).await, ENCRYPTED);
    show(&clients.sign(&["dc-1"]));
    assert_eq!(server.refuses("localhost", &shown).await, ENCRYPTED);
    std::fs::write(folder.path().join("cert.pem"), "half").unwrap();
    assert_eq!(server.refuses("localhost", &shown).await, ENCRYPTED);
}

#[tokio::test]
async fn a_receiver_is_reached_encrypted_through_a_proxy() {
    let authority = Authority::new();
    let server = Server::start(&authority.sign(&["receiver.test"]), None).await;
    let (port, heads) = proxy::tests::proxy(server.port, "200 OK").await;
    let environment = move |name: &str| (name == "HTTPS_PROXY").then(|| format!("127.0.0.1:{port}"));
    let address = "https://receiver.test".to_owned().try_into().unwrap();
    let proxy = Proxy::find(&environment, &address).unwrap();
    assert_eq!(server.refuses_through("receiver.test", &trusting(&authority), proxy).await, ENCRYPTED);
    assert!(heads.lock().unwrap()[0].starts_with(&format!("connect receiver.test:{} ", server.port)));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = TempDir::new().unwrap();
    let ca = Some(folder.path().join("ca.pem"));
    let open = || tls(TlsFiles { ca: ca.clone(), ..TlsFiles::default() }).err().unwrap();
    assert!(open().contains("ca.pem cannot be read"), "{}", open());
    std::fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
    assert!(open().contains("ca.pem has no certificate"), "{}", open());
}
