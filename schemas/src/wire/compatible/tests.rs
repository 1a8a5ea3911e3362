//! The dialect against what the reference was recorded to send, byte for byte.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engine::ack::{Cause, Reason};
use engine::webhook::{Head, Id, Transit, from_micros};
use proptest::prelude::*;

use super::*;

fn example(body: &'static [u8]) -> Webhook {
    let head = Head {
        id: Id([0x11; 16]),
        webhook: "w1".into(),
        received: from_micros(1_700_000_000_123_456),
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/w1?a=1".into(),
        headers: [("x-tag", b"one".as_slice()), ("x-tag", b"caf\xe9")].into_iter().collect(),
    };
    let mut webhook = Webhook::new(head, Bytes::from_static(body));
    webhook.transit = Transit {
        channel: "c".into(),
        sequence: 9,
        attempt: 2,
        expires: Some(from_micros(1_700_086_400_123_456)),
    };
    webhook
}

const FRONT: &str = "{\"type\":\"webhook\",\"message_id\":\"msg_11111111111111111111111111111111\",\"sequence\":9,\
    \"webhook_id\":\"w1\",\"timestamp\":\"2023-11-14T22:13:20.123456+00:00\",\"headers\":{\"x-tag\":\"café\"},";

const BACK: &str = ",\"method\":\"POST\",\"path\":\"/webhook/w1\",\"query\":\"a=1\",\"header_list\":\
    [[\"x-tag\",\"one\"],[\"x-tag\",{\"base64\":\"Y2Fm6Q==\"}]],\"attempt\":2,\"source_ip\":\"192.0.2.7\",\
    \"channel\":\"c\",\"expires_at\":\"2023-11-15T22:13:20.123456+00:00\"}";

#[test]
fn a_json_body_travels_as_it_arrived() {
    let text = webhook(
        &example(b" {\"b\" :1.0,\n\"a\":12345678901234567890, \"a\":\"\\u00e9\"}"),
        BodyForm::Payload,
    );
    let payload = "\"payload\":{\"b\" :1.0,\n\"a\":12345678901234567890, \"a\":\"\\u00e9\"}";
    assert_eq!(text, format!("{FRONT}{payload}{BACK}"));
}

#[test]
fn an_announced_connector_gets_the_exact_body_as_base64() {
    let text = webhook(&example(b"\x00\xff"), BodyForm::Base64);
    assert_eq!(text, format!("{FRONT}\"body_base64\":\"AP8=\"{BACK}"));
}

#[test]
fn a_receivers_own_messages_have_the_recorded_shapes() {
    let now = from_micros(1_700_000_000_123_456);
    let at = "2023-11-14T22:13:20.123456+00:00";
    assert_eq!(
        connected("wsc_1_2", "c", now),
        format!(
            "{{\"type\":\"connected\",\"connection_id\":\"wsc_1_2\",\"channel\":\"c\",\"timestamp\":\"{at}\"}}"
        )
    );
    assert_eq!(connected_data("sse_1_2", "c"), "{\"connection_id\":\"sse_1_2\",\"channel\":\"c\"}");
    assert_eq!(
        heartbeat(now),
        format!("{{\"type\":\"heartbeat\",\"timestamp\":\"{at}\",\"server_time\":\"{at}\"}}")
    );
    assert_eq!(heartbeat_data(now), format!("{{\"timestamp\":\"{at}\"}}"));
    let missed = Gap { missed: 3, first: 4, last: 6 };
    assert_eq!(gap(missed), "{\"type\":\"gap\",\"missed\":3,\"first\":4,\"last\":6}");
    assert_eq!(
        polled("poll_x_1", "c", now, &["{}".to_owned(), "{}".to_owned()], None),
        format!(
            "{{\"messages\":[{{}},{{}}],\"connection_id\":\"poll_x_1\",\"channel\":\"c\",\"timestamp\":\"{at}\"}}"
        )
    );
}

#[test]
fn what_the_reference_sends_is_understood() {
    let text = "{\"type\":\"webhook\",\"message_id\":\"msg_4868226cb5fc4f49\",\"sequence\":1,\"webhook_id\":\"w1\",\
        \"timestamp\":\"2026-11-23T12:31:35.745756+00:00\",\"headers\":{\"a\":\"caf\u{e9}\"},\"payload\":null}";
    let Ok(FromReceiver::Webhook(received)) = FromReceiver::decode(text) else { panic!("a webhook") };
    assert_eq!(&*received.message, "msg_4868226cb5fc4f49");
    let head = &received.webhook.head;
    assert_eq!((&received.webhook.body[..], &*head.target), (&b"null"[..], "/webhook/w1"));
    assert_eq!(head.headers.get("a"), Some(&b"caf\xe9"[..]));
    let Ok(FromReceiver::Webhook(again)) = FromReceiver::decode(text) else { panic!("a webhook") };
    assert_eq!(again.webhook.id(), received.webhook.id());
    let connected =
        FromReceiver::decode_event("connected", "{\"connection_id\":\"sse_1\",\"channel\":\"c\"}");
    assert_eq!(connected, Ok(FromReceiver::Connected { connection: "sse_1".into(), channel: "c".into() }));
    assert_eq!(FromReceiver::decode("{\"type\":\"later\"}"), Err(NotUnderstood::Type));
    assert_eq!(FromReceiver::decode("{\"type\":\"webhook\"}"), Err(NotUnderstood::Missing("message_id")));
}

