//! The native dialect: binary WebSocket messages, one frame each.
//!
//! A frame is a type byte and fields, big-endian. Texts are `len u16 │ UTF-8`; lists are `count u32 │ items`; times are
//! microseconds since 1970 with 0 for none; delays are milliseconds with `u64::MAX` for none. A `Deliver` carries each
//! webhook as the record that `engine::record` reads, beside the session's own number for it (`seq`), the channel's
//! sequence, the attempt and the expiry.
//!
//! Decoding never trusts a length, and a range is only two numbers: whoever applies one walks what is outstanding and not
//! the range.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use engine::ack::{Cause, Outcome, Reason};
use engine::ledger::Window;
use engine::record;
use engine::webhook::{Id, Webhook, from_micros, to_micros};

use super::get::Fields;

/// One message of the native dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The connector's first frame.
    Hello {
        /// How much may be unsettled.
        window: Window,
        /// The connector's name; may be empty.
        connector: ByteString,
        /// Whether it only watches.
        tap: bool,
    },
    /// The receiver's first frame.
    Welcome {
        /// Names the session in logs and status.
        session: ByteString,
        /// How often each end sends at least something.
        heartbeat: Duration,
        /// How long a webhook may be in flight without a sign of progress.
        ack_deadline: Duration,
        /// No frame is larger, in bytes.
        largest: u32,
    },
    /// Webhooks for the connector.
    Deliver(Vec<Delivery>),
    /// What became of webhooks.
    Settle(Settle),
    /// Webhooks that are still being worked on.
    Progress(Vec<RangeInclusive<u64>>),
    /// What a tap missed.
    Gap {
        /// How many.
        missed: u64,
        /// The first missed sequence.
        first: u64,
        /// The last missed sequence.
        last: u64,
    },
    /// The connector's new window; 0 events: finish, I am leaving.
    Window(Window),
    /// A sign of life that wants an answer.
    Ping(u64),
    /// The answer to a ping, with its number.
    Pong(u64),
    /// The last frame of an end that leaves, and why.
    Bye(ByteString),
}

/// One webhook on its way to a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The session's number for it, rising by one.
    pub seq: u64,
    /// The webhook; its transit holds sequence, attempt and expiry. The channel is the session's.
    pub webhook: Webhook,
}

/// What became of webhooks, by the session's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settle {
    /// Delivered.
    pub delivered: Vec<RangeInclusive<u64>>,
    /// Given back.
    pub returned: Vec<Returned>,
    /// Rejected for good, each with the reason.
    pub rejected: Vec<(u64, Reason)>,
    /// Webhooks of an earlier session, by message id. Only [`Outcome::Delivered`], `Abandoned` and `Failed` travel.
    pub earlier: Vec<(Id, Outcome)>,
}

/// A webhook given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The session's number for it.
    pub seq: u64,
    /// Why.
    pub cause: Cause,
    /// How long to wait; none leaves it to the receiver.
    pub delay: Option<Duration>,
    /// Why, in words; may be empty.
    pub reason: Reason,
}

