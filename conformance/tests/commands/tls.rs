//! `conform` and `audit` by TLS, with an authority of one's own.

use conformance::case::Failed;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::{ADMIN, Deployment, conform, run};

/// Makes an authority, and a certificate of it for the receiver, in a new folder.
fn certificates() -> Result<TempDir, Failed> {
    let folder = TempDir::new()?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key)?.pem())?;
    let (issuer, key) = (Issuer::new(params, key), KeyPair::generate()?);
    let params = CertificateParams::new(vec!["localhost".to_owned()])?;
    std::fs::write(folder.path().join("localhost.pem"), params.signed_by(&key, &issuer)?.pem())?;
    std::fs::write(folder.path().join("localhost.key"), key.serialize_pem())?;
    Ok(folder)
}

#[tokio::test]
async fn both_speak_tls_and_trust_the_authority_they_are_given() -> Result<(), Failed> {
    let tls = json!({ "tls": { "cert": "localhost.pem", "key": "localhost.key" } });
    let deployment = Deployment::start_in(certificates()?, tls).await?;
    let url = format!("https://localhost:{}", deployment.address.port());
    let ca = deployment.folder().join("ca.pem").display().to_string();
    let trusting = ["--tls-ca", &ca];
    let ended =
        run(&conform(&url, &[&trusting[..], &["--case", "ACK-07", "--case", "FID-01"]].concat())).await?;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    assert!(ended.out.contains(": 8 passed, 0 failed, 0 skipped"), "{}", ended.whole());
    let audit = ["audit", "--receiver", &url, "--admin-token", ADMIN];
    assert_eq!(run(&[&audit[..], &trusting].concat()).await?.code, 0);
    let ended = run(&audit).await?;
    assert_eq!(ended.code, 3, "{}", ended.whole());
    assert!(ended.complaint.contains("certificate"), "{}", ended.whole());
    Ok(())
}
