//! What gates cost beside the bare check with the same crate.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use conformance::case::{Failed, ensure};
use engine::config::{Faults, Node, Pointer};
use engine::headers::Headers;
use engine::kind::{Blueprint, DynGate};
use engine::webhook::{Head, Id, Webhook, from_micros};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::ingest::BODY;
use crate::report::Report;

/// What is signed with.
const SECRET: &str = "a secret of thirty-two characters";

/// Checks per figure.
const CHECKS: u32 = 20_000;

/// Measures each gate and its bare check in turns.
///
/// # Errors
/// A gate or a bare check refuses what is right.
pub(crate) async fn measure(rounds: usize) -> Result<Report, Failed> {
    let body = vec![b'a'; BODY];
    let signature = hex::encode(mac(&body)?.finalize().into_bytes());
    let gate = gate("hmac", json!({ "secret": SECRET, "header": "X-Signature" }))?;
    let webhook = webhook(&[("x-signature", &signature)], body);
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..=rounds {
        let bare = each(|| {
            let sent = hex::decode(black_box(&signature))?;
            mac(black_box(&webhook.body))?.verify_slice(&sent).map_err(|error| Failed(error.to_string()))
        })?;
        let began = Instant::now();
        for _ in 0..CHECKS {
            let passed = gate.admit(black_box(&webhook)).await.is_ok();
            ensure(passed, || "the gate refuses what is signed right".to_owned())?;
        }
        let ours = nanoseconds(began);
        all.push(BTreeMap::from([
            ("hmac_bare_ns", bare),
            ("hmac_gate_ns", ours),
            ("hmac_ratio", ours / bare),
        ]));
    }
    // The first round warms the machine.
    all.remove(0);
    let method =
        format!("{CHECKS} checks of a {BODY}-byte body on one thread, bare and by the gate, in turns");
    Ok(Report::new("auth", method, all))
}

fn mac(body: &[u8]) -> Result<Hmac<Sha256>, Failed> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).map_err(|error| Failed(error.to_string()))?;
    mac.update(body);
    Ok(mac)
}

/// Returns how many nanoseconds one call takes.
fn each(mut check: impl FnMut() -> Result<(), Failed>) -> Result<f64, Failed> {
    let began = Instant::now();
    for _ in 0..CHECKS {
        check()?;
    }
    Ok(nanoseconds(began))
}

fn nanoseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e9 / f64::from(CHECKS)
}

fn gate(name: &str, settings: Value) -> Result<Arc<dyn DynGate>, Failed> {
    let kind = stages::registry::kinds().into_iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| Failed(format!("there is no gate `{name}`")))?;
    let mut faults = Faults::default();
    match (kind.parse)(&Node::new(settings, Pointer::root()), &mut faults) {
        Some(Blueprint::Gate(gate)) if faults.is_empty() => Ok(gate),
        Some(_) | None => Err(Failed(format!("the settings of `{name}` are refused: {faults:?}"))),
    }
}

fn webhook(headers: &[(&str, &str)], body: Vec<u8>) -> Webhook {
    let head = Head {
        id: Id([0; 16]),
        webhook: "w".into(),
        received: from_micros(0),
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/w".into(),
        headers: headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect::<Headers>(),
    };
    Webhook::new(head, Bytes::from(body))
}
