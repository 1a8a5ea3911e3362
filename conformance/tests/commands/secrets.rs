//! Secrets that stand in files of their own, and in Vault: a double of its API, written from its documentation.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{Method, Request, Response, StatusCode};
use conformance::case::Failed;
use conformance::party::http;
use conformance::party::receiver::start_listening;
use conformance::party::wait::until;
use conformance::stand::built_binary;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// What a sender of the entry proves itself by, in each of the stores.
const FIRST: &str = "first secret of the sender";
const SECOND: &str = "second secret of the sender";

/// The token that Vault takes, and how AppRole gets it.
const VAULT_TOKEN: &str = "hvs.planted";
const ROLE: &str = "role-of-the-receiver";
const SECRET_ID: &str = "planted secret id";

/// A double of Vault's HTTP API: AppRole, and one secret in each version of the KV engine.
#[derive(Default)]
struct Vault {
    /// The next call is answered 503, as while Vault is sealed.
    sealed: AtomicBool,
    calls: Mutex<Vec<String>>,
}

impl Vault {
    async fn start() -> Result<(Arc<Self>, SocketAddr), Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = Arc::new(Self::default());
        let vault = Arc::clone(&own);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let vault = Arc::clone(&vault);
                tokio::spawn(async move {
                    let service = service_fn(|request| vault.answer(request));
                    // A caller that hangs up is its own business.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Ok((own, address))
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let call = format!("{} {}", head.method, head.uri.path());
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        let has_token = head.headers.get("x-vault-token").is_some_and(|token| token == VAULT_TOKEN);
        let secret = json!({ "sender": FIRST, "port": 8200 });
        let (status, answer) = match (head.method, head.uri.path()) {
            _ if self.sealed.swap(false, Ordering::Relaxed) => {
                (503, json!({ "errors": ["Vault is sealed"] }))
            }
            (Method::POST, "/v1/auth/approle/login")
                if body == json!({ "role_id": ROLE, "secret_id": SECRET_ID }).to_string() =>
            {
                (200, json!({ "auth": { "client_token": VAULT_TOKEN, "lease_duration": 60 } }))
            }
            (Method::POST, _) => (400, json!({ "errors": ["invalid role or secret ID"] })),
            _ if !has_token => (403, json!({ "errors": ["permission denied"] })),
            (_, "/v1/secret/data/apps/hooks") => {
                (200, json!({ "data": { "data": secret, "metadata": { "version": 3 } } }))
            }
            (_, "/v1/kv/apps/hooks") => (200, json!({ "data": secret, "lease_duration": 2_764_800 })),
            _ => (404, json!({ "errors": [] })),
        };
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        *response.status_mut() = status;
        Ok(response)
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Checks a file whose sender's secret is `reference`, with these variables; returns the exit code and what was said.
async fn check(reference: &str, variables: &[(&str, &str)]) -> Result<(i32, String), Failed> {
    let folder = TempDir::new()?;
    let file = folder.path().join("webhooks.json");
    std::fs::write(&file, entry(reference).to_string())?;
    let mut command = Command::new(built_binary()?);
    command.env_clear().envs(variables.iter().copied()).arg("check").arg(&file).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8(said)?))
}

fn entry(reference: &str) -> Value {
    let config = json!({ "channel": "c", "channel_token": "token_of_the_channel" });
    json!({ "w": {
        "authorization": reference, "data_type": "blob", "module": "webhook_connect", "module-config": config,
    } })
}

/// Posts with this secret and returns the status.
async fn post(address: SocketAddr, secret: &str) -> Result<u16, Failed> {
    let request = Request::post("/webhook/w").header("host", "localhost").header("authorization", secret);
    Ok(http::send(address, request.body(Full::from("1"))?).await?.status.as_u16())
}

#[tokio::test]
async fn a_secret_in_a_file_is_used_and_the_new_one_after_it_is_exchanged() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("secret"), format!("{FIRST}\n"))?;
    let reference = format!("{{$file:{}}}", path("secret"));
    std::fs::write(path("webhooks.json"), entry(&reference).to_string())?;
    let (binary, config) = (built_binary()?.display().to_string(), path("webhooks.json"));
    let buffer = format!("embedded:{}", path("data"));
    let command = [&binary, "receiver", "--config", &config, "--buffer", &buffer, "--watch-seconds", "1"];
    let log = folder.path().join("receiver.log");
    let (_process, address) = start_listening(&command.map(str::to_owned), "127.0.0.1:0", &log).await?;
    assert_eq!([post(address, FIRST).await?, post(address, SECOND).await?], [200, 401]);

    std::fs::write(path("next"), SECOND)?;
    std::fs::rename(path("next"), path("secret"))?;

    let exchanged = || async { Ok((post(address, SECOND).await? == 200).then_some(())) };
    until("the new secret is used", Duration::from_secs(20), exchanged).await?;
    assert_eq!(post(address, FIRST).await?, 401);
    let log = std::fs::read_to_string(&log)?;
    assert!(!log.contains("secret of the sender"), "{log}");
    Ok(())
}

