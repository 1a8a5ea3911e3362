//! The windows of clients, of which there are not too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;

/// One part of so many is freed when the table is full, so that this is rare.
const FREED: usize = 8;

/// The windows of clients; none stands for all of them together.
#[derive(Debug, Default)]
pub(super) struct Clients(HashMap<Option<IpAddr>, Window>);

impl Clients {
    /// Returns the window of a client, and how many others that still counted had to be forgotten for it.
    pub(super) fn window(
        &mut self,
        client: Option<IpAddr>,
        now: Instant,
        length: Duration,
        most: usize,
    ) -> (&mut Window, u64) {
        let is_full = self.0.len() >= most && !self.0.contains_key(&client);
        let forgotten = if is_full { self.make_room(now, length, most) } else { 0 };
        (self.0.entry(client).or_default(), forgotten)
    }

    /// Forgets clients that do not count any more; when most still do, those that were quiet longest too.
    fn make_room(&mut self, now: Instant, length: Duration, most: usize) -> u64 {
        self.0.retain(|_, window| window.last(now, length).is_some());
        let excess = self.0.len().saturating_sub(most - most.div_ceil(FREED));
        if excess == 0 {
            return 0;
        }
        let mut times: Vec<_> = self.0.values().filter_map(|window| window.last(now, length)).collect();
        let (_, newest, _) = times.select_nth_unstable(excess - 1);
        let (newest, before) = (*newest, self.0.len());
        let mut left = excess;
        self.0.retain(|_, window| {
            let goes = left > 0 && window.last(now, length).is_some_and(|last| last <= newest);
            left -= usize::from(goes);
            !goes
        });
        u64::try_from(before - self.0.len()).unwrap_or(u64::MAX)
    }
}
