//! The lane of the ACK deadline: ACK-05 and ACK-06 on every transport at once, under the other cases.
//!
//! Each transport holds two webhooks with a window of two, so that it is handed nothing else: one is left alone, of the
//! other is said that it is still being worked on. Shortly before the deadline the other cases pause, and a connection
//! with room sees what comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::wire::frame::Delivery;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::case::{Case, Failed, Verdict, ensure, ensure_eq};
use crate::cases;
use crate::deployment::Run;
use crate::party::connector::Link;
use crate::party::post::Posted;
use crate::party::receiver::Receiver;
use crate::party::transport::Transport;
use crate::report::Line;

/// The longest deadline that is waited for.
const LONGEST: Duration = Duration::from_secs(35);

/// How long a transport may take to hold its webhooks.
const BEGUN: Duration = Duration::from_secs(15);

/// How long the verdict may take after the deadline.
const JUDGED: Duration = Duration::from_secs(25);

/// How long a webhook may take to a connector that waits for it.
const SOON: Duration = Duration::from_secs(5);

/// How late after the deadline a webhook may come.
const LATE: Duration = Duration::from_secs(5);

/// How long is waited for something that must not happen.
const NEVER: Duration = Duration::from_millis(700);

/// How often a connection gives a sign of life.
const ALIVE: Duration = Duration::from_millis(500);

/// The two cases on every transport.
pub(super) struct Lane {
    posted: Posted,
    deadline: Duration,
    holders: Vec<Holder>,
    lines: Vec<Line>,
}

/// One transport that holds its two webhooks.
struct Holder {
    transport: Transport,
    silent: Delivery,
    busy: Delivery,
    since: Instant,
    enough: CancellationToken,
    keeping: JoinHandle<Result<Link, Failed>>,
}

impl Lane {
    /// Has every transport hold its webhooks, when the cases are wanted and the deadline is not too far away.
    pub(super) async fn begin(run: &Run, deadline: Duration) -> Self {
        let posted = run.posted("deadline", "deadline");
        let mut lane = Self { posted, deadline, holders: Vec::new(), lines: Vec::new() };
        if !run.wants(SILENT) && !run.wants(BUSY) {
            return lane;
        }
        if deadline > LONGEST || deadline < SOON {
            for case in lane.cases(run) {
                let why = format!(
                    "the ACK deadline of the channel is {deadline:?}; from {SOON:?} to {LONGEST:?} is waited for"
                );
                lane.lines.push(Line::new(&case, None).skipped(why));
            }
            return lane;
        }
        for transport in Transport::ALL {
            let begun = tokio::time::timeout(BEGUN, Holder::begin(run, &lane.posted, transport, deadline));
            let late = |_| Err(Failed(format!("nothing was held within {BEGUN:?}")));
            match begun.await.unwrap_or_else(late) {
                Ok(holder) => lane.holders.push(holder),
                Err(Failed(why)) => lane.tell(run, transport, SILENT, BUSY, &why),
            }
        }
        lane
    }

    /// Returns true when a webhook may come back within `time`.
    pub(super) fn is_due_within(&self, time: Duration) -> bool {
        self.holders.iter().any(|holder| holder.since.elapsed() + time > self.deadline)
    }

    /// Waits for the deadline and judges. Afterwards nothing is held.
    pub(super) async fn finish(&mut self, run: &Run) {
        let holders = std::mem::take(&mut self.holders);
        if holders.is_empty() {
            return;
        }
        let transports: Vec<_> = holders.iter().map(|holder| holder.transport).collect();
        let most = self.deadline + JUDGED;
        let judged = tokio::time::timeout(most, self.judge(run, holders)).await;
        match judged.unwrap_or_else(|_| Err(Failed(format!("the case took longer than {most:?}")))) {
            Ok(lines) => self.lines.extend(lines),
            Err(Failed(why)) => {
                transports.into_iter().for_each(|transport| self.tell(run, transport, SILENT, BUSY, &why));
            }
        }
        let posted = self.posted.clone();
        if let Some(line) = self.lines.pop() {
            let line = run.clean(line, &posted).await;
            self.lines.push(line);
        }
    }

    /// Returns the lines of the report.
    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    fn cases(&self, run: &Run) -> Vec<Case> {
        [SILENT, BUSY].into_iter().filter(|id| run.wants(id)).filter_map(cases::find).collect()
    }

    fn tell(&mut self, run: &Run, transport: Transport, silent: &str, busy: &str, why: &str) {
        let evidence = self.posted.evidence().map(|evidence| format!("\n{evidence}")).unwrap_or_default();
        for case in self.cases(run).into_iter().filter(|case| case.id == silent || case.id == busy) {
            let verdict = Verdict::Failed(format!("{why}{evidence}"));
            self.lines.push(Line::new(&case, transport.name()).with(verdict));
        }
    }