#[tokio::test]
async fn secrets_are_read_from_either_version_of_vaults_engine_with_a_token_or_approle() -> Result<(), Failed>
{
    let (vault, address) = Vault::start().await?;
    let url = format!("http://{address}");
    let (address, token) = (("VAULT_ADDR", &*url), ("VAULT_TOKEN", VAULT_TOKEN));
    let approle = [address, ("VAULT_ROLE_ID", ROLE), ("VAULT_SECRET_ID", SECRET_ID)];
    let one = [address, token, ("VAULT_KV_VERSION", "1"), ("VAULT_MOUNT_POINT", "kv")];
    let login = "POST /v1/auth/approle/login";
    for (variables, calls) in [
        (&[address, token][..], &["GET /v1/secret/data/apps/hooks"][..]),
        (&approle, &[login, "GET /v1/secret/data/apps/hooks"]),
        (&one, &["GET /v1/kv/apps/hooks"]),
    ] {
        let (code, said) = check("{$vault:apps/hooks#sender} {$vault:/apps/hooks/#port}", variables).await?;
        assert_eq!(
            (code, vault.calls()),
            (0, calls.iter().map(|call| (*call).to_owned()).collect()),
            "{said}"
        );
    }
    // Sealed for a moment: asked once more, with a new token.
    vault.sealed.store(true, Ordering::Relaxed);
    let (code, said) = check("{$vault:apps/hooks#sender}", &approle).await?;
    assert_eq!((code, vault.calls().len()), (0, 3), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_vault_does_not_give_refuses_the_start_and_says_why() -> Result<(), Failed> {
    let (_vault, address) = Vault::start().await?;
    let url = format!("http://{address}");
    let away = TcpListener::bind("127.0.0.1:0").await?;
    let nobody = format!("http://{}", away.local_addr()?);
    drop(away);
    let (at, token) = (("VAULT_ADDR", &*url), ("VAULT_TOKEN", VAULT_TOKEN));
    let secret = "{$vault:apps/hooks#sender}";
    for (reference, variables, why) in [
        (secret, &[][..], "set VAULT_ADDR"),
        (secret, &[at], "set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID"),
        (secret, &[at, token, ("VAULT_ENABLED", "false")], "Vault is not set up here"),
        (secret, &[at, token, ("VAULT_KV_VERSION", "3")], "VAULT_KV_VERSION is 1 or 2"),
        (secret, &[at, token, ("VAULT_TIMEOUT_SECONDS", "0")], "VAULT_TIMEOUT_SECONDS is 1 to 300"),
        (secret, &[("VAULT_ADDR", "http://vault.example"), token], "secrets are fetched by https"),
        (secret, &[at, ("VAULT_TOKEN", "another")], "403 Forbidden: permission denied"),
        (
            secret,
            &[at, ("VAULT_ROLE_ID", ROLE), ("VAULT_SECRET_ID", "no")],
            "the login with AppRole failed: 400 Bad Request: invalid",
        ),
        (secret, &[("VAULT_ADDR", &*nobody), token], "the secret at apps/hooks in Vault cannot be read"),
        ("{$vault:apps/hooks#none}", &[at, token], "Vault has no field none of a secret at apps/hooks"),
        ("{$vault:apps/none#sender}", &[at, token], "Vault has no field sender of a secret at apps/none"),
        ("{$file:/none/of/it}", &[], "the file /none/of/it is not there"),
    ] {
        let (code, said) = check(reference, variables).await?;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("/w/authorization") && said.contains(why), "{why}: {said}");
        assert!(!said.contains(VAULT_TOKEN) && !said.contains(SECRET_ID) && !said.contains(FIRST), "{said}");
    }
    let (code, said) = check("{$vault:apps/none#sender:a default}", &[at, token]).await?;
    assert_eq!(code, 0, "{said}");
    Ok(())
}
