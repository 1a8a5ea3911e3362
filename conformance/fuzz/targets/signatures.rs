//! The header with a signature: nothing a sender writes there is let in, or stops the gate. The input is `header NUL body`.
#![no_main]

use bytes::Bytes;
use engine::config::{Faults, Node, Pointer};
use engine::kind::Blueprint;
use engine::webhook::{Head, Id, Webhook, from_micros};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (header, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kinds = stages::registry::kinds();
    let hmac = kinds.iter().find(|kind| kind.name == "hmac").expect("there is a gate for signatures");
    for algorithm in ["sha1", "sha256", "sha512"] {
        let settings =
            json!({ "secret": "a secret no fuzzer guesses", "header": "X-Sig", "algorithm": algorithm });
        let node = Node::new(settings, Pointer::root());
        let Some(Blueprint::Gate(gate)) = (hmac.parse)(&node, &mut Faults::default()) else {
            panic!("the settings are sound");
        };
        let answer =
            futures::executor::block_on(gate.admit(&webhook(header, body))).expect_err("nobody signed");
        assert_eq!(answer.status, 401);
    }
});

fn webhook(header: &[u8], body: &[u8]) -> Webhook {
    let head = Head {
        id: Id([0; 16]),
        webhook: "w".into(),
        received: from_micros(0),
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/w".into(),
        headers: [("x-sig", header)].into_iter().collect(),
    };
    Webhook::new(head, Bytes::copy_from_slice(body))
}
