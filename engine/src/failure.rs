//! Why a destination did not take a webhook, as the answer to one question: would trying again help?

use std::time::Duration;

use crate::ack::{Cause, Outcome, Reason, Symptom};

/// Why a destination did not take a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Trying again may help.
    Transient {
        /// Whether the destination could not be reached or refused this webhook for now.
        cause: Cause,
        /// What the destination asked for.
        retry_after: Option<Duration>,
        /// Why, in words. No body, no secret.
        reason: Reason,
    },
    /// The destination will never take it.
    Permanent {
        /// Why, in words. No body, no secret.
        reason: Reason,
    },
}

impl Failure {
    /// The destination cannot be reached or asks to wait: counts against the TTL only.
    #[must_use]
    pub fn unreachable(reason: &str) -> Self {
        Self::Transient { cause: Cause::Unreachable, retry_after: None, reason: Reason::new(reason) }
    }

    /// The destination refused this webhook for now: counts towards `max_deliveries`.
    #[must_use]
    pub fn failed(reason: &str) -> Self {
        Self::Transient { cause: Cause::Failed, retry_after: None, reason: Reason::new(reason) }
    }

    /// The destination will never take this webhook: dead letters.
    #[must_use]
    pub fn permanent(reason: &str) -> Self {
        Self::Permanent { reason: Reason::new(reason) }
    }

    /// Adds what the destination showed.
    #[must_use]
    pub fn showing(self, symptom: Symptom) -> Self {
        match self {
            Self::Transient { cause, retry_after, reason } => {
                Self::Transient { cause, retry_after, reason: reason.showing(symptom) }
            }
            Self::Permanent { reason } => Self::Permanent { reason: reason.showing(symptom) },
        }
    }

    /// Adds how long the destination asked to wait; a permanent failure has no next time.
    #[must_use]
    pub fn retry_after(self, wait: Option<Duration>) -> Self {
        match self {
            Self::Transient { cause, reason, .. } => Self::Transient { cause, retry_after: wait, reason },
            Self::Permanent { .. } => self,
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient { cause, retry_after, reason } => {
                Self::Abandoned { delay: retry_after, cause, reason: Some(reason) }
            }
            Failure::Permanent { reason } => Self::Failed { reason },
        }
    }
}