/// A message that is not a frame.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before its fields do.
    #[error("the frame is cut short")]
    Short,
    /// Bytes follow its last field.
    #[error("the frame has bytes after its last field")]
    Long,
    /// A text is not UTF-8.
    #[error("a text in the frame is not UTF-8")]
    Text,
    /// The type or a choice within is unknown: a later version's, perhaps.
    #[error("unknown {0} {1}")]
    Unknown(&'static str, u8),
    /// A range ends before it begins.
    #[error("a range in the frame ends before it begins")]
    Range,
    /// A record cannot be read.
    #[error("a record in the frame: {0}")]
    Record(#[from] record::Damaged),
}

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const DELIVER: u8 = 3;
const SETTLE: u8 = 4;
const PROGRESS: u8 = 5;
const GAP: u8 = 6;
const WINDOW: u8 = 7;
const PING: u8 = 8;
const PONG: u8 = 9;
const BYE: u8 = 10;

/// The bytes that a [`Delivery`] takes beside its record.
pub const DELIVERY_OVERHEAD: usize = 8 + 8 + 4 + 8;

/// The bytes of a `Deliver` frame beside its deliveries.
pub const DELIVER_OVERHEAD: usize = 1 + 4;

impl Frame {
    /// Encodes the frame as one message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Hello { window, connector, tap } => {
                out.put_u8(HELLO);
                put_window(*window, &mut out);
                put_text(connector, &mut out);
                out.put_u8(u8::from(*tap));
            }
            Self::Welcome { session, heartbeat, ack_deadline, largest } => {
                out.put_u8(WELCOME);
                put_text(session, &mut out);
                out.put_u64(to_millis(*heartbeat));
                out.put_u64(to_millis(*ack_deadline));
                out.put_u32(*largest);
            }
            Self::Deliver(deliveries) => {
                let len = deliveries
                    .iter()
                    .map(|d| DELIVERY_OVERHEAD + record::encoded_len(&d.webhook))
                    .sum::<usize>();
                out.reserve(DELIVER_OVERHEAD + len);
                out.put_u8(DELIVER);
                put_list(deliveries, &mut out, put_delivery);
            }
            Self::Settle(settle) => {
                out.put_u8(SETTLE);
                put_settle(settle, &mut out);
            }
            Self::Progress(ranges) => {
                out.put_u8(PROGRESS);
                put_list(ranges, &mut out, put_range);
            }
            Self::Gap { missed, first, last } => {
                out.put_u8(GAP);
                for n in [missed, first, last] {
                    out.put_u64(*n);
                }
            }
            Self::Window(window) => {
                out.put_u8(WINDOW);
                put_window(*window, &mut out);
            }
            Self::Ping(n) => {
                out.put_u8(PING);
                out.put_u64(*n);
            }
            Self::Pong(n) => {
                out.put_u8(PONG);
                out.put_u64(*n);
            }
            Self::Bye(reason) => {
                out.put_u8(BYE);
                put_text(reason, &mut out);
            }
        }
        out.freeze()
    }

    /// Reads one message. Webhooks share its bytes.
    ///
    /// # Errors
    /// Says what does not fit; a peer's malformed message is counted and ignored, the connection stays.
    pub fn decode(message: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields(message);
        let frame = match fields.u8()? {
            HELLO => Self::Hello {
                window: get_window(&mut fields)?,
                connector: fields.text()?,
                tap: fields.u8()? != 0,
            },
            WELCOME => Self::Welcome {
                session: fields.text()?,
                heartbeat: Duration::from_millis(fields.u64()?),
                ack_deadline: Duration::from_millis(fields.u64()?),
                largest: fields.u32()?,
            },
            DELIVER => Self::Deliver(fields.list(DELIVERY_OVERHEAD + record::OVERHEAD, get_delivery)?),
            SETTLE => Self::Settle(get_settle(&mut fields)?),
            PROGRESS => Self::Progress(fields.list(16, get_range)?),
            GAP => Self::Gap { missed: fields.u64()?, first: fields.u64()?, last: fields.u64()? },
            WINDOW => Self::Window(get_window(&mut fields)?),
            PING => Self::Ping(fields.u64()?),
            PONG => Self::Pong(fields.u64()?),
            BYE => Self::Bye(fields.text()?),
            other => return Err(Malformed::Unknown("frame type", other)),
        };
        fields.end()?;
        Ok(frame)
    }
}

impl Settle {
    /// Returns true when there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty()
            && self.returned.is_empty()
            && self.rejected.is_empty()
            && self.earlier.is_empty()
    }
}

fn put_delivery(delivery: &Delivery, out: &mut BytesMut) {
    let transit = &delivery.webhook.transit;
    out.put_u64(delivery.seq);
    out.put_u64(transit.sequence);
    out.put_u32(transit.attempt);
    out.put_u64(transit.expires.map_or(0, to_micros));
    record::encode(&delivery.webhook, out);
}

fn get_delivery(fields: &mut Fields) -> Result<Delivery, Malformed> {
    let seq = fields.u64()?;
    let (sequence, attempt) = (fields.u64()?, fields.u32()?);
    let expires = get_time(fields.u64()?);
    let mut webhook = record::decode(&mut fields.0)?;
    webhook.transit.sequence = sequence;
    webhook.transit.attempt = attempt;
    webhook.transit.expires = expires;
    Ok(Delivery { seq, webhook })
}

fn get_time(micros: u64) -> Option<SystemTime> {
    (micros > 0).then(|| from_micros(micros))
}