#[test]
fn a_webhook_survives_the_way_to_a_connector() {
    for (body, form) in
        [(&b"{\"a\": 1}"[..], BodyForm::Payload), (b"\xff\x00", BodyForm::Base64), (b"", BodyForm::Base64)]
    {
        let sent = example(body);
        let text = webhook(&sent, form);
        assert!(text.len() <= longest(&sent, form));
        let wanted = Received { message: sent.id().to_string().into(), webhook: sent.clone() };
        assert_eq!(FromReceiver::decode(&text), Ok(FromReceiver::Webhook(Box::new(wanted.clone()))));
        let folded = crate::wire::ascii::fold(&text);
        assert_eq!(
            FromReceiver::decode_event("webhook", &folded),
            Ok(FromReceiver::Webhook(Box::new(wanted.clone())))
        );
        let answer = polled("poll_x_1", "c", SystemTime::now(), &[text, "{}".to_owned()], None);
        let polled = Polled { webhooks: vec![wanted], connection: "poll_x_1".into(), gap: None };
        assert_eq!(Polled::decode(&answer), Ok((polled, 1)));
    }
}

#[test]
fn what_the_references_connector_sends_is_understood() {
    let message = ByteString::from_static("msg_1");
    let settle = |outcome| Ok(FromConnector::Settle { message: message.clone(), outcome });
    let unreachable = Outcome::Abandoned { delay: None, cause: Cause::Unreachable, reason: None };
    let rejected = Outcome::Failed { reason: Reason::new("the connector gave no reason") };
    let cases = [
        ("{\"type\":\"ack\",\"message_id\":\"msg_1\",\"processed_at\":\"x\"}", settle(Outcome::Delivered)),
        ("{\"type\":\"nack\",\"message_id\":\"msg_1\",\"retry\":true}", settle(unreachable.clone())),
        ("{\"type\":\"nack\",\"message_id\":\"msg_1\"}", settle(unreachable.clone())),
        ("{\"type\":\"nack\",\"message_id\":\"msg_1\",\"retry\":false}", settle(rejected.clone())),
        ("{\"type\":\"heartbeat\",\"timestamp\":\"x\"}", Ok(FromConnector::Heartbeat)),
        ("{\"type\":\"ack\"}", Err(NotUnderstood::Missing("message_id"))),
        ("{\"type\":\"other\"}", Err(NotUnderstood::Type)),
    ];
    for (text, wanted) in cases {
        assert_eq!(FromConnector::decode(text), wanted, "{text}");
    }
    assert_eq!(FromConnector::from_query("message_id=msg_1"), settle(Outcome::Delivered));
    assert_eq!(FromConnector::from_query("message_id=msg_1&status=oops&retry=true"), settle(unreachable));
    assert_eq!(FromConnector::from_query("message_id=msg_1&status=nack&retry=False"), settle(rejected));
    assert_eq!(FromConnector::from_query("status=ack"), Err(NotUnderstood::Missing("message_id")));
    assert!(FromConnector::decode("[1]").is_err() && FromConnector::decode("\u{0}").is_err());
}

#[test]
fn what_a_connector_says_is_read_back() {
    let message = ByteString::from_static("msg_ä&=1");
    let outcomes = [
        Outcome::Delivered,
        Outcome::Failed { reason: Reason::new("no such table: \"a b\"") },
        Outcome::Abandoned {
            delay: Some(Duration::from_secs(2)),
            cause: Cause::Failed,
            reason: Some(Reason::new("503")),
        },
        Outcome::Abandoned { delay: None, cause: Cause::Unreachable, reason: None },
    ];
    for outcome in outcomes {
        let said = FromConnector::Settle { message: message.clone(), outcome };
        assert_eq!(FromConnector::decode(&said.encode(SystemTime::now())), Ok(said.clone()));
        assert_eq!(FromConnector::from_query(&said.to_query().unwrap()), Ok(said));
    }
    let window = FromConnector::Window(Window { events: 7, bytes: 1 << 20 });
    assert_eq!(FromConnector::decode(&window.encode(SystemTime::now())), Ok(window));
    let progress = FromConnector::Progress { message };
    assert_eq!(FromConnector::from_query(&progress.to_query().unwrap()), Ok(progress));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop((FromReceiver::decode(&text), FromConnector::decode(&text), FromConnector::from_query(&text)));
        drop((Polled::decode(&text), FromReceiver::decode_event("webhook", &text)));
    }

    #[test]
    fn no_webhook_is_longer_than_its_bound(
        value in proptest::collection::vec(0x20_u8.., 0..2_000),
        body: Vec<u8>,
    ) {
        let mut sent = example(b"");
        std::sync::Arc::make_mut(&mut sent.head).headers = [("x-\"tag", value)].into_iter().collect();
        sent.body = body.into();
        for form in [BodyForm::Payload, BodyForm::Base64] {
            let form = if is_json(&sent.body) { form } else { BodyForm::Base64 };
            prop_assert!(webhook(&sent, form).len() <= longest(&sent, form));
        }
    }
}

