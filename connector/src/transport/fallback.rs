//! Which way to take: the best that gets through, and a better one again later.
//!
//! What stands in the way shows itself: an upgrade that is refused or stripped, a connection that is cut right after it, a
//! stream on which nothing arrives. A receiver that cannot be reached at all, or refuses the token, would do so on every
//! way, so these are no reason to take another.

use std::time::Duration;

use tokio::time::Instant;

use super::{ConnectError, Protocol};

/// A session that ended sooner, without a webhook, was perhaps cut by something in the way.
const SHORT: Duration = Duration::from_secs(5);

/// How many of those in a row make it certain enough.
const SHORT_ONES: u32 = 3;

/// After how many wordless refusals in a row another way is looked at.
const REFUSALS: u32 = 3;

/// The longest wait before a better way is tried again.
const LONGEST: Duration = Duration::from_secs(3600);

/// One way to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// WebSocket; the receiver decides the dialect.
    WebSocket,
    /// WebSocket in the compatible dialect.
    WebSocketCompatible,
    /// Server-sent events.
    Sse,
    /// Long polling.
    LongPoll,
}

impl Transport {
    /// Returns its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::WebSocketCompatible => "websocket_compatible",
            Self::Sse => "sse",
            Self::LongPoll => "long_poll",
        }
    }
}

/// What to do after a connection did not come about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try the next way now.
    Another,
    /// Wait, then try again.
    Wait,
    /// The token was refused: somebody must act.
    Refused,
}

/// Decides which way to take.
#[derive(Debug)]
pub(crate) struct Fallback {
    ways: &'static [Transport],
    at: usize,
    /// When a better way is tried again; there while one is not taken.
    better: Option<Instant>,
    patience: Patience,
    short: u32,
    refusals: u32,
}

/// How long a way that is not the best is kept before a better one is tried.
#[derive(Clone, Copy, Debug)]
struct Patience {
    first: Duration,
    now: Duration,
}

impl Fallback {
    /// Starts with the best way. `patience`: how long another one is kept before a better one is tried again.
    pub(crate) fn new(protocol: Protocol, patience: Duration) -> Self {
        let ways: &[Transport] = match protocol {
            Protocol::Auto => &[Transport::WebSocket, Transport::Sse, Transport::LongPoll],
            Protocol::Websocket => &[Transport::WebSocket],
            Protocol::WebsocketCompatible => &[Transport::WebSocketCompatible],
            Protocol::Sse => &[Transport::Sse],
            Protocol::LongPoll => &[Transport::LongPoll],
        };
        let patience = Patience { first: patience, now: patience };
        Self { ways, at: 0, better: None, patience, short: 0, refusals: 0 }
    }

    /// Returns the way to take now.
    pub(crate) fn current(&self) -> Transport {
        self.ways.get(self.at).copied().unwrap_or(Transport::WebSocket)
    }

    /// Begins to connect anew: with what worked, or with the best when it is time to try it again.
    pub(crate) fn begin(&mut self) {
        if self.better.is_some_and(|better| better <= Instant::now()) {
            self.at = 0;
            self.better = None;
        }
    }

    /// Notes that the way taken works.
    pub(crate) fn works(&mut self) {
        self.refusals = 0;
        if self.at == 0 {
            self.better = None;
            self.patience.now = self.patience.first;
        } else if self.better.is_none() {
            self.wait_for_better();
        }
    }

    /// Notes why no connection came about and says what to do.
    pub(crate) fn failed(&mut self, error: &ConnectError) -> Next {
        match error {
            // A receiver that refused the upgrade without a word refuses other ways with 401.
            ConnectError::Token(_) if self.at > 0 && self.refusals > 0 => {
                self.at = 0;
                Next::Wait
            }
            ConnectError::Token(_) => Next::Refused,
            ConnectError::Unregistered => {
                self.refusals += 1;
                if self.refusals.is_multiple_of(REFUSALS) { self.another() } else { Next::Wait }
            }
            ConnectError::Connect(..) | ConnectError::Tls(..) | ConnectError::Left(_) => {
                self.at = if self.better.is_some() { self.at } else { 0 };
                Next::Wait
            }
            ConnectError::Answer(..)
            | ConnectError::Wrong(_)
            | ConnectError::Timeout
            | ConnectError::Proxy(..)
            | ConnectError::Http(_)
            | ConnectError::Silent(_) => self.another(),
        }
    }

    /// Notes that a session ended, after how long, and whether it brought anything.
    pub(crate) fn ended(&mut self, lived: Duration, brought: bool) {
        if lived >= SHORT || brought {
            self.short = 0;
            return;
        }
        self.short += 1;
        if self.short >= SHORT_ONES && self.at + 1 < self.ways.len() {
            self.short = 0;
            self.at += 1;
            self.wait_for_better();
        }
    }

