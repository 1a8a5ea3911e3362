//! Headers that hold signatures: nothing a sender writes there is let in, or stops the gate. The input is
//! `header NUL time NUL body`.

use bytes::Bytes;
use engine::config::{Faults, Node, Pointer};
use engine::kind::Blueprint;
use engine::webhook::{Head, Id, Webhook, from_micros};
use serde_json::{Value, json};

/// The settings of gates that read headers in different ways; the secret is added.
fn settings() -> [(&'static str, Value); 12] {
    let of = |provider: &str| ("signature", json!({ "provider": provider }));
    let hmac = |settings: Value| ("hmac", settings);
    [
        hmac(json!({ "header": "X-Sig", "algorithm": "sha1" })),
        hmac(json!({ "header": "X-Sig", "algorithm": "sha384", "encoding": "base64url" })),
        hmac(json!({ "header": "X-Sig", "algorithm": "sha512", "encoding": "base64", "separator": " " })),
        hmac(json!({ "header": "X-Sig", "timestamp_key": "t", "signature_key": "v1" })),
        hmac(json!({ "header": "X-Sig", "prefix": "v0=", "timestamp_header": "X-Time",
            "signed": "{id}{timestamp}{method}{path}{header:X-Time}{url}{body}", "url": "https://a.example" })),
        of("stripe"),
        of("slack"),
        of("svix"),
        of("paddle"),
        of("pagerduty"),
        of("zendesk"),
        of("gitlab"),
    ]
}

/// What those settings read the signature from.
const SIGNATURES: [&str; 8] = [
    "x-sig",
    "stripe-signature",
    "x-slack-signature",
    "svix-signature",
    "paddle-signature",
    "x-pagerduty-signature",
    "x-zendesk-webhook-signature",
    "x-gitlab-token",
];

/// And the time of signing, or what else is signed.
const TIMES: [&str; 6] = [
    "x-time",
    "x-slack-request-timestamp",
    "svix-timestamp",
    "svix-id",
    "webhook-id",
    "x-zendesk-webhook-signature-timestamp",
];

pub(crate) fn hold(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let webhook = webhook(next(), next(), next());
    let kinds = stages::registry::kinds();
    for (gate, mut settings) in settings() {
        settings["secret"] = json!("whsec_YSBzZWNyZXQgbm8gZnV6emVyIGd1ZXNzZXM=");
        let kind = kinds.iter().find(|kind| kind.name == gate).expect("there are gates for signatures");
        let mut faults = Faults::default();
        let parsed = (kind.parse)(&Node::new(settings, Pointer::root()), &mut faults);
        let Some(Blueprint::Gate(gate)) = parsed.filter(|_| faults.is_empty()) else {
            panic!("the settings are sound: {faults:?}");
        };
        let answer = futures::executor::block_on(gate.admit(&webhook)).expect_err("nobody signed");
        assert_eq!(answer.status, 401);
    }
}

fn webhook(signature: &[u8], time: &[u8], body: &[u8]) -> Webhook {
    let signatures = SIGNATURES.map(|name| (name, signature));
    let head = Head {
        id: Id([0; 16]),
        webhook: "w".into(),
        received: from_micros(1_700_000_000_000_000),
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/w?a=b".into(),
        headers: signatures.into_iter().chain(TIMES.map(|name| (name, time))).collect(),
    };
    Webhook::new(head, Bytes::copy_from_slice(body))
}