    async fn judge(&mut self, run: &Run, holders: Vec<Holder>) -> Result<Vec<Line>, Failed> {
        let receiver = Receiver::there(run.target().as_ref().clone(), self.posted.clone()).await?;
        let mut back = receiver.link(100).await?;
        let seen = self.collect(&holders, &mut back).await?;
        let mut lines = Vec::new();
        let mut held = Vec::new();
        for holder in holders {
            let (transport, since) = (holder.transport, holder.since);
            let (silent, busy) = (holder.silent.clone(), holder.busy.clone());
            let returned = seen.get(&silent.webhook.id().to_string()).copied();
            let wrongly = seen.get(&busy.webhook.id().to_string()).copied();
            let link = holder.settle().await;
            let link = link.map_err(|Failed(why)| why);
            let broken = || link.as_ref().err().map_or(Ok(()), |why| Err(Failed(why.clone())));
            let overtaken = self.overtaken(&silent, since, returned).and_then(|()| broken());
            let in_time = wrongly.map_or(Ok(()), |(at, attempt)| {
                Err(Failed(format!(
                    "{}: expected no second delivery while it is being worked on, found attempt {attempt} after {:?}",
                    busy.webhook.id(),
                    at.duration_since(since)
                )))
            });
            for (id, outcome) in [(SILENT, overtaken), (BUSY, in_time.and_then(|()| broken()))] {
                if let Some(case) = self.cases(run).into_iter().find(|case| case.id == id) {
                    let line = Line::new(&case, transport.name()).took(since.elapsed());
                    lines.push(match outcome {
                        Ok(()) => line,
                        Err(Failed(why)) => line.with(Verdict::Failed(why)),
                    });
                }
            }
            held.extend(link.ok());
        }
        self.nothing_more(&receiver, &mut back, &lines).await?;
        Ok(lines)
    }

    /// Takes what comes back, with when it came and which attempt it was, until all that is due has come.
    async fn collect(
        &self,
        holders: &[Holder],
        back: &mut Link,
    ) -> Result<BTreeMap<String, (Instant, u32)>, Failed> {
        let Some(last) = holders.iter().map(|holder| holder.since).max() else { return Ok(BTreeMap::new()) };
        let (mut seen, end) = (BTreeMap::new(), last + self.deadline + LATE);
        let due: Vec<_> = holders.iter().map(|holder| holder.silent.webhook.id().to_string()).collect();
        while Instant::now() < end && !due.iter().all(|id| seen.contains_key(id)) {
            if let Some(delivery) = back.maybe(end.saturating_duration_since(Instant::now())).await? {
                let attempt = delivery.webhook.transit.attempt;
                seen.insert(delivery.webhook.id().to_string(), (Instant::now(), attempt));
            }
        }
        Ok(seen)
    }

    fn overtaken(
        &self,
        silent: &Delivery,
        since: Instant,
        came: Option<(Instant, u32)>,
    ) -> Result<(), Failed> {
        let (id, deadline) = (silent.webhook.id(), self.deadline);
        let (at, attempt) = came.ok_or_else(|| {
            Failed(format!(
                "{id}: expected a second delivery after the ACK deadline of {deadline:?}, found none"
            ))
        })?;
        let after = at.duration_since(since);
        ensure(after + deadline / 10 >= deadline, || {
            format!("{id}: expected a second delivery not before {deadline:?}, found it after {after:?}")
        })?;
        ensure_eq(&format!("the attempt of {id}"), &attempt, &2)
    }

    /// After the late acknowledgements, nothing comes a third time, and each counts once.
    async fn nothing_more(&self, receiver: &Receiver, back: &mut Link, lines: &[Line]) -> Result<(), Failed> {
        if lines.iter().any(|line| line.verdict != Verdict::Passed) {
            return Ok(());
        }
        let count = i64::try_from(self.posted.ids().len()).unwrap_or(i64::MAX);
        let counted = |stats: &crate::party::receiver::Stats| stats.count("messages_delivered") == count;
        receiver.settles(&format!("{count} late acknowledgements count"), SOON, counted).await?;
        ensure_eq("third deliveries", &back.maybe(NEVER).await?, &None)
    }
}

impl Holder {
    async fn begin(
        run: &Run,
        posted: &Posted,
        transport: Transport,
        deadline: Duration,
    ) -> Result<Self, Failed> {
        let receiver = Receiver::there(run.target().as_ref().clone(), posted.clone()).await?;
        let receiver = receiver.with(transport, posted.clone());
        let mut link = receiver.link(2).await?;
        receiver.accepted(&format!("silent over {}", transport.name()), "1").await?;
        let silent = link.next(SOON).await?;
        let since = Instant::now();
        receiver.accepted(&format!("busy over {}", transport.name()), "1").await?;
        let busy = link.next(SOON).await?;
        let enough = CancellationToken::new();
        let keeping = tokio::spawn(keep(link, busy.clone(), deadline / 5, enough.clone()));
        Ok(Self { transport, silent, busy, since, enough, keeping })
    }

    /// Acknowledges both, late and in time, and returns the connection.
    async fn settle(self) -> Result<Link, Failed> {
        self.enough.cancel();
        let mut link = self.keeping.await.map_err(|_| Failed("the connection's task ended".to_owned()))??;
        let (silent, busy) = (self.silent.webhook.id(), self.busy.webhook.id());
        let named = |what: &str, id, Failed(why)| {
            Failed(format!("{what} of {id}: expected it to be taken, found: {why}"))
        };
        let late = link.deliver(&self.silent).await;
        late.map_err(|why| named("the late acknowledgement", silent, why))?;
        link.deliver(&self.busy).await.map_err(|why| named("the acknowledgement", busy, why))?;
        Ok(link)
    }
}

/// Keeps a connection alive and says of `busy` every `often` that it is being worked on, until it is enough.
async fn keep(
    mut link: Link,
    busy: Delivery,
    often: Duration,
    enough: CancellationToken,
) -> Result<Link, Failed> {
    let mut said = Instant::now();
    while !enough.is_cancelled() {
        if said.elapsed() >= often {
            link.progress(&busy).await?;
            said = Instant::now();
        }
        link.keep_alive().await?;
        tokio::select! {
            () = enough.cancelled() => {}
            () = tokio::time::sleep(ALIVE) => {}
        }
    }
    Ok(link)
}

/// The id of the case whose webhook is left alone.
const SILENT: &str = "ACK-05";

/// The id of the case whose webhook is worked on.
const BUSY: &str = "ACK-06";