    /// Returns when a better way is to be tried, and which ones there are, the best first.
    pub(crate) fn better(&self) -> Option<(Instant, &'static [Transport])> {
        Some((self.better?, self.ways.get(..self.at).filter(|better| !better.is_empty())?))
    }

    /// Notes that a better way works.
    pub(crate) fn improved(&mut self, way: Transport) {
        self.at = self.ways.iter().position(|one| *one == way).unwrap_or(0);
        self.better = None;
        self.works();
    }

    /// Notes that no better way works yet.
    pub(crate) fn not_improved(&mut self) {
        self.patience.now = (self.patience.now * 2).min(LONGEST.max(self.patience.first));
        self.wait_for_better();
    }

    fn wait_for_better(&mut self) {
        self.better = Some(Instant::now() + self.patience.now);
    }

    fn another(&mut self) -> Next {
        if self.at + 1 < self.ways.len() {
            self.at += 1;
            Next::Another
        } else {
            // No way works: the next round begins with the best.
            self.at = 0;
            self.better = None;
            Next::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    const PATIENCE: Duration = Duration::from_secs(300);

    fn auto() -> Fallback {
        Fallback::new(Protocol::Auto, PATIENCE)
    }

    fn refused() -> ConnectError {
        ConnectError::Connect("a".to_owned(), std::io::ErrorKind::ConnectionRefused.into())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_the_way_leads_to_the_next_way_and_the_round_ends_in_a_wait() {
        let mut fallback = auto();
        for (error, next, then) in [
            (
                ConnectError::Answer(StatusCode::UPGRADE_REQUIRED, String::new()),
                Next::Another,
                Transport::Sse,
            ),
            (ConnectError::Silent(String::new()), Next::Another, Transport::LongPoll),
            (ConnectError::Timeout, Next::Wait, Transport::WebSocket),
        ] {
            assert_eq!((fallback.failed(&error), fallback.current()), (next, then));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_or_an_absent_receiver_is_no_reason_for_another_way() {
        let mut fallback = auto();
        assert_eq!(fallback.failed(&ConnectError::Token(String::new())), Next::Refused);
        assert_eq!(fallback.failed(&refused()), Next::Wait);
        assert_eq!(fallback.current(), Transport::WebSocket);
    }

    #[tokio::test(start_paused = true)]
    async fn what_worked_is_kept_and_the_better_tried_again_ever_more_rarely() {
        let mut fallback = auto();
        fallback.failed(&ConnectError::Timeout);
        fallback.works();
        let (at, ways) = fallback.better().unwrap();
        assert_eq!((at - Instant::now(), ways), (PATIENCE, &[Transport::WebSocket][..]));
        fallback.begin();
        assert_eq!(fallback.failed(&refused()), Next::Wait);
        assert_eq!(fallback.current(), Transport::Sse);
        fallback.not_improved();
        assert_eq!(fallback.better().unwrap().0 - Instant::now(), 2 * PATIENCE);
        tokio::time::advance(2 * PATIENCE).await;
        fallback.begin();
        assert_eq!((fallback.current(), fallback.better()), (Transport::WebSocket, None));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_are_cut_again_and_again_lead_to_the_next_way() {
        let mut fallback = auto();
        for brought in [false, false, true, false, false] {
            fallback.works();
            fallback.ended(Duration::from_secs(1), brought);
            assert_eq!(fallback.current(), Transport::WebSocket);
        }
        fallback.ended(Duration::from_secs(1), false);
        assert_eq!(fallback.current(), Transport::Sse);
        fallback.improved(Transport::WebSocket);
        assert_eq!((fallback.current(), fallback.better()), (Transport::WebSocket, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wordless_refusal_is_waited_out_with_a_look_at_another_way_now_and_then() {
        let mut fallback = auto();
        let nexts = [(); 3].map(|()| fallback.failed(&ConnectError::Unregistered));
        assert_eq!(nexts, [Next::Wait, Next::Wait, Next::Another]);
        assert_eq!(fallback.failed(&ConnectError::Token(String::new())), Next::Wait);
        assert_eq!(fallback.current(), Transport::WebSocket);
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_was_chosen_is_the_only_one() {
        let mut fallback = Fallback::new(Protocol::Sse, PATIENCE);
        assert_eq!(fallback.failed(&ConnectError::Timeout), Next::Wait);
        assert_eq!((fallback.current(), fallback.better()), (Transport::Sse, None));
    }
}
