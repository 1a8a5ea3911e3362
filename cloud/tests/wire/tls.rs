//! The listener over TLS, with certificates made here, on real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloud::{Settings, Tls, TlsFiles};
use engine::pipeline::Surroundings;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::party::authority::{Authority, Signed};

/// A client that trusts an authority, and shows a certificate if there is one.
fn client(authority: &Authority, shows: Option<&Signed>) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(authority.roots());
    let config = match shows {
        None => config.with_no_client_auth(),
        Some(Signed { cert, key }) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// A listener with a certificate for `localhost`.
struct Cloud {
    address: SocketAddr,
    folder: TempDir,
    authority: Authority,
    _stop: watch::Sender<bool>,
}

fn write(folder: &Path, signed: &Signed) {
    for (name, text) in [("cert.pem", &signed.cert), ("key.pem", &signed.key)] {
        let new = folder.join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join(name)).unwrap();
    }
}

impl Cloud {
    async fn start(client_ca: Option<&Authority>) -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
        write(folder.path(), &authority.sign(&["localhost"]));
        let path = |name| folder.path().join(name);
        if let Some(ca) = client_ca {
            std::fs::write(path("ca.pem"), &ca.pem).unwrap();
        }
        let files = TlsFiles {
            cert: path("cert.pem"),
            key: path("key.pem"),
            client_ca: client_ca.map(|_| path("ca.pem")),
        };
        let tls = Some(Tls::open(files).unwrap());
        let settings = Settings { tls, head_timeout: Duration::from_millis(500), ..Settings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings::new([].into(), stopped);
        tokio::spawn(async move { cloud::serve(listener, settings, &surroundings).await });
        Self { address, folder, authority, _stop: stop }
    }

    async fn connect(&self, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        client.connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Asks for `path` and returns the answer.
    async fn ask(&self, client: &TlsConnector, path: &str) -> std::io::Result<String> {
        let mut stream = self.connect(client).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8(answer).unwrap())
    }
}

#[tokio::test]
async fn requests_are_answered_over_both_versions_of_tls() {
    let cloud = Cloud::start(None).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(cloud.authority.roots()).with_no_client_auth();
        let answer = cloud.ask(&TlsConnector::from(Arc::new(config)), "/health").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test]
async fn an_old_version_of_tls_is_refused_with_an_alert() {
    let cloud = Cloud::start(None).await;
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    // Extension: signature algorithms.
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 1]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect(cloud.address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut alert = [0; 7];
    stream.read_exact(&mut alert).await.unwrap();
    // A fatal alert: protocol_version.
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70));
}

#[tokio::test]
async fn a_client_that_stalls_in_the_handshake_is_cut_off() {
    let cloud = Cloud::start(None).await;
    let mut stream = TcpStream::connect(cloud.address).await.unwrap();
    stream.write_all(&[22, 3, 1]).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
    assert!(read.is_ok(), "the connection stays open");
}

#[tokio::test]
async fn an_answer_reaches_a_sender_that_goes_on_sending() {
    let cloud = Cloud::start(None).await;
    let mut stream = cloud.connect(&client(&cloud.authority, None)).await.unwrap();
    let head = "POST /webhook/nobody HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        // The receiver may close meanwhile.
        drop(write.write_all(&vec![b'x'; 8_000_000]).await);
    });
    let mut answer = [0; 12];
    read.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    sending.await.unwrap();
}

#[tokio::test]
async fn connectors_need_a_certificate_of_the_right_authority_and_senders_none() {
    let connectors = Authority::new();
    let cloud = Cloud::start(Some(&connectors)).await;
    let trusting = &cloud.authority;
    let nobody = client(trusting, None);
    assert!(cloud.ask(&nobody, "/health").await.unwrap().starts_with("HTTP/1.1 200 "));
    let refused = cloud.ask(&nobody, "/connect/stream/c").await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(refused.contains("need a client certificate"), "{refused}");
    let known = client(trusting, Some(&connectors.sign(&["dc-1"])));
    let unauthorized = cloud.ask(&known, "/connect/stream/c").await.unwrap();
    assert!(unauthorized.starts_with("HTTP/1.1 401 "), "{unauthorized}");
    assert!(!unauthorized.contains("certificate"), "{unauthorized}");
    let wrong = client(trusting, Some(&Authority::new().sign(&["dc-1"])));
    let error = cloud.ask(&wrong, "/health").await.unwrap_err();
    assert!(error.to_string().contains("UnknownCA") || error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_changes_is_taken_over_and_a_bad_one_is_not() {
    let cloud = Cloud::start(None).await;
    let next = Authority::new();
    assert!(cloud.ask(&client(&next, None), "/health").await.is_err());
    std::fs::write(cloud.folder.path().join("cert.pem"), "no certificate").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(cloud.ask(&client(&cloud.authority, None), "/health").await.is_ok());
    // As secrets are mounted: the name is a symbolic link to a folder that is swapped.
    let (there, link) = (cloud.folder.path().join("v2"), cloud.folder.path().join("link"));
    std::fs::create_dir(&there).unwrap();
    write(&there, &next.sign(&["localhost"]));
    std::os::unix::fs::symlink(&there, link).unwrap();
    for name in ["cert.pem", "key.pem"] {
        std::fs::remove_file(cloud.folder.path().join(name)).unwrap();
        std::os::unix::fs::symlink(format!("link/{name}"), cloud.folder.path().join(name)).unwrap();
    }
    let new = client(&next, None);
    for _ in 0..100 {
        if cloud.ask(&new, "/health").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new certificate is not used");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    let [one, two] = ["localhost", "localhost"].map(|name| authority.sign(&[name]));
    write(folder.path(), &Signed { cert: one.cert.clone(), key: two.key });
    let path = |name: &str| folder.path().join(name);
    let open = |client_ca| {
        let files = TlsFiles { cert: path("cert.pem"), key: path("key.pem"), client_ca };
        Tls::open(files).unwrap_err().to_string()
    };
    assert!(open(None).contains("cannot be used with the key"), "{}", open(None));
    assert!(open(Some(path("none.pem"))).contains("none.pem cannot be read"));
    write(folder.path(), &one);
    assert!(open(Some(path("key.pem"))).contains("key.pem has no certificate"));
}
