//! The store against a model, on a disk that crashes, tears, fills up and rots.

mod damage;
mod folder;
mod model;
mod operate;
mod room;
mod sim;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use engine::store::{Limit, ParkCause, Store, Tries};
use engine::webhook::{Head, Id, Webhook, from_micros};

use super::{Channel, Embedded, Options};
use sim::Sim;

/// Small segments, and no waiting for company.
const SMALL: Options = Options { segment_bytes: 2 << 10, gather: Duration::ZERO };

const ALL: Limit = Limit { events: usize::MAX, bytes: usize::MAX };

fn open(disk: &Sim) -> Embedded {
    Embedded::open_on(Box::new(disk.clone()), None, SMALL).unwrap()
}

fn webhook(bytes: usize) -> Webhook {
    let head = Head {
        id: Id::new(),
        webhook: "orders".into(),
        received: from_micros(1_790_000_000_000_001),
        source: [127, 0, 0, 1].into(),
        method: "POST".into(),
        target: "/webhook/orders?a=1".into(),
        headers: [("content-type", "application/json")].into_iter().collect(),
    };
    let body: Vec<u8> = (0..bytes).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect();
    Webhook::new(head, Bytes::from(body))
}

/// Where a webhook is, for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Is {
    Queued,
    Deferred { tries: Tries, until: Option<u64> },
    Parked { cause: ParkCause, reason: String, tries: Tries },
}

/// Everything a channel holds, read through its interface.
async fn dump(channel: &Channel) -> BTreeMap<u64, (Webhook, Is)> {
    let mut all = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = channel.read(after, Limit { events: 7, ..ALL }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.sequence;
        for one in page {
            assert_eq!(one.tries, Tries::default());
            assert!(all.insert(one.sequence, (one.webhook, Is::Queued)).is_none());
        }
    }
    for one in channel.deferred().await.unwrap() {
        let loaded = channel.load(vec![one.sequence, u64::MAX], usize::MAX).await.unwrap();
        assert_eq!(loaded.gone, [u64::MAX]);
        let [stored] = &loaded.stored[..] else { panic!("{one:?} cannot be loaded") };
        assert_eq!((stored.tries, stored.webhook.head.received), (one.tries, one.received));
        let is = Is::Deferred { tries: one.tries, until: one.until.map(engine::webhook::to_micros) };
        assert!(all.insert(one.sequence, (stored.webhook.clone(), is)).is_none());
    }
    for one in channel.parked(0, usize::MAX).await.unwrap() {
        let is = Is::Parked { cause: one.cause, reason: one.reason, tries: one.stored.tries };
        assert!(all.insert(one.stored.sequence, (one.stored.webhook, is)).is_none());
    }
    let stats = channel.stats();
    assert_eq!(stats.imbalance(), 0, "{stats:?}");
    assert_eq!(stats.live + stats.parked, all.len() as u64, "{stats:?}");
    let weigh = |parked: bool| {
        let of_it = all.values().filter(|(_, is)| matches!(is, Is::Parked { .. }) == parked);
        of_it.map(|(webhook, _)| webhook.weight() as u64).sum::<u64>()
    };
    assert_eq!((stats.live_bytes, stats.parked_bytes), (weigh(false), weigh(true)));
    all
}
