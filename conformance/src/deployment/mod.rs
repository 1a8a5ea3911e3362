//! The suite against a deployment that runs already, on a channel that it takes for itself while it lasts.
//!
//! One channel is all there is, and any connection to it may be handed any webhook. So cases run one after the other, each
//! takes only what it posted and settles all of it in the end, and what others post meanwhile is given back, to come again
//! later. The one wait that would take long, for the ACK deadline, lies under the other cases: see `deadline.rs`.

mod deadline;
mod entry;

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::webhook::Id;
use http::Request;
use http_body_util::Full;

use crate::case::{Case, Failed, Need, Varies};
use crate::cases;
use crate::deployment::deadline::Lane;
use crate::party::http::Client;
use crate::party::post::Posted;
use crate::party::receiver::{Receiver, Target};
use crate::party::transport::Transport;
use crate::report::{Line, Report};
use crate::runner::judge;
use crate::stand::Stand;

/// How long one case may take.
const MOST: Duration = Duration::from_secs(30);

/// How long one case takes at most where everything works.
const USUAL: Duration = Duration::from_secs(5);

/// How long it may take to find out whether the suite may begin.
const ENTRY: Duration = Duration::from_secs(60);

/// How long it may take to settle what a case left.
const CLEAN: Duration = Duration::from_secs(15);

/// How long is waited for one more webhook that a case left.
const MORE: Duration = Duration::from_millis(100);

/// What to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// The deployment, and the channel that the suite may use.
    pub target: Target,
    /// The URL of the deployment, for the report.
    pub url: String,
    /// The ids of the cases; empty means all.
    pub cases: Vec<String>,
    /// Puts off webhooks of others that are queued, instead of refusing to begin.
    pub take_over: bool,
}

/// Why the suite did not begin: nothing was posted that is still there.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Runs the suite.
///
/// # Errors
/// The deployment cannot be reached, a token or the sender is refused, or the channel is in use.
pub async fn run(options: Options) -> Result<Report, Refused> {
    let began = Instant::now();
    let entered = tokio::time::timeout(ENTRY, entry::enter(&options)).await;
    let ack_deadline =
        entered.map_err(|_| Refused(format!("the deployment did not answer within {ENTRY:?}")))??;
    let run = Run { id: Id::new().to_string(), target: Arc::new(options.target), wanted: options.cases };
    let lines = run.all(ack_deadline).await;
    Ok(Report { subject: options.url, lines, took: began.elapsed() })
}

/// Returns the ids of the cases.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    cases::all().iter().map(|case| case.id).collect()
}

/// One run of the suite.
pub(crate) struct Run {
    id: String,
    target: Arc<Target>,
    wanted: Vec<String>,
}

impl Run {
    async fn all(&self, ack_deadline: Duration) -> Vec<Line> {
        let (mut lines, mut lane) = (Vec::new(), Lane::begin(self, ack_deadline).await);
        for case in self.cases() {
            let unmet = case.needs.unmet_there(self.target.admin.is_some());
            if let Some(why) = unmet {
                lines.push(Line::new(&case, None).skipped(why));
            } else if case.needs != Need::Deadline {
                for transport in self.transports(case) {
                    // When the deadline comes, nobody else may be connected with room for what it returns.
                    if lane.is_due_within(USUAL) {
                        lane.finish(self).await;
                    }
                    lines.push(self.one(&case, transport).await);
                }
            }
        }
        lane.finish(self).await;
        lines.extend(lane.into_lines());
        lines.sort_by_key(|line| self.cases().iter().position(|case| case.id == line.id));
        lines
    }

    /// Returns the cases to run: in the order of the report, but the audit of everything last.
    fn cases(&self) -> Vec<Case> {
        let mut all = cases::all();
        all.retain(|case| self.wants(case.id));
        all.sort_by_key(|case| case.id == cases::AUDIT);
        all
    }

    /// Returns true when the case of this id is to run.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(id))
    }

    fn transports(&self, case: Case) -> impl Iterator<Item = Transport> {
        let every = Transport::ALL.into_iter();
        every.filter(move |transport| match case.varies {
            Varies::No => *transport == Transport::WebSocket,
            varies => varies.excludes(*transport).is_none(),
        })
    }

    async fn one(&self, case: &Case, transport: Transport) -> Line {
        let line = Line::new(case, transport.name());
        let posted = self.posted("cases", &format!("{}-{}", case.id, transport.name()));
        match Stand::there(Arc::clone(&self.target), posted.clone()) {
            Ok(stand) => {
                let line = judge(case, line, stand.over(transport), MOST).await;
                self.clean(line, &posted).await
            }
            Err(Failed(why)) => line.with(crate::case::Verdict::Failed(why)),
        }
    }

    /// Returns the record of one case.
    pub(crate) fn posted(&self, lane: &str, case: &str) -> Posted {
        Posted::marked(&self.id, lane, case)
    }

    /// Returns where the cases post to.
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Settles what a case posted and left, wherever it is: queued, in flight, delayed or parked.
    pub(crate) async fn clean(&self, line: Line, posted: &Posted) -> Line {
        match clean(&self.target, posted).await {
            Ok(()) => line,
            Err(Failed(why)) => {
                line.noting_one(format!("what it posted could not be settled afterwards: {why}"))
            }
        }
    }
}

/// Settles what is left of what was posted, wherever it is.
async fn clean(target: &Target, posted: &Posted) -> Result<(), Failed> {
    let cleaned = tokio::time::timeout(CLEAN, async {
        settle(target, &posted.ids()).await?;
        drain(target, posted).await
    });
    cleaned.await.unwrap_or_else(|_| Err(Failed(format!("it took longer than {CLEAN:?}"))))
}

/// Takes and acknowledges what was never delivered, which no acknowledgement by id settles.
async fn drain(target: &Target, posted: &Posted) -> Result<(), Failed> {
    let receiver = Receiver::there(target.clone(), posted.clone()).await?;
    if receiver.stats().await?.told()["messages_queued"] == 0 {
        return Ok(());
    }
    let mut link = receiver.link(100).await?;
    while let Some(delivery) = link.maybe(MORE).await? {
        link.deliver(&delivery).await?;
    }
    Ok(())
}

/// Acknowledges webhooks by their ids. Those that are settled already stay so.
async fn settle(target: &Target, ids: &[String]) -> Result<(), Failed> {
    let mut client = Client::connect(&target.site).await?;
    for id in ids {
        let request = Request::post(format!("/connect/ack?message_id={id}&status=ack"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", target.token.expose()))
            .header("x-connection-id", "conformance");
        let status = client.send(request.body(Full::default())?).await?.status.as_u16();
        if !matches!(status, 200 | 404) {
            return Err(Failed(format!("the acknowledgement of {id} was answered {status}")));
        }
    }
    Ok(())
}
