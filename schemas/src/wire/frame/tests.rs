//! Frames are read as they were written, and nothing else is.

use super::*;
use engine::webhook::Head;
use proptest::prelude::*;

fn webhook(body: &'static [u8]) -> Webhook {
    let head = Head {
        id: Id::new(),
        webhook: "w".into(),
        received: from_micros(5),
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/w".into(),
        headers: [("a", "b")].into_iter().collect(),
    };
    let mut webhook = Webhook::new(head, Bytes::from_static(body));
    webhook.transit.sequence = 9;
    webhook.transit.attempt = 2;
    webhook.transit.expires = Some(from_micros(77));
    webhook
}

fn every_kind() -> Vec<Frame> {
    let window = Window { events: 100, bytes: 1 << 26 };
    let reason = Reason::new("503 from the destination");
    let delay = Some(Duration::from_secs(2));
    let abandoned = Outcome::Abandoned { delay, cause: Cause::Failed, reason: Some(reason.clone()) };
    let settle = Settle {
        delivered: vec![1..=3, 5..=5],
        returned: vec![Returned { seq: 4, cause: Cause::Unreachable, delay, reason: reason.clone() }],
        rejected: vec![(6, reason.clone())],
        earlier: vec![
            (Id::new(), Outcome::Delivered),
            (Id::new(), abandoned),
            (Id::new(), Outcome::Failed { reason }),
        ],
    };
    let deliveries =
        vec![Delivery { seq: 1, webhook: webhook(b"{}") }, Delivery { seq: 2, webhook: webhook(b"") }];
    vec![
        Frame::Hello { window, connector: "dc-1".into(), tap: true },
        Frame::Welcome {
            session: "s1".into(),
            heartbeat: Duration::from_secs(20),
            ack_deadline: Duration::from_secs(30),
            largest: 1 << 23,
        },
        Frame::Deliver(deliveries),
        Frame::Settle(settle),
        Frame::Progress(vec![2..=9]),
        Frame::Gap { missed: 3, first: 1, last: 9 },
        Frame::Window(Window { events: 0, bytes: 0 }),
        Frame::Ping(7),
        Frame::Pong(8),
        Frame::Bye("shutting down".into()),
    ]
}

#[test]
fn every_frame_reads_back() {
    for frame in every_kind() {
        assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
}

#[test]
fn a_frame_that_is_cut_or_too_long_is_refused() {
    for frame in every_kind() {
        let whole = frame.encode();
        for cut in 0..whole.len() {
            assert!(Frame::decode(whole.slice(..cut)).is_err(), "{frame:?} cut at {cut}");
        }
        let mut long = BytesMut::from(whole);
        long.put_u8(0);
        assert!(Frame::decode(long.freeze()).is_err(), "{frame:?}");
    }
}

#[test]
fn a_webhook_that_never_expires_is_read_as_one() {
    let mut webhook = webhook(b"{}");
    webhook.transit.expires = None;
    let frame = Frame::Deliver(vec![Delivery { seq: 1, webhook }]);
    assert_eq!(Frame::decode(frame.encode()), Ok(frame));
}

#[test]
fn a_frame_of_deliveries_is_as_long_as_its_overheads_and_its_records() {
    let deliveries: Vec<Delivery> =
        [&b""[..], b"{}"].map(|body| Delivery { seq: 1, webhook: webhook(body) }).into();
    let records: usize = deliveries.iter().map(|delivery| record::encoded_len(&delivery.webhook)).sum();
    let wanted = DELIVER_OVERHEAD + 2 * DELIVERY_OVERHEAD + records;
    assert_eq!(Frame::Deliver(deliveries).encode().len(), wanted);
}

#[test]
fn the_largest_webhook_fits_into_the_largest_frame() {
    const BODY: &[u8] = &[0; 10 << 20];
    let frame = Frame::Deliver(vec![Delivery { seq: 1, webhook: webhook(BODY) }]);
    let heads = 1 << 20;
    assert!(frame.encode().len() + heads <= crate::wire::LARGEST_FRAME);
}

#[test]
fn a_text_that_is_too_long_is_cut_at_a_character() {
    let frame = Frame::Bye("é".repeat(40_000).into()).encode();
    assert_eq!(Frame::decode(frame), Ok(Frame::Bye("é".repeat(32_767).into())));
}

#[test]
fn the_longest_delay_is_not_read_as_none() {
    let (cause, reason) = (Cause::Failed, Reason::new(""));
    let returned = |delay| Returned { seq: 1, cause, delay: Some(delay), reason: reason.clone() };
    let settle = |delay| Frame::Settle(Settle { returned: vec![returned(delay)], ..Settle::default() });
    let longest = Duration::from_millis(u64::MAX - 1);
    assert_eq!(Frame::decode(settle(Duration::MAX).encode()), Ok(settle(longest)));
}

#[test]
fn a_settle_that_tells_anything_is_not_empty() {
    assert!(Settle::default().is_empty());
    let reason = Reason::new("no");
    let returned = Returned { seq: 1, cause: Cause::Lost, delay: None, reason: reason.clone() };
    let telling = [
        Settle { delivered: vec![1..=1], ..Settle::default() },
        Settle { returned: vec![returned], ..Settle::default() },
        Settle { rejected: vec![(1, reason)], ..Settle::default() },
        Settle { earlier: vec![(Id::new(), Outcome::Delivered)], ..Settle::default() },
    ];
    for settle in telling {
        assert!(!settle.is_empty(), "{settle:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, kind in 1_u8..=10) {
        let mut message = vec![kind];
        message.extend(bytes);
        drop(Frame::decode(message.into()));
    }
}
