//! What a receiver says in the compatible dialect, as a connector reads it; a webhook survives being written again.

use engine::webhook::Webhook;
use schemas::wire::ascii;
use schemas::wire::compatible::{BodyForm, FromReceiver, Polled, webhook};
use serde_json::Value;

const EVENTS: [&str; 5] = ["connected", "webhook", "heartbeat", "gap", "error"];

pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for said in EVENTS.map(|name| FromReceiver::decode_event(name, text)) {
        check(said.ok());
    }
    check(FromReceiver::decode(text).ok());
    if let Ok((polled, _)) = Polled::decode(text) {
        polled.webhooks.iter().for_each(|received| survives(&received.webhook));
    }
}

fn check(said: Option<FromReceiver>) {
    if let Some(FromReceiver::Webhook(received)) = said {
        survives(&received.webhook);
    }
}

/// A webhook that is written reads back the same. A payload that is folded to ASCII, as reference connectors need it, may
/// only differ in how it writes its value.
fn survives(sent: &Webhook) {
    for form in [BodyForm::Base64, BodyForm::Payload] {
        let text = webhook(sent, form);
        assert_eq!(read(&text), *sent);
        match read(&ascii::fold(&text)) {
            folded if form == BodyForm::Payload && folded.body != sent.body => {
                assert_eq!(value(&folded.body), value(&sent.body));
                assert_eq!(folded.head, sent.head);
            }
            folded => assert_eq!(folded, *sent),
        }
    }
}

fn read(text: &str) -> Webhook {
    let Ok(FromReceiver::Webhook(read)) = FromReceiver::decode(text) else {
        panic!("what is written is not read: {text}");
    };
    read.webhook
}

fn value(body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).expect("a payload is text");
    serde_json::from_str(text).expect("a payload is JSON")
}