fn put_settle(settle: &Settle, out: &mut BytesMut) {
    put_list(&settle.delivered, out, put_range);
    put_list(&settle.returned, out, |returned, out| {
        out.put_u64(returned.seq);
        put_return(returned.cause, returned.delay, &returned.reason, out);
    });
    put_list(&settle.rejected, out, |(seq, reason), out| {
        out.put_u64(*seq);
        put_text(reason.as_str(), out);
    });
    put_list(&settle.earlier, out, |(id, outcome), out| {
        out.put_slice(&id.0);
        put_outcome(outcome, out);
    });
}

fn get_settle(fields: &mut Fields) -> Result<Settle, Malformed> {
    Ok(Settle {
        delivered: fields.list(16, get_range)?,
        returned: fields.list(19, |fields| {
            let seq = fields.u64()?;
            let (cause, delay, reason) = get_return(fields)?;
            Ok(Returned { seq, cause, delay, reason })
        })?,
        rejected: fields.list(10, |fields| Ok((fields.u64()?, Reason::new(&fields.text()?))))?,
        earlier: fields.list(17, |fields| {
            let mut id = [0; 16];
            id.copy_from_slice(&fields.bytes(16)?);
            Ok((Id(id), get_outcome(fields)?))
        })?,
    })
}

fn put_outcome(outcome: &Outcome, out: &mut BytesMut) {
    match outcome {
        Outcome::Delivered => out.put_u8(0),
        Outcome::Abandoned { delay, cause, reason } => {
            out.put_u8(1);
            put_return(*cause, *delay, reason.as_ref().unwrap_or(&Reason::new("")), out);
        }
        Outcome::Failed { reason } => {
            out.put_u8(2);
            put_text(reason.as_str(), out);
        }
        // Never behind a buffer; a peer reads it as given back.
        Outcome::Refused { .. } => {
            out.put_u8(1);
            put_return(Cause::Lost, None, &Reason::new(""), out);
        }
    }
}

fn get_outcome(fields: &mut Fields) -> Result<Outcome, Malformed> {
    match fields.u8()? {
        0 => Ok(Outcome::Delivered),
        1 => {
            let (cause, delay, reason) = get_return(fields)?;
            Ok(Outcome::Abandoned { delay, cause, reason: (!reason.as_str().is_empty()).then_some(reason) })
        }
        2 => Ok(Outcome::Failed { reason: Reason::new(&fields.text()?) }),
        other => Err(Malformed::Unknown("outcome", other)),
    }
}

fn put_return(cause: Cause, delay: Option<Duration>, reason: &Reason, out: &mut BytesMut) {
    out.put_u8(match cause {
        Cause::Lost => 0,
        Cause::Unreachable => 1,
        Cause::Failed => 2,
    });
    out.put_u64(delay.map_or(u64::MAX, to_millis));
    put_text(reason.as_str(), out);
}

fn get_return(fields: &mut Fields) -> Result<(Cause, Option<Duration>, Reason), Malformed> {
    let cause = match fields.u8()? {
        0 => Cause::Lost,
        1 => Cause::Unreachable,
        2 => Cause::Failed,
        other => return Err(Malformed::Unknown("cause", other)),
    };
    let delay = Some(fields.u64()?).filter(|ms| *ms != u64::MAX).map(Duration::from_millis);
    Ok((cause, delay, Reason::new(&fields.text()?)))
}

fn put_window(window: Window, out: &mut BytesMut) {
    out.put_u32(u32::try_from(window.events).unwrap_or(u32::MAX));
    out.put_u64(u64::try_from(window.bytes).unwrap_or(u64::MAX));
}

fn get_window(fields: &mut Fields) -> Result<Window, Malformed> {
    let events = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
    Ok(Window { events, bytes: usize::try_from(fields.u64()?).unwrap_or(usize::MAX) })
}

fn put_range(range: &RangeInclusive<u64>, out: &mut BytesMut) {
    out.put_u64(*range.start());
    out.put_u64(*range.end());
}

fn get_range(fields: &mut Fields) -> Result<RangeInclusive<u64>, Malformed> {
    let (first, last) = (fields.u64()?, fields.u64()?);
    if first > last { Err(Malformed::Range) } else { Ok(first..=last) }
}

fn put_list<T>(items: &[T], out: &mut BytesMut, mut put: impl FnMut(&T, &mut BytesMut)) {
    out.put_u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
    items.iter().for_each(|item| put(item, out));
}

/// Texts in frames are short; a longer one is cut at a character.
fn put_text(text: &str, out: &mut BytesMut) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_u16(u16::try_from(end).unwrap_or(0));
    out.put_slice(&text.as_bytes()[..end]);
}

fn to_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests;
