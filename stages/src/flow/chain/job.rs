//! One webhook's way through the links.

use std::time::Duration;

use engine::ack::{Ack, Cause, Outcome, Reason};
use engine::webhook::Webhook;
use tokio::time::Instant;

use super::Link;

/// What users decide about a chain.
pub(super) struct Rules {
    /// The links in order.
    pub(super) links: Vec<Link>,
    /// How long all links together may take when they run at once; none when they run one after the other.
    pub(super) timeout: Option<Duration>,
    /// Whether links behind a required one that failed still run.
    pub(super) continue_on_error: bool,
}

/// Where a webhook stands with one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not sent in this delivery.
    Next,
    /// Sent and not reported.
    Out,
    /// The destination confirmed.
    Confirmed,
    /// The destination did not take it.
    Failed(Outcome),
}

/// A webhook in progress, with the duty to report upstream.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) webhook: Webhook,
    pub(super) ack: Ack,
    pub(super) links: Vec<State>,
    /// When links that are out count as failed.
    pub(super) deadline: Option<Instant>,
}

/// What is to be done next for a webhook.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send it to this link.
    Send(usize),
    /// Wait for reports.
    Wait,
    /// Report upstream.
    Done,
}

impl Rules {
    /// Decides what follows for a webhook that stands with its links like this.
    pub(super) fn step(&self, links: &[State]) -> Step {
        let failed = |(state, link): (&State, &Link)| link.required && matches!(state, State::Failed(_));
        let stops = !self.continue_on_error && links.iter().zip(&self.links).any(failed);
        let next = links.iter().position(|state| *state == State::Next).filter(|_| !stops);
        let is_out = links.contains(&State::Out);
        match next {
            Some(link) if self.timeout.is_some() || !is_out => Step::Send(link),
            // A failure that is to be reported at once waits for nobody.
            None if !is_out || stops => Step::Done,
            Some(_) | None => Step::Wait,
        }
    }

    /// Returns what becomes of a webhook whose links stand like this: the worst of the required ones decides.
    pub(super) fn verdict(&self, links: &[State]) -> Outcome {
        let mut worst = Outcome::Delivered;
        for (at, (state, link)) in links.iter().zip(&self.links).enumerate() {
            if link.required {
                worst = worse(worst, self.outcome(at, state));
            }
        }
        worst
    }

    /// Returns what one link did to the webhook, with a reason that names the link.
    fn outcome(&self, at: usize, state: &State) -> Outcome {
        let named = |why: &str| Reason::new(&format!("{}: {why}", self.name(at)));
        match state {
            State::Confirmed => Outcome::Delivered,
            // The chain stopped before it, because of a failure that is worse.
            State::Next => Outcome::lost(),
            // No answer is no judgement about the webhook: it counts against its TTL only.
            State::Out => {
                let (cause, reason) = (Cause::Unreachable, Some(named(&self.overdue())));
                Outcome::Abandoned { delay: None, cause, reason }
            }
            State::Failed(Outcome::Abandoned { delay, cause, reason }) => {
                let why = reason.as_ref().map_or(cause.as_str(), Reason::as_str);
                Outcome::Abandoned { delay: *delay, cause: *cause, reason: Some(named(why)) }
            }
            State::Failed(Outcome::Failed { reason }) => Outcome::Failed { reason: named(reason.as_str()) },
            State::Failed(Outcome::Refused { answer }) => Outcome::Failed { reason: named(answer.detail) },
            State::Failed(Outcome::Delivered) => Outcome::Delivered,
        }
    }

    /// Returns what is said about a link that took too long.
    pub(super) fn overdue(&self) -> String {
        format!("no confirmation within {} s", self.timeout.unwrap_or_default().as_secs_f64())
    }

    /// Returns what people call a link.
    pub(super) fn name(&self, at: usize) -> String {
        format!("link {} ({})", at + 1, self.links[at].name)
    }
}

/// Returns the worse of two outcomes. Of two that give the webhook back, the cause that counts for more is worse, and the
/// longer delay holds.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (&one, &other) {
        (
            Outcome::Abandoned { delay: a, cause: x, reason: first },
            Outcome::Abandoned { delay: b, cause: y, reason: second },
        ) => {
            let (cause, reason) = if y > x { (*y, second.clone()) } else { (*x, first.clone()) };
            Outcome::Abandoned { delay: (*a).max(*b), cause, reason }
        }
        _ if other.severity() > one.severity() => other,
        _ => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(required: &[bool], parallel: bool, continue_on_error: bool) -> Rules {
        let link = |required: &bool| Link { name: "log".to_owned(), required: *required };
        let timeout = Some(Duration::from_secs(30)).filter(|_| parallel);
        Rules { links: required.iter().map(link).collect(), timeout, continue_on_error }
    }

    fn given_back(cause: Cause, delay: u64) -> Outcome {
        let reason = Some(Reason::new(cause.as_str()));
        Outcome::Abandoned { delay: Some(Duration::from_secs(delay)), cause, reason }
    }

    fn failed() -> State {
        State::Failed(given_back(Cause::Failed, 1))
    }

    #[test]
    fn links_run_one_after_the_other() {
        let rules = rules(&[true, true], false, true);
        assert_eq!(rules.step(&[State::Next, State::Next]), Step::Send(0));
        assert_eq!(rules.step(&[State::Out, State::Next]), Step::Wait);
        assert_eq!(rules.step(&[State::Confirmed, State::Next]), Step::Send(1));
        assert_eq!(rules.step(&[failed(), State::Next]), Step::Send(1));
        assert_eq!(rules.step(&[failed(), State::Confirmed]), Step::Done);
    }

    #[test]
    fn links_run_all_at_once() {
        let rules = rules(&[true, true], true, true);
        assert_eq!(rules.step(&[State::Out, State::Next]), Step::Send(1));
        assert_eq!(rules.step(&[failed(), State::Out]), Step::Wait);
        assert_eq!(rules.step(&[failed(), State::Confirmed]), Step::Done);
    }

    #[test]
    fn a_required_link_that_failed_stops_the_chain_when_it_shall() {
        assert_eq!(rules(&[true, true], false, false).step(&[failed(), State::Next]), Step::Done);
        assert_eq!(rules(&[true, true], true, false).step(&[failed(), State::Out]), Step::Done);
        assert_eq!(rules(&[false, true], false, false).step(&[failed(), State::Next]), Step::Send(1));
    }

    #[test]
    fn a_rejection_wins_and_names_its_link() {
        let rejected = State::Failed(Outcome::Failed { reason: Reason::new("no such table") });
        let verdict = rules(&[true, true], false, true).verdict(&[failed(), rejected]);
        assert_eq!(verdict, Outcome::Failed { reason: Reason::new("link 2 (log): no such table") });
    }

    #[test]
    fn of_two_that_give_it_back_the_cause_that_counts_wins_and_the_longer_delay_holds() {
        let links = [State::Failed(given_back(Cause::Unreachable, 9)), failed()];
        let reason = Some(Reason::new("link 2 (log): failed"));
        let delay = Some(Duration::from_secs(9));
        assert_eq!(
            rules(&[true, true], false, true).verdict(&links),
            Outcome::Abandoned { delay, cause: Cause::Failed, reason }
        );
    }

    #[test]
    fn a_link_that_is_not_required_decides_nothing() {
        let rules = rules(&[false, true], false, true);
        assert_eq!(rules.verdict(&[failed(), State::Confirmed]), Outcome::Delivered);
    }
}
