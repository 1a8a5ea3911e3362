//! What is reported of a webhook that was given up to another destination.

use engine::ack::{Outcome, Reason};

/// Returns what is reported upstream when the destination of the given up settled a webhook with `outcome`, which was
/// given up because of `why`. Its confirmation counts as delivered; when it rejects the webhook too, both reasons are told.
pub(super) fn last_word(why: &Outcome, outcome: Outcome) -> Outcome {
    let Outcome::Failed { reason: second } = &outcome else { return outcome };
    match why {
        Outcome::Failed { reason: first } | Outcome::Abandoned { reason: Some(first), .. } => {
            let reason = Reason::new(&format!("{first}; and the dead_letter destination: {second}"));
            Outcome::Failed { reason }
        }
        Outcome::Delivered | Outcome::Abandoned { reason: None, .. } | Outcome::Refused { .. } => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rejections_tell_both_reasons() {
        let failed = |why: &str| Outcome::Failed { reason: Reason::new(why) };
        let both = failed("no such table; and the dead_letter destination: too large");
        assert_eq!(last_word(&failed("no such table"), failed("too large")), both);
        assert_eq!(last_word(&failed("no such table"), Outcome::Delivered), Outcome::Delivered);
    }
}
