//! One connection of the simulated network: bytes that take their time, stand still, or never arrive.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use cloud::Hold;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes on their way at most, per direction: what the system's buffers would hold.
const CAPACITY: usize = 64 * 1024;

/// How often the far end is looked at by whoever does not read.
const LOOK: Duration = Duration::from_millis(200);

/// How long a receiver reads what nobody wants.
const DRAIN: Duration = Duration::from_secs(2);

/// Both ends of a connection and what is between.
#[derive(Debug)]
pub(crate) struct Wire(Mutex<State>);

#[derive(Debug)]
struct State {
    /// From the dialling end, and to it.
    ways: [Way; 2],
    /// Which end has been told that the connection is gone.
    broken: [bool; 2],
    /// Nothing arrives before.
    still_until: Instant,
    latency: Duration,
    random: StdRng,
}

/// One direction.
#[derive(Debug)]
struct Way {
    pieces: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    last: Instant,
    /// When the end of it arrives.
    ends: Option<Instant>,
    reader_gone: bool,
    wakers: Vec<Waker>,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    wire: Arc<Wire>,
    side: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// A second hold on one end.
#[derive(Debug)]
pub(crate) struct Held(Arc<Wire>, usize);

impl Wire {
    /// Makes a connection and returns its two ends, the dialling one first.
    pub(crate) fn new(latency: Duration, random: StdRng) -> (Arc<Self>, End, End) {
        let way = || Way {
            pieces: VecDeque::new(),
            bytes: 0,
            last: Instant::now(),
            ends: None,
            reader_gone: false,
            wakers: Vec::new(),
        };
        let (ways, still_until) = ([way(), way()], Instant::now());
        let state = State { ways, broken: [false; 2], still_until, latency, random };
        let wire = Arc::new(Self(Mutex::new(state)));
        let end = |side| End { wire: Arc::clone(&wire), side, sleep: None };
        let ends = (end(0), end(1));
        (wire, ends.0, ends.1)
    }

    /// Tells these ends that the connection is gone; what was on its way is lost.
    pub(crate) fn cut(&self, sides: &[usize]) {
        let mut state = self.lock();
        for side in sides {
            state.broken[*side] = true;
        }
        for way in &mut state.ways {
            way.pieces.clear();
            way.bytes = 0;
        }
        state.wake();
    }

    /// Lets nothing arrive before `until`.
    pub(crate) fn stand_still(&self, until: Instant) {
        let mut state = self.lock();
        state.still_until = until;
        state.wake();
    }

    /// Returns a second hold on the accepting end.
    pub(crate) fn hold(self: &Arc<Self>) -> Arc<Held> {
        Arc::new(Held(Arc::clone(self), 1))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn wake(&mut self) {
        self.ways.iter_mut().for_each(Way::wake);
    }

    /// Returns when what is written now arrives: after everything before it.
    fn arrival(&mut self, side: usize) -> Instant {
        let jitter = self.random.random_range(0..5_000);
        let late = if self.random.random_bool(0.01) { self.random.random_range(50..800) } else { 0 };
        let delay = self.latency + Duration::from_micros(jitter) + Duration::from_millis(late);
        let way = &mut self.ways[side];
        way.last = way.last.max(Instant::now() + delay);
        way.last
    }
}

impl Way {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}

fn gone(kind: ErrorKind) -> Poll<io::Result<()>> {
    Poll::Ready(Err(kind.into()))
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let End { wire, side, sleep } = self.get_mut();
        loop {
            let arrives = {
                let mut state = wire.lock();
                if state.broken[*side] {
                    return gone(ErrorKind::ConnectionReset);
                }
                let still = state.still_until;
                let way = &mut state.ways[1 - *side];
                way.wait(cx);
                let Some(at) = way.pieces.front().map(|(at, _)| *at).or(way.ends) else {
                    return Poll::Pending;
                };
                let at = at.max(still);
                if at <= Instant::now() {
                    if let Some((_, piece)) = way.pieces.front_mut() {
                        let taken = piece.len().min(buf.remaining());
                        buf.put_slice(&piece[..taken]);
                        piece.advance(taken);
                        way.bytes -= taken;
                        if way.pieces.front().is_some_and(|(_, piece)| piece.is_empty()) {
                            way.pieces.pop_front();
                        }
                        way.wake();
                    }
                    return Poll::Ready(Ok(()));
                }
                at
            };
            if sleep.as_ref().is_none_or(|sleep| sleep.deadline() != arrives) {
                *sleep = Some(Box::pin(tokio::time::sleep_until(arrives)));
            }
            match sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => *sleep = None,
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.wire.lock();
        let side = self.side;
        if state.broken[side] || state.ways[side].reader_gone || state.ways[side].ends.is_some() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - state.ways[side].bytes;
        if room == 0 {
            state.ways[side].wait(cx);
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        let at = state.arrival(side);
        let way = &mut state.ways[side];
        way.bytes += taken;
        way.pieces.push_back((at, Bytes::copy_from_slice(&bytes[..taken])));
        way.wake();
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.wire.lock();
        if state.ways[self.side].ends.is_none() {
            let at = state.arrival(self.side);
            state.ways[self.side].ends = Some(at);
            state.ways[self.side].wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.wire.lock();
        if state.broken[self.side] {
            // The other end hears nothing of one that has no connection any more.
            return;
        }
        let at = state.arrival(self.side);
        state.ways[self.side].ends.get_or_insert(at);
        state.ways[1 - self.side].reader_gone = true;
        state.wake();
    }
}

impl Hold for Held {
    fn left(&self) -> BoxFuture<'_, ()> {
        let left = std::future::poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.broken[self.1] || state.ways[1 - self.1].ends.is_some_and(|at| at <= Instant::now()) {
                return Poll::Ready(());
            }
            state.ways[1 - self.1].wait(cx);
            Poll::Pending
        });
        let mut left = Box::pin(left);
        // The end arrives later than it is sent, so it is looked at again and again.
        async move { while tokio::time::timeout(LOOK, &mut left).await.is_err() {} }.boxed()
    }

    fn cut(&self) {
        self.0.cut(&[0, 1]);
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        async move { drop(tokio::time::timeout(DRAIN, self.left()).await) }.boxed()
    }
}
