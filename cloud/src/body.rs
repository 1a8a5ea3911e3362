//! The bodies of answers: whole, streamed, or leased.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::answer::Answer;
use crate::holder::Holder;

/// How much of a leased body is given to the connection at a time.
const PIECE: usize = 64 * 1024;

/// Any answer.
pub(crate) type Reply = Response<Body>;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// It is there whole.
    Whole(Full<Bytes>),
    /// It comes in pieces, for as long as somebody has any.
    Pieces(mpsc::Receiver<Bytes>),
    /// It is there whole and carries webhooks.
    Leased(Leased),
}

/// The answer to a poll. When its connection ends before all of it was taken, its webhooks return to the channel at once.
#[derive(Debug)]
pub(crate) struct Leased {
    rest: Bytes,
    holder: Arc<Holder>,
    seqs: Vec<u64>,
}

impl Leased {
    /// Makes a body that carries the webhooks `seqs` of `holder`.
    pub(crate) fn new(text: impl Into<Bytes>, holder: Arc<Holder>, seqs: Vec<u64>) -> Self {
        Self { rest: text.into(), holder, seqs }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        if self.rest.is_empty() {
            // From here on it is a lease, which ends at the ACK deadline.
            self.seqs.clear();
        }
        Some(piece)
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.holder.release(&self.seqs);
    }
}

/// Gives an answer the type of all answers.
pub(crate) fn whole(answer: Answer) -> Reply {
    answer.map(Body::Whole)
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(full) => Pin::new(full).poll_frame(cx),
            Self::Pieces(pieces) => {
                Poll::Ready(ready!(pieces.poll_recv(cx)).map(|piece| Ok(Frame::data(piece))))
            }
            Self::Leased(leased) => Poll::Ready(leased.next().map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Pieces(_) => false,
            Self::Leased(leased) => leased.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
            Self::Leased(leased) => SizeHint::with_exact(leased.rest.len() as u64),
        }
    }
}
