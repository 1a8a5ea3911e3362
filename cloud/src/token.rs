//! Who may subscribe to a channel.

use std::borrow::Cow;
use std::sync::Arc;

use engine::config::Secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::channel::Channel;
use crate::listener::Shared;
use crate::tables::Found;

/// Why somebody may not subscribe.
pub(crate) enum Denied {
    /// The token is not this channel's, or there is no such channel; which of both is not told.
    Unauthorized,
    /// The token is right, and the channel is being opened.
    Away,
}

/// Returns the channel when the token is its own. An unknown channel and a wrong token look the same, also in the time they
/// take.
///
/// # Errors
/// Why not.
pub(crate) fn authorize(
    shared: &Shared,
    name: &str,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Channel>, Denied> {
    let presented = presented(shared, headers, query);
    match shared.channels.find(name) {
        Found::Running(channel) if channel.token.matches(&presented) => Ok(channel),
        Found::Away(token) if token.matches(&presented) => Err(Denied::Away),
        Found::Running(_) | Found::Away(_) => Err(Denied::Unauthorized),
        Found::Nothing => {
            let nobody = Secret::new("x".repeat(presented.len()));
            let _same_time = nobody.matches(&presented);
            Err(Denied::Unauthorized)
        }
    }
}

/// Returns every channel that the token opens; at least one.
///
/// # Errors
/// There is none.
pub(crate) fn opened(
    shared: &Shared,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Vec<Arc<Channel>>, Denied> {
    let presented = presented(shared, headers, query);
    let mut all = shared.channels.all();
    all.retain(|channel| channel.token.matches(&presented));
    if !all.is_empty() {
        return Ok(all);
    }
    let away = opens_one_away(shared, headers, query);
    Err(if away { Denied::Away } else { Denied::Unauthorized })
}

/// Tells whether the token opens a channel that does not run at the moment.
pub(crate) fn opens_one_away(shared: &Shared, headers: &HeaderMap, query: Option<&str>) -> bool {
    let presented = presented(shared, headers, query);
    shared.channels.away().iter().any(|token| token.matches(&presented))
}

/// Returns the token that a connector presents: `Authorization` with or without `Bearer`, else `?token=` where the receiver
/// allows it. Empty when there is none.
pub(crate) fn presented<'r>(shared: &Shared, headers: &'r HeaderMap, query: Option<&str>) -> Cow<'r, [u8]> {
    let value = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let token = bearer(headers).unwrap_or(value.trim_ascii());
    if !token.is_empty() || !shared.settings.allow_query_token {
        return token.into();
    }
    let found = engine::query::pairs(query.unwrap_or_default()).find(|(name, _)| name == "token");
    found.map(|(_, token)| token.into_bytes()).unwrap_or_default().into()
}

/// Returns the token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}
