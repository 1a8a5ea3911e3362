//! What the status of an answer means for the webhook.

use engine::ack::Symptom;
use engine::failure::Failure;
use http::StatusCode;

use crate::http::Answer;

/// Decides what an answer means. These are the defaults; a retry may be told otherwise, by status.
pub(super) fn judge(answer: &Answer) -> Result<(), Failure> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("the destination answered {status}");
    let failure = match status.as_u16() {
        408 | 429 | 502 | 503 | 504 => Failure::unreachable(&reason),
        // A wrong credential or a missing path is repaired at the destination, so it is worth another try.
        401 | 403 | 404 | 409 | 421 | 423 | 425 => Failure::failed(&reason),
        300..=399 => Failure::permanent(&format!("{reason}: redirects are not followed")),
        400..=499 => Failure::permanent(&reason),
        _ => Failure::failed(&reason),
    };
    Err(failure.retry_after(answer.retry_after).showing(Symptom::Status(StatusCode::as_u16(&status))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ack::Cause;
    use std::time::Duration;

    fn meaning(status: u16) -> &'static str {
        let wait = Some(Duration::from_secs(7));
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), retry_after: wait };
        match judge(&answer) {
            Ok(()) => "delivered",
            Err(Failure::Permanent { reason }) => {
                assert_eq!(reason.symptom(), Some(Symptom::Status(status)));
                "permanent"
            }
            Err(Failure::Transient { cause, retry_after, reason }) => {
                assert_eq!((retry_after, reason.symptom()), (wait, Some(Symptom::Status(status))));
                if cause == Cause::Unreachable { "unreachable" } else { "failed" }
            }
        }
    }

    #[test]
    fn each_status_means_what_is_promised() {
        for (means, statuses) in [
            ("delivered", vec![200, 201, 202, 204, 299]),
            ("unreachable", vec![408, 429, 502, 503, 504]),
            ("failed", vec![401, 403, 404, 409, 421, 423, 425, 500, 501, 505, 507, 599]),
            ("permanent", vec![300, 301, 302, 304, 308, 400, 402, 405, 410, 413, 415, 422, 451]),
        ] {
            for status in statuses {
                assert_eq!(meaning(status), means, "{status}");
            }
        }
    }

    #[test]
    fn a_redirect_says_that_it_is_not_followed() {
        let answer = Answer { status: StatusCode::FOUND, retry_after: None };
        let Err(Failure::Permanent { reason }) = judge(&answer) else { panic!("a redirect is permanent") };
        assert_eq!(reason.as_str(), "the destination answered 302 Found: redirects are not followed");
    }
}
