//! One question about one sender, put to a server while the sender waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::ack::Answer;
use engine::kind::Context;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{Endpoint, Failures, unknown};
use crate::http::{Client, NoAnswer};

/// Questions of one gate at a time: a server that hangs holds up no more webhooks than these for longer than its timeout.
const MOST_AT_ONCE: usize = 64;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// Asks one server on behalf of one gate.
pub(in crate::auth) struct Lookup {
    client: Arc<Client>,
    permits: Semaphore,
    patience: Duration,
    failures: Failures,
}

impl Lookup {
    /// Makes one that waits `patience` for an answer, the wait for its turn included.
    pub(in crate::auth) fn open(gate: &'static str, patience: Duration, cx: &Context) -> Self {
        Self {
            client: Client::shared(&cx.resources),
            permits: Semaphore::new(MOST_AT_ONCE),
            patience,
            failures: Failures::of(gate, cx),
        }
    }

    /// Posts `form` and lets `read` judge the answer, which is a JSON object.
    ///
    /// # Errors
    /// The answer to a sender about whom nothing is known: there was no answer in time, one with another status than 200,
    /// or one that `read` cannot use, for the reason it returns. It is counted, and told to the person on call.
    pub(in crate::auth) async fn post<T>(
        &self,
        url: &Endpoint,
        authorization: Option<HeaderValue>,
        form: &[(&str, &str)],
        read: impl FnOnce(&Map<String, Value>) -> Result<T, String>,
    ) -> Result<T, Answer> {
        let asked = self.ask(request(url, authorization, form)).await;
        let judged = asked.and_then(|answer| read(&answer));
        match judged {
            Ok(judged) => {
                self.failures.succeeded();
                Ok(judged)
            }
            Err(why) => {
                self.failures.failed(&why);
                Err(unknown(&why))
            }
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Map<String, Value>, String> {
        let answered = async {
            let _turn = self.permits.acquire().await;
            self.client.fetch(request, self.patience, LONGEST).await
        };
        let answered = tokio::time::timeout(self.patience, answered).await;
        let page =
            answered.unwrap_or(Err(NoAnswer::TimedOut(self.patience))).map_err(|error| error.to_string())?;
        if page.status != StatusCode::OK {
            return Err(format!("the server answered {}", page.status));
        }
        let text = std::str::from_utf8(&page.body).unwrap_or_default();
        serde_json::from_str(text).map_err(|_| "the server's answer is no JSON object".to_owned())
    }
}

fn request(
    url: &Endpoint,
    authorization: Option<HeaderValue>,
    form: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut body = String::new();
    form.iter().for_each(|(name, value)| engine::query::add(&mut body, name, value));
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    request.uri_mut().clone_from(&url.0);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
    request
}
