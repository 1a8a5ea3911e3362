//! Webhooks for tests, and the recorded decisions of the reference.

use engine::config::{Faults, Node, Pointer};
use engine::headers::Headers;
use engine::kind::{Context, Gate, Kind};
use engine::webhook::{Head, Id, Webhook};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::watch;

/// Makes a webhook with these headers and body.
pub(crate) fn webhook(headers: &[(&str, &[u8])], body: &[u8]) -> Webhook {
    let head = Head {
        id: Id::new(),
        webhook: "orders".into(),
        received: std::time::SystemTime::now(),
        source: std::net::Ipv4Addr::LOCALHOST.into(),
        method: "POST".into(),
        target: "/webhook/orders".into(),
        headers: headers.iter().copied().collect::<Headers>(),
    };
    Webhook::new(head, bytes::Bytes::copy_from_slice(body))
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

/// One recorded decision.
#[derive(Deserialize)]
struct Vector {
    name: String,
    config: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: String,
    valid: bool,
}

/// Runs every recorded decision of the gate `G`. A configuration that is refused counts as turning everybody away.
pub(crate) async fn agrees_with_the_recorded_decisions<G: Gate>() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/auth_vectors.json")).unwrap();
    let mut ran = 0;
    for vector in vectors.iter().filter(|vector| vector.config.contains_key(G::NAME)) {
        let headers: Vec<(&str, &[u8])> =
            vector.headers.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap().as_bytes())).collect();
        let node = Node::new(vector.config[G::NAME].clone(), Pointer::root());
        let admitted = match node.parse::<G>(&mut Faults::default()) {
            Some(gate) => gate.admit(&webhook(&headers, vector.body.as_bytes())).await.is_ok(),
            None => false,
        };
        // The reference lets everybody pass when the settings are empty; a door that is open by mistake is refused.
        let unusable = matches!(&vector.config[G::NAME], Value::Null | Value::Number(_))
            || vector.config[G::NAME].as_str().is_some_and(|text| text.trim().is_empty())
            || vector.config[G::NAME].as_object().is_some_and(Map::is_empty);
        assert_eq!(admitted, vector.valid && !unusable, "{}", vector.name);
        ran += 1;
    }
    assert!(ran > 0, "no decision is recorded for {}", G::NAME);
}

/// What a stage gets from its surroundings.
pub(crate) fn context() -> (Context, watch::Sender<bool>) {
    let (stopper, stop) = watch::channel(false);
    let cx = Context::new("stage", stop);
    (cx, stopper)
}
