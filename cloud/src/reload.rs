//! `POST /admin/reload-config`: has the configuration read again.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use schemas::reload::{self, LARGEST};

use crate::answer::{self, Answer};
use crate::listener::Shared;
use crate::router;

/// How long the request's body may take.
const READING: Duration = Duration::from_secs(5);

/// Has the configuration read again and tells what came of it.
pub(crate) async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Answer {
    if let Err(refused) = router::admitted(request.headers(), shared) {
        return answer::closing(*refused);
    }
    if *request.method() != Method::POST {
        let refused = answer::detail(StatusCode::METHOD_NOT_ALLOWED, "only POST is taken here");
        return answer::closing(answer::allow(refused, "POST"));
    }
    let reading = Limited::new(request.into_body(), LARGEST).collect();
    let body = match tokio::time::timeout(READING, reading).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => {
            let text = "the body is too large, too slow, or was cut off";
            return answer::closing(answer::detail(StatusCode::BAD_REQUEST, text));
        }
    };
    let Some(reload) = &shared.settings.reload else {
        return answer::detail(StatusCode::NOT_FOUND, "this receiver cannot read its configuration again");
    };
    let (status, body) = reload::answer(&body, reload).await;
    answer::json_value(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), &body)
}
