//! `{$vault:path#field}`: secrets in HashiCorp Vault and what speaks its API (OpenBao), in the KV engine, version 1 or 2.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>, <https://developer.hashicorp.com/vault/api-docs/auth/approle>

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use engine::config::{Lookup, Secret};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::http::{Client, NoAnswer};

/// How long an answer may take unless `VAULT_TIMEOUT_SECONDS` says otherwise, and what that may say.
const TIMEOUT_SECONDS: u64 = 10;
const LONGEST_SECONDS: u64 = 300;

/// The version of the KV engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kv {
    One,
    Two,
}

/// How Vault is convinced of who asks.
#[derive(Debug)]
enum Login {
    Token(Secret),
    AppRole { role: String, secret: Secret },
}

/// Vault, as the environment describes it.
#[derive(Debug)]
pub(super) struct Vault {
    client: Client,
    mount: String,
    kv: Kv,
    login: Login,
    /// The token that AppRole gave.
    token: RefCell<Option<Secret>>,
    /// The secrets that were read, by path; none where there is none.
    known: RefCell<BTreeMap<String, Option<Map<String, Value>>>>,
}

impl Vault {
    /// Reads `VAULT_ADDR` and what else is known from the command `vault`, without calling it.
    ///
    /// # Errors
    /// What is missing or wrong, by variable.
    pub(super) fn of(environment: &dyn Lookup) -> Result<Self, String> {
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let off = get("VAULT_ENABLED").is_some_and(|on| ["0", "false", "no", "off"].contains(&&*on));
        let address = get("VAULT_ADDR").filter(|_| !off);
        let address =
            address.ok_or("Vault is not set up here: set VAULT_ADDR, and VAULT_TOKEN or AppRole's")?;
        let login = match (get("VAULT_TOKEN"), get("VAULT_ROLE_ID"), get("VAULT_SECRET_ID")) {
            (Some(token), ..) => Login::Token(Secret::new(token)),
            (None, Some(role), Some(secret)) => Login::AppRole { role, secret: Secret::new(secret) },
            (None, ..) => return Err("set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID".to_owned()),
        };
        let kv = match get("VAULT_KV_VERSION").as_deref() {
            None | Some("2") => Kv::Two,
            Some("1") => Kv::One,
            Some(other) => return Err(format!("VAULT_KV_VERSION is 1 or 2, not `{other}`")),
        };
        let seconds = match get("VAULT_TIMEOUT_SECONDS") {
            None => TIMEOUT_SECONDS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds))
                .ok_or_else(|| format!("VAULT_TIMEOUT_SECONDS is 1 to {LONGEST_SECONDS}, not `{text}`"))?,
        };
        let mount = get("VAULT_MOUNT_POINT").unwrap_or_else(|| "secret".to_owned());
        let client = Client::new(
            &address,
            get("VAULT_NAMESPACE").as_deref(),
            get("VAULT_CACERT").as_deref(),
            Duration::from_secs(seconds),
        )?;
        let (token, known) = (RefCell::default(), RefCell::default());
        Ok(Self { client, mount: mount.trim_matches('/').to_owned(), kv, login, token, known })
    }

    /// Returns the field of a secret as text; none when there is no such secret or field.
    ///
    /// # Errors
    /// Vault cannot be reached, or refuses.
    pub(super) fn read(&self, path: &str, field: &str) -> Result<Option<String>, String> {
        if !self.known.borrow().contains_key(path) {
            let secret = self.secret(path)?;
            self.known.borrow_mut().insert(path.to_owned(), secret);
        }
        let known = self.known.borrow();
        let value = known.get(path).and_then(Option::as_ref).and_then(|secret| secret.get(field));
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(format!("the field {field} of the secret at {path} in Vault holds a NUL"))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Ok(Some(other.to_string())),
        }
    }

    /// Reads a secret whole, once more with a new token or after a hitch.
    fn secret(&self, path: &str) -> Result<Option<Map<String, Value>>, String> {
        let fails = |why: String| format!("the secret at {path} in Vault cannot be read: {why}");
        match self.ask(path) {
            Err(Refused { again: true, .. }) => {
                self.token.replace(None);
                self.ask(path).map_err(|refused| fails(refused.why))
            }
            asked => asked.map_err(|refused| fails(refused.why)),
        }
    }

    fn ask(&self, path: &str) -> Result<Option<Map<String, Value>>, Refused> {
        let token = self.token()?;
        let url = match self.kv {
            Kv::One => format!("/v1/{}/{path}", self.mount),
            Kv::Two => format!("/v1/{}/data/{path}", self.mount),
        };
        let (status, answer) = self.client.call(&url, Some(&token), None)?;
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(Refused::of(status, &answer)),
        }
        let data = match self.kv {
            Kv::One => answer.pointer("/data"),
            Kv::Two => answer.pointer("/data/data"),
        };
        match data {
            Some(Value::Object(secret)) => Ok(Some(secret.clone())),
            _ => Err(Refused::for_good(match self.kv {
                Kv::One => "the answer has no `data`",
                Kv::Two => "the answer has no `data.data`; is VAULT_KV_VERSION right?",
            })),
        }
    }

    fn token(&self) -> Result<Secret, Refused> {
        let (role, secret) = match &self.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::AppRole { role, secret } => (role, secret),
        };
        if let Some(token) = &*self.token.borrow() {
            return Ok(token.clone());
        }
        let login = json!({ "role_id": role, "secret_id": secret.expose() });
        let (status, answer) = self.client.call("/v1/auth/approle/login", None, Some(&login))?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        let Some(token) = token.filter(|_| status == StatusCode::OK) else {
            let refused = Refused::of(status, &answer);
            return Err(Refused {
                why: format!("the login with AppRole failed: {}", refused.why),
                ..refused
            });
        };
        let token = Secret::new(token.to_owned());
        self.token.replace(Some(token.clone()));
        Ok(token)
    }
}

/// Why there is no secret.
struct Refused {
    why: String,
    /// True when asking once more may help.
    again: bool,
}

impl Refused {
    fn of(status: StatusCode, answer: &Value) -> Self {
        let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
        let errors: Vec<_> = errors.filter_map(Value::as_str).map(str::trim).collect();
        let again = status.is_server_error() || [401, 408, 429].contains(&status.as_u16());
        let why =
            if errors.is_empty() { status.to_string() } else { format!("{status}: {}", errors.join("; ")) };
        Self { why, again }
    }

    fn for_good(why: &str) -> Self {
        Self { why: why.to_owned(), again: false }
    }
}

impl From<NoAnswer> for Refused {
    fn from(NoAnswer(why): NoAnswer) -> Self {
        Self { why, again: true }
    }
}
