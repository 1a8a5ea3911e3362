//! Both ends of the real binary over TLS, with certificates made here.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conformance::party::destination::Destination;
use conformance::party::receiver::{CHANNEL, Setup, TOKEN};
use conformance::party::sender;
use conformance::stand::{Buffer, Stand, built_binary};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long something may take that is not waiting for anything.
const SOON: Duration = Duration::from_secs(10);

/// Makes an authority, and certificates of it for the receiver and a connector, in `folder`.
fn certificates(folder: &Path) -> RootCertStore {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(folder.join("ca.pem"), &pem).unwrap();
    let issuer = Issuer::new(params, key);
    for name in ["localhost", "connector"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), params.signed_by(&key, &issuer).unwrap().pem())
            .unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    roots
}

/// Posts a webhook over TLS, without a certificate of its own, and returns the answer's status.
async fn post(port: u16, roots: RootCertStore, body: &'static [u8]) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let request = sender::post(body).body(Full::new(bytes::Bytes::from_static(body))).unwrap();
    sender.send_request(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_webhook_travels_encrypted_from_its_sender_to_the_connector() {
    let stand = Stand::new(built_binary().unwrap(), Buffer::Embedded).unwrap();
    let roots = certificates(stand.folder());
    // Relative paths are relative to the file they stand in.
    let tls = json!({ "cert": "localhost.pem", "key": "localhost.key", "client_ca": "ca.pem" });
    let setup = Setup { receiver: json!({ "tls": tls }), ..Setup::default() };
    let receiver = stand.receiver(setup).await.unwrap();
    let port = receiver.address().port();
    let destination = Destination::start().await.unwrap();
    let config = |tls: Value| {
        json!({
            "cloud": { "url": format!("https://localhost:{port}"), "token": TOKEN },
            "routes": { CHANNEL: { "module": "http_webhook", "module-config": { "url": destination.url() } } },
            "tls": tls,
        })
    };
    let mut stranger = stand.connector(&config(json!({ "ca": "ca.pem" }))).unwrap();
    let told = |log: &str| log.contains("need a client certificate").then_some(());
    stranger.says("a connector without a certificate is told so", 0, SOON, told).await.unwrap();
    stranger.kill().await.unwrap();
    assert_eq!(post(port, roots, b"{\"over\":\"tls\"}").await, 200);
    let files = json!({ "ca": "ca.pem", "cert": "connector.pem", "key": "connector.key" });
    let mut connector = stand.connector(&config(files)).unwrap();
    let delivered = |log: &str| log.contains("outcome=\"delivered\"").then_some(());
    connector.says("the webhook is delivered", 0, SOON, delivered).await.unwrap();
    assert_eq!(&destination.calls()[0].body[..], b"{\"over\":\"tls\"}");
    connector.kill().await.unwrap();
}
