//! Webhooks for tests, and the recorded decisions of the reference.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::clock;
use engine::config::{Faults, Node, Pointer};
use engine::headers::Headers;
use engine::kind::{Context, Gate, Kind};
use engine::webhook::{Head, Id, Webhook};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Makes a webhook with these headers and body.
pub(crate) fn webhook(headers: &[(&str, &[u8])], body: &[u8]) -> Webhook {
    Request { headers, body, ..Request::default() }.webhook()
}

/// A request as a test words it.
pub(crate) struct Request<'a> {
    pub(crate) source: IpAddr,
    pub(crate) received: SystemTime,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
    pub(crate) body: &'a [u8],
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            source: Ipv4Addr::LOCALHOST.into(),
            received: SystemTime::now(),
            method: "POST",
            target: "/webhook/orders",
            headers: &[],
            body: b"",
        }
    }
}

impl Request<'_> {
    /// Makes the webhook that the request brings.
    pub(crate) fn webhook(&self) -> Webhook {
        let head = Head {
            id: Id::new(),
            webhook: "orders".into(),
            received: self.received,
            source: self.source,
            method: self.method.into(),
            target: self.target.into(),
            headers: self.headers.iter().copied().collect::<Headers>(),
        };
        Webhook::new(head, bytes::Bytes::copy_from_slice(self.body))
    }
}

/// Reads settings that are right.
pub(crate) fn parse<T: DeserializeOwned>(settings: Value) -> T {
    let mut faults = Faults::default();
    let parsed = Node::new(settings, Pointer::root()).parse(&mut faults);
    parsed.unwrap_or_else(|| panic!("{faults:?}"))
}

/// Returns every complaint about settings, with its place.
pub(crate) fn faults(settings: &Value, kind: Kind) -> Vec<String> {
    let mut faults = Faults::default();
    (kind.parse)(&Node::new(settings.clone(), Pointer::root()), &mut faults);
    faults.iter().map(|fault| format!("{}: {}", fault.at, fault.problem)).collect()
}

/// When the decisions were recorded, in seconds since 1970: some requests hold a time.
const RECORDED_AT: u64 = 1_795_437_981;

/// One recorded decision.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    config: Map<String, Value>,
    /// The peer's address; null for none, which stands for one that nobody has.
    #[serde(default = "Vector::default_ip")]
    ip: Option<IpAddr>,
    #[serde(default = "Vector::default_method")]
    method: String,
    #[serde(default = "Vector::default_path")]
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// One character per byte.
    #[serde(default)]
    body: String,
    valid: bool,
    /// What the reference said.
    #[serde(rename = "message")]
    _message: String,
    /// Whether it holds for requests of the time of the recording only.
    #[serde(default, rename = "time_dependent")]
    _time_dependent: bool,
}

impl Vector {
    fn default_ip() -> Option<IpAddr> {
        Some([203, 0, 113, 9].into())
    }

    fn default_method() -> String {
        "POST".to_owned()
    }

    fn default_path() -> String {
        "/webhook/w".to_owned()
    }

    fn webhook(&self) -> Webhook {
        let mut query = String::new();
        for (name, value) in &self.query {
            engine::query::add(&mut query, name, value);
        }
        let target = if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) };
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let body: Vec<u8> = self.body.chars().map(|byte| u8::try_from(byte).unwrap()).collect();
        let request = Request {
            source: self.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            received: UNIX_EPOCH + Duration::from_secs(RECORDED_AT),
            method: &self.method,
            target: &target,
            headers: &headers,
            body: &body,
        };
        request.webhook()
    }
}

/// Runs every recorded decision of the gate `G`. A configuration that is refused counts as turning everybody away.
pub(crate) async fn agrees_with_the_recorded_decisions<G: Gate>() {
    agrees_but_for::<G>(&json!({}), &[]).await;
}

/// Runs every recorded decision of the gate `G` with the settings `restoring`, which bring back what the reference does.
/// The decisions named in `different` are other ones here, each for its reason.
pub(crate) async fn agrees_but_for<G: Gate>(restoring: &Value, different: &[(&str, &str)]) {
    let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(RECORDED_AT));
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/auth_vectors.json")).unwrap();
    let own: Vec<_> = vectors.iter().filter(|vector| vector.config.contains_key(G::NAME)).collect();
    assert!(!own.is_empty(), "no decision is recorded for {}", G::NAME);
    for (name, reason) in different {
        assert!(own.iter().any(|vector| vector.name == *name), "no decision is called {name} ({reason})");
    }
    for vector in own {
        let mut settings = vector.config[G::NAME].clone();
        // The reference lets everybody pass when the settings are empty; a door that is open by mistake is refused.
        let unusable = matches!(&settings, Value::Null | Value::Number(_))
            || settings.as_str().is_some_and(|text| text.trim().is_empty())
            || settings.as_object().is_some_and(Map::is_empty);
        if let (Some(settings), Some(restoring)) = (settings.as_object_mut(), restoring.as_object()) {
            settings.extend(restoring.clone());
        }
        let node = Node::new(settings, Pointer::root());
        let mut faults = Faults::default();
        let gate = node.parse::<G>(&mut faults);
        gate.iter().for_each(|gate| gate.check(&node, &mut faults));
        let admitted = match gate.filter(|_| faults.is_empty()) {
            Some(gate) => gate.admit(&vector.webhook()).await.is_ok(),
            None => false,
        };
        match different.iter().find(|(name, _)| *name == vector.name) {
            Some((name, reason)) => assert_ne!(admitted, vector.valid, "{name} ({reason})"),
            None => assert_eq!(admitted, vector.valid && !unusable, "{}", vector.name),
        }
    }
}

/// What a stage gets from its surroundings.
pub(crate) fn context() -> (Context, watch::Sender<bool>) {
    let (stopper, stop) = watch::channel(false);
    let cx = Context::new("stage", stop);
    (cx, stopper)
}
