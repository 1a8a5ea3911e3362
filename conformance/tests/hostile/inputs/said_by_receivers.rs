//! What a receiver says in the compatible dialect, as a connector reads it; a webhook survives being written again.

use engine::webhook::Webhook;
use schemas::wire::ascii;
use schemas::wire::compatible::{BodyForm, FromReceiver, Polled, webhook};

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

fn survives(sent: &Webhook) {
    for form in [BodyForm::Base64, BodyForm::Payload] {
        let text = webhook(sent, form);
        for text in [ascii::fold(&text).to_string(), text] {
            let Ok(FromReceiver::Webhook(read)) = FromReceiver::decode(&text) else {
                panic!("what is written is not read: {text}");
            };
            assert_eq!((&*read.message, &read.webhook), (&*sent.id().to_string(), sent));
        }
    }
}
