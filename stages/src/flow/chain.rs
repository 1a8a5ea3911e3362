//! The stage that sends each webhook to several destinations.
//!
//! It opens an account per link for every webhook it takes, and settles the account it came from once every link that
//! matters has reported. The parts: [`job`] is one webhook's way through the links; [`memory`] knows what was confirmed
//! of webhooks that were given back; [`running`] is the loop that joins them.

mod job;
mod memory;
mod running;

use std::num::NonZeroUsize;
use std::time::Duration;

use engine::config::{Faults, Node};
use engine::kind::{Build, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::ledger::Window;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use job::Rules;
use running::Running;

use crate::flow::window::{most_bytes, most_webhooks};

/// The most links of one chain.
const MOST: usize = 20;

/// Send each webhook to several destinations, the links: link 1 is behind port 1, link 2 behind port 2, and so on.
///
/// A webhook counts as delivered once every required link confirmed it. Within one delivery a link that confirmed is not
/// called again. A required link that rejects the webhook parks it, with a reason that names the link; one that cannot
/// take it now gives it back, and the next delivery asks only the links that are not known to have confirmed. The failure
/// of a link that is not required is counted, logged, and holds nothing up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chain {
    /// The links in the order of their ports: 1 to 20.
    links: Vec<Link>,
    /// Whether links run one after the other or all at once.
    #[serde(default)]
    execution: Execution,
    /// Run the links behind a required one that failed. Otherwise they wait for the next delivery. When all run at once:
    /// wait for the others before the failure is reported.
    #[serde(default = "yes")]
    continue_on_error: bool,
    /// Seconds that the links may take together when all run at once, 86,400 at most. One that has not confirmed by then
    /// counts as failed for this delivery; its late confirmation is remembered for the next.
    #[serde(default)]
    timeout: Seconds,
    /// Webhooks in progress at a time. Not above the window of what feeds it.
    #[serde(default = "most_webhooks")]
    max_in_flight: NonZeroUsize,
    /// Bytes in progress at a time. A larger webhook passes alone.
    #[serde(default = "most_bytes")]
    max_in_flight_bytes: NonZeroUsize,
}

/// One link.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct Link {
    /// What reasons, logs and metrics call it, after its number.
    name: String,
    /// Whether the webhook counts as delivered only when this link confirmed it.
    #[serde(default = "yes")]
    required: bool,
}

/// How links run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Execution {
    /// One after the other.
    #[default]
    Sequential,
    /// All at once.
    Parallel,
}

/// A wait, in seconds.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(inline)]
struct Seconds(#[schemars(with = "f64")] Duration);

impl Default for Seconds {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl From<Seconds> for f64 {
    fn from(Seconds(wait): Seconds) -> Self {
        wait.as_secs_f64()
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if seconds > 0.0 && seconds <= 86_400.0 {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err("expected seconds above 0, 86400 at most")
        }
    }
}

fn yes() -> bool {
    true
}

impl Build for Chain {
    const NAME: &'static str = "chain";
    const ROLE: Role = Role::Flow;

    fn check(&self, at: &Node, faults: &mut Faults) {
        if self.links.is_empty() || self.links.len() > MOST {
            faults.add(at.at(), format!("a chain has 1 to {MOST} links"), None);
        }
    }

    fn links(&self) -> u16 {
        u16::try_from(self.links.len()).unwrap_or(u16::MAX)
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        Ok(Box::new(Chaining { settings: self, cx: cx.clone() }))
    }
}

/// A chain that is ready to run.
struct Chaining {
    settings: Chain,
    cx: Context,
}

impl Stage for Chaining {
    fn run(self: Box<Self>, mut wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let input = wiring.input.take().ok_or_else(|| StageError("a chain needs an input".to_owned()))?;
            if wiring.links.len() != self.settings.links.len() {
                return Err(StageError("a chain needs something behind each link".to_owned()));
            }
            let (window, rules) = (self.settings.window(), self.settings.rules());
            let running = Running::new(&self.cx, rules, window, wiring.links, wiring.exhausted.take());
            Box::pin(running.run(input, self.cx.stop)).await
        })
    }
}

impl Chain {
    fn window(&self) -> Window {
        Window { events: self.max_in_flight.get(), bytes: self.max_in_flight_bytes.get() }
    }

    fn rules(self) -> Rules {
        let timeout = match self.execution {
            Execution::Sequential => None,
            Execution::Parallel => Some(self.timeout.0),
        };
        Rules { links: self.links, timeout, continue_on_error: self.continue_on_error }
    }
}

#[cfg(test)]
mod tests;
