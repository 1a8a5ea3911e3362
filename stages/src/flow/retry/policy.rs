//! What an outcome means, and how long to wait for the next try.

use std::collections::BTreeSet;

use engine::ack::{Cause, Outcome, Reason, Symptom};
use engine::backoff::Backoff;
use schemars::JsonSchema;
use serde::Deserialize;

/// What users decide about trying again.
pub(super) struct Policy {
    /// False: one try per delivery.
    pub(super) enabled: bool,
    /// False: a try that found the destination unreachable counts like any other.
    pub(super) wait_for_unreachable: bool,
    /// Tries per delivery of what is refused for now.
    pub(super) max_attempts: u32,
    /// How waits grow.
    pub(super) backoff: Backoff,
    /// Statuses that mean: refused for now.
    pub(super) transient: BTreeSet<u16>,
    /// Statuses that mean: refused for good.
    pub(super) permanent: BTreeSet<u16>,
    /// Statuses that mean: unreachable.
    pub(super) unreachable: BTreeSet<u16>,
}

impl Policy {
    /// Returns what `outcome` means here: the sink's own judgement, unless a list names the status.
    pub(super) fn judge(&self, outcome: Outcome) -> Outcome {
        let (delay, reason) = match &outcome {
            Outcome::Abandoned { delay, reason: Some(reason), .. } => (*delay, reason),
            Outcome::Failed { reason } => (None, reason),
            Outcome::Delivered | Outcome::Abandoned { reason: None, .. } | Outcome::Refused { .. } => {
                return outcome;
            }
        };
        let Some(Symptom::Status(status)) = reason.symptom() else { return outcome };
        let again = |cause| Outcome::Abandoned { delay, cause, reason: Some(reason.clone()) };
        if self.permanent.contains(&status) {
            Outcome::Failed { reason: reason.clone() }
        } else if self.unreachable.contains(&status) {
            again(Cause::Unreachable)
        } else if self.transient.contains(&status) {
            again(Cause::Failed)
        } else {
            outcome
        }
    }
}

/// Tells whether the destination may simply be slow with this one webhook: the call was made, no answer came in time.
pub(super) fn is_silence(reason: Option<&Reason>) -> bool {
    match reason.and_then(Reason::symptom) {
        Some(Symptom::Silence) => true,
        Some(Symptom::Status(status)) => status == 408,
        Some(Symptom::Connect) | None => false,
    }
}

/// Tells whether no connection came about.
pub(super) fn is_refused_connection(reason: Option<&Reason>) -> bool {
    reason.and_then(Reason::symptom) == Some(Symptom::Connect)
}

/// An HTTP status.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "u16")]
#[schemars(inline, extend("minimum" = 300, "maximum" = 599))]
pub(super) struct Status(pub(super) u16);

impl TryFrom<u16> for Status {
    type Error = &'static str;

    fn try_from(status: u16) -> Result<Self, Self::Error> {
        // 2xx is delivered, whatever a list says.
        if matches!(status, 300..=599) {
            Ok(Self(status))
        } else {
            Err("expected an HTTP status from 300 to 599")
        }
    }
}

/// A class of errors of the Python product, by its name or a part of it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(super) struct ErrorName(#[schemars(with = "String")] &'static [u16]);

/// The classes and the statuses that stand for them. An unreachable destination is tried again anyway and has none.
const CLASSES: [(&str, &[u16]); 11] = [
    ("ConnectionError", &[]),
    ("ConnectionRefusedError", &[]),
    ("ConnectionResetError", &[]),
    ("TimeoutError", &[]),
    ("OSError", &[]),
    ("AuthenticationError", &[401]),
    ("PermissionError", &[403]),
    ("ValueError", &[400, 422]),
    ("KeyError", &[400, 422]),
    ("TypeError", &[400, 422]),
    ("Exception", &[400, 402, 405, 406, 410, 411, 412, 413, 414, 415, 416, 417, 422, 428, 431, 451]),
];

impl ErrorName {
    /// Returns the statuses that stand for the class.
    pub(super) fn statuses(&self) -> impl Iterator<Item = u16> + use<> {
        self.0.iter().copied()
    }
}

impl TryFrom<String> for ErrorName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let class = name.rsplit('.').next().unwrap_or_default();
        let exact = CLASSES.iter().find(|(known, _)| *known == class);
        let part = || CLASSES.iter().find(|(known, _)| !class.is_empty() && known.contains(class));
        exact.or_else(part).map(|(_, statuses)| Self(statuses)).ok_or_else(|| {
            let known: Vec<_> = CLASSES.iter().map(|(known, _)| *known).collect();
            format!("no error is called `{name}`; there are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn policy() -> Policy {
        Policy {
            enabled: true,
            wait_for_unreachable: true,
            max_attempts: 3,
            backoff: Backoff::doubling(Duration::ZERO, Duration::ZERO),
            transient: [422, 500].into(),
            permanent: [409, 500].into(),
            unreachable: [418, 422].into(),
        }
    }

    fn showing(status: u16) -> Reason {
        Reason::new("answered").showing(Symptom::Status(status))
    }

    #[test]
    fn a_status_in_a_list_means_what_the_list_says() {
        let permanent = |status| Outcome::Failed { reason: showing(status) };
        let again = |cause, status| {
            let delay = Some(Duration::from_secs(9)).filter(|_| cause == Cause::Failed);
            Outcome::Abandoned { delay, cause, reason: Some(showing(status)) }
        };
        assert_eq!(policy().judge(again(Cause::Failed, 409)), permanent(409));
        assert_eq!(policy().judge(again(Cause::Failed, 500)), permanent(500), "permanent wins");
        assert_eq!(policy().judge(permanent(418)), again(Cause::Unreachable, 418));
        assert_eq!(
            policy().judge(permanent(422)),
            again(Cause::Unreachable, 422),
            "unreachable wins over transient"
        );
        assert_eq!(policy().judge(again(Cause::Failed, 404)), again(Cause::Failed, 404));
        assert_eq!(policy().judge(Outcome::lost()), Outcome::lost());
    }

    #[test]
    fn names_of_the_python_product_are_known_whole_or_in_part() {
        let statuses = |name: &str| ErrorName::try_from(name.to_owned()).map(|name| name.0);
        assert_eq!(statuses("AuthenticationError"), Ok([401].as_slice()));
        assert_eq!(statuses("requests.exceptions.ConnectionError"), Ok([].as_slice()));
        assert_eq!(statuses("Timeout"), Ok([].as_slice()));
        assert!(statuses("Timeuot").is_err() && statuses("").is_err());
    }
}
