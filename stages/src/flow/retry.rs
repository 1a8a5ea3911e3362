//! The stage that tries again.
//!
//! It opens an account for every webhook it takes and settles the account it came from by what became of the last try.
//! The parts: [`policy`] says what an outcome means and how long to wait; [`route`] knows whether the destination can be
//! reached; [`held`] keeps what waits; [`running`] is the loop that joins them.

mod held;
mod policy;
mod route;
mod running;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use engine::backoff::Backoff;
use engine::config::{Faults, Node};
use engine::kind::{Build, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::ledger::Window;
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use policy::{ErrorName, Policy, Status};
use running::Running;

use crate::flow::window::{most_bytes, most_webhooks};

/// The shortest bound of a first wait. Without it a delay of zero would call an unreachable destination without pause.
const SHORTEST: Duration = Duration::from_millis(100);

/// Try again what the destination did not take, waiting longer each time.
///
/// A webhook counts as delivered once the destination confirmed it. What the destination refuses for now is tried
/// `max_attempts` times per delivery and then goes back to the buffer. An unreachable destination is tried for ever: the
/// route pauses when no connection comes about, or when three different webhooks in a row found it unreachable, and one
/// webhook at a time looks whether it is back. Waits are drawn evenly between zero and their bound; a longer
/// `Retry-After` is honoured.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Try again here. Otherwise each delivery is one try, and the buffer decides about the next.
    #[serde(default = "yes")]
    enabled: bool,
    /// Tries per delivery, the first one included, of a webhook that the destination refuses for now.
    #[serde(default = "three")]
    max_attempts: NonZeroU32,
    /// Seconds: the bound of the first wait. 3,600 at most.
    #[serde(default = "one_second")]
    initial_delay: Seconds,
    /// Seconds: the bound that no wait exceeds, unless the destination asks for more. 3,600 at most; at least
    /// `initial_delay`.
    #[serde(default = "one_minute")]
    max_delay: Seconds,
    /// What the bound is multiplied with after each try: 0.1 to 10. Below 1 it stays as it is.
    #[serde(default = "two")]
    backoff_multiplier: Multiplier,
    /// Try an unreachable destination for ever. Otherwise such a try counts towards `max_attempts` like any other, and the
    /// webhook goes back to whoever sent it after the last.
    #[serde(default = "yes")]
    wait_for_unreachable: bool,
    /// HTTP statuses that mean: refused for now. They are tried `max_attempts` times per delivery.
    #[serde(default)]
    transient: Vec<Status>,
    /// HTTP statuses that mean: refused for good. They go to the dead letters at once.
    #[serde(default)]
    permanent: Vec<Status>,
    /// HTTP statuses that mean: not to be reached, or asked to wait. They are tried for ever.
    #[serde(default)]
    unreachable: Vec<Status>,
    /// Error names of the Python product that are worth another try, beside those that are anyway.
    #[serde(default)]
    retryable_errors: Vec<ErrorName>,
    /// Error names of the Python product that are not worth another try. An unreachable destination always is.
    #[serde(default)]
    non_retryable_errors: Vec<ErrorName>,
    /// Webhooks that are out or wait here at a time; at most half of them wait. Not above the window of what feeds it.
    #[serde(default = "most_webhooks")]
    max_in_flight: NonZeroUsize,
    /// Bytes that are out or wait here at a time; at most half of them wait. A larger webhook passes alone.
    #[serde(default = "most_bytes")]
    max_in_flight_bytes: NonZeroUsize,
}

/// A wait of up to an hour.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(inline, extend("minimum" = 0, "maximum" = 3600))]
struct Seconds(#[schemars(with = "f64")] Duration);

impl From<Seconds> for f64 {
    fn from(Seconds(wait): Seconds) -> Self {
        wait.as_secs_f64()
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if (0.0..=3600.0).contains(&seconds) {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err("expected seconds from 0 to 3600")
        }
    }
}

/// How fast waits grow.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(inline, extend("minimum" = 0.1, "maximum" = 10))]
struct Multiplier(f64);

impl From<Multiplier> for f64 {
    fn from(Multiplier(factor): Multiplier) -> Self {
        factor
    }
}

impl TryFrom<f64> for Multiplier {
    type Error = &'static str;

    fn try_from(factor: f64) -> Result<Self, Self::Error> {
        if (0.1..=10.0).contains(&factor) {
            Ok(Self(factor))
        } else {
            Err("expected a number from 0.1 to 10")
        }
    }
}

fn yes() -> bool {
    true
}

fn three() -> NonZeroU32 {
    const { NonZeroU32::new(3).expect("three is not zero") }
}

fn one_second() -> Seconds {
    Seconds(Duration::from_secs(1))
}

fn one_minute() -> Seconds {
    Seconds(Duration::from_secs(60))
}

fn two() -> Multiplier {
    Multiplier(2.0)
}

impl Build for Retry {
    const NAME: &'static str = "retry";
    const ROLE: Role = Role::Flow;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let lists = [
            ("transient", &self.transient),
            ("permanent", &self.permanent),
            ("unreachable", &self.unreachable),
        ];
        let mut seen = BTreeMap::new();
        for (name, list) in lists {
            for (index, Status(status)) in list.iter().enumerate() {
                let first = *seen.entry(*status).or_insert(name);
                if first != name {
                    let place = at.at().child(name).index(index);
                    faults.add(&place, format!("{status} stands in `{first}` too"), None);
                }
            }
        }
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        Ok(Box::new(Retrying { settings: self, random: cx.random(), cx: cx.clone() }))
    }
}

/// A retry that is ready to run.
struct Retrying {
    settings: Retry,
    random: StdRng,
    cx: Context,
}

impl Stage for Retrying {
    fn run(self: Box<Self>, mut wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let input = wiring.input.take().ok_or_else(|| StageError("a retry needs an input".to_owned()))?;
            let out =
                wiring.out.take().ok_or_else(|| StageError("a retry needs a destination".to_owned()))?;
            let (window, policy) = (self.settings.window(), self.settings.policy());
            let running = Running::new(&self.cx, policy, window, self.random, (out, wiring.exhausted.take()));
            Box::pin(running.run(input, self.cx.stop)).await
        })
    }
}

impl Retry {
    fn window(&self) -> Window {
        Window { events: self.max_in_flight.get(), bytes: self.max_in_flight_bytes.get() }
    }

    fn policy(&self) -> Policy {
        let initial = self.initial_delay.0.max(SHORTEST);
        let backoff =
            Backoff { initial, max: self.max_delay.0.max(initial), multiplier: self.backoff_multiplier.0 };
        let statuses = |list: &[Status], errors: &[ErrorName]| {
            list.iter()
                .map(|Status(status)| *status)
                .chain(errors.iter().flat_map(ErrorName::statuses))
                .collect()
        };
        Policy {
            enabled: self.enabled,
            wait_for_unreachable: self.wait_for_unreachable,
            max_attempts: self.max_attempts.get(),
            backoff,
            transient: statuses(&self.transient, &self.retryable_errors),
            permanent: statuses(&self.permanent, &self.non_retryable_errors),
            unreachable: statuses(&self.unreachable, &[]),
        }
    }
}

#[cfg(test)]
mod tests;
