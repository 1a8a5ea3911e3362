//! Who may subscribe to a channel.

use std::sync::Arc;

use engine::config::Secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::channel::Channel;
use crate::tables::{Channels, Found};

/// Why somebody may not subscribe.
pub(crate) enum Denied {
    /// The token is not this channel's, or there is no such channel; which of both is not told.
    Unauthorized,
    /// The token is right, and the channel is being opened.
    Away,
}

/// Returns the channel when the bearer token is its own. An unknown channel and a wrong token look the same, also in the
/// time they take.
///
/// # Errors
/// Why not.
pub(crate) fn authorize(
    channels: &Channels,
    name: &str,
    headers: &HeaderMap,
) -> Result<Arc<Channel>, Denied> {
    let presented = bearer(headers).unwrap_or_default();
    match channels.find(name) {
        Found::Running(channel) if channel.token.matches(presented) => Ok(channel),
        Found::Away(token) if token.matches(presented) => Err(Denied::Away),
        Found::Running(_) | Found::Away(_) => Err(Denied::Unauthorized),
        Found::Nothing => {
            let nobody = Secret::new("x".repeat(presented.len()));
            let _same_time = nobody.matches(presented);
            Err(Denied::Unauthorized)
        }
    }
}

/// Returns the token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}