#[test]
fn the_largest_webhook_fits_into_the_largest_text_and_not_into_what_an_unannounced_connector_takes() {
    const BODY: &[u8] = &[0; 10 << 20];
    let longest = longest(&example(BODY), BodyForm::Base64);
    let heads = 1 << 20;
    assert!(longest + heads <= LARGEST_TEXT && longest > LARGEST_UNANNOUNCED);
    assert_eq!(LARGEST_UNANNOUNCED, 4 * 1024 * 1024, "the limit of the reference's WebSocket client");
}

#[test]
fn a_foreign_message_id_names_the_webhook_by_its_fnv_1a_hash() {
    let text = "{\"type\":\"webhook\",\"message_id\":\"a\",\"webhook_id\":\"w1\",\"payload\":1}";
    let Ok(FromReceiver::Webhook(received)) = FromReceiver::decode(text) else { panic!("a webhook") };
    // The published hash of “a”.
    assert_eq!(received.webhook.id(), Id(0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964_u128.to_be_bytes()));
}

#[test]
fn a_lost_webhook_goes_again_at_once_unless_a_delay_is_told() {
    for (told, read) in [(None, Duration::ZERO), (Some(Duration::from_secs(2)), Duration::from_secs(2))] {
        let settle = |delay, cause| FromConnector::Settle {
            message: "msg_1".into(),
            outcome: Outcome::Abandoned { delay, cause, reason: None },
        };
        let wanted = settle(Some(read), Cause::Unreachable);
        assert_eq!(FromConnector::decode(&settle(told, Cause::Lost).encode(SystemTime::now())), Ok(wanted));
    }
}

#[test]
fn the_bound_of_a_webhooks_length_counts_each_part_as_often_as_it_can_take() {
    let mut webhook = example(b"0123456789");
    let head = std::sync::Arc::make_mut(&mut webhook.head);
    head.webhook = "eleven-long".into();
    head.target = "/seven7".into();
    head.headers = [("abc", b"12345".as_slice()), ("d", b"")].into_iter().collect();
    let parts = |body: usize| body + (4 * 8 + 32) + (4 + 32) + 2 * 7 + 2 * 11 + 1_024;
    assert_eq!(longest(&webhook, BodyForm::Payload), parts(10));
    assert_eq!(longest(&webhook, BodyForm::Base64), parts(16));
}

#[test]
fn a_body_is_json_when_all_of_it_is() {
    let cases = ["{\"a\":1}", " null ", "\"\u{e9}\"", "", "{} {}", "{"].map(|body| is_json(body.as_bytes()));
    assert_eq!(cases, [true, true, true, false, false, false]);
    assert!(!is_json(b"\"\xe9\""));
}

#[test]
fn a_header_that_is_not_ascii_travels_as_base64_also_when_it_is_text() {
    let mut sent = example(b"1");
    std::sync::Arc::make_mut(&mut sent.head).headers =
        [("a", "é".as_bytes()), ("b", b"e")].into_iter().collect();
    let text = webhook(&sent, BodyForm::Payload);
    assert!(text.contains("\"header_list\":[[\"a\",{\"base64\":\"w6k=\"}],[\"b\",\"e\"]]"), "{text}");
}

#[test]
fn what_a_receiver_says_beside_webhooks_is_read_back() {
    let (now, missed) = (SystemTime::now(), Gap { missed: 3, first: 4, last: 6 });
    let said = FromReceiver::Connected { connection: "wsc_1".into(), channel: "c".into() };
    assert_eq!(FromReceiver::decode(&connected("wsc_1", "c", now)), Ok(said));
    assert_eq!(FromReceiver::decode(&heartbeat(now)), Ok(FromReceiver::Heartbeat));
    assert_eq!(FromReceiver::decode_event("heartbeat", &heartbeat_data(now)), Ok(FromReceiver::Heartbeat));
    assert_eq!(FromReceiver::decode(&gap(missed)), Ok(FromReceiver::Gap(missed)));
    let ended = FromReceiver::decode_event("error", "{\"error\":\"unauthorized\"}");
    assert_eq!(ended, Ok(FromReceiver::Error("unauthorized".into())));
}

#[test]
fn a_webhook_without_a_time_gets_one_that_survives_being_written() {
    let text = r#"{"type":"webhook","message_id":"m1","webhook_id":"w","payload":null}"#;
    let Ok(FromReceiver::Webhook(first)) = FromReceiver::decode(text) else { panic!("not understood") };
    let written = webhook(&first.webhook, BodyForm::Base64);
    let Ok(FromReceiver::Webhook(again)) = FromReceiver::decode(&written) else { panic!("not understood") };
    assert_eq!(again.webhook.head.received, first.webhook.head.received);
}
