//! What a stage is: the traits that authors implement and the rows of the registry.
//!
//! Authors write a [`Gate`] or a [`Destination`] with its [`Sink`]; they never see channels, acks, retries or shutdown.
//! Stages that open an account of their own (sources, buffers, flow stages, outlets) implement [`Build`] and [`Stage`].
//! A [`Kind`] is one row: the name users write in `module`, its role, and how its settings are read.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ack::Answer;
use crate::chance::Chance;
use crate::config::{Faults, Node};
use crate::drive;
use crate::failure::Failure;
use crate::meter::{Edge, Meter};
use crate::port::{Exhausted, In, Out, Unverified, Verified};
use crate::supply::{Demand, Supply};
use crate::webhook::Webhook;

/// A test that a webhook must pass before it is stored. One call per webhook, on the connection that brought it.
pub trait Gate: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name users write.
    const NAME: &'static str;
    /// True when passing it proves who the sender is, or says that nobody asks (`open`).
    const PROVES_SENDER: bool;

    /// Complains about settings that parse and still cannot work. Pure.
    fn check(&self, _at: &Node, _faults: &mut Faults) {}

    /// Takes the counters it needs. What it turns away is counted for it. Called before the first webhook.
    fn measure(&self, _edge: &Edge) {}

    /// Begins what the gate needs beside its settings, like a task that keeps keys fresh. Called once, within a runtime,
    /// before the first webhook; the context is that of the source. What it begins is kept in [`Context::lasting`] and ends
    /// with it. Does not wait, and cannot fail: what is not there yet is [`Gate::admit`]'s to tell.
    fn open(&self, _cx: &Context) {}

    /// Lets `webhook` pass, or says what its sender is told.
    ///
    /// # Errors
    /// The answer to the sender: one generic text, the details in its reason. Or the answer to a handshake, which no
    /// further gate sees.
    fn admit(&self, webhook: &Webhook) -> impl Future<Output = Result<(), Answer>> + Send;

    /// Returns true when a request that is not posted, but has this method, may be a handshake that the gate answers.
    fn greets(&self, _method: &str) -> bool {
        false
    }

    /// Changes what is stored of a webhook that every gate has let pass, wherever in their row this one stands: all of
    /// them judge it as it was sent. Its id stays. Most gates change nothing.
    fn rewrite(&self, _webhook: &mut Webhook) {}
}

/// A gate whose type was forgotten.
pub trait DynGate: Send + Sync {
    /// Returns the gate's name.
    fn name(&self) -> &'static str;
    /// Calls [`Gate::measure`].
    fn measure(&self, edge: &Edge);
    /// Calls [`Gate::open`].
    fn open(&self, cx: &Context);
    /// Calls [`Gate::admit`].
    fn admit<'a>(&'a self, webhook: &'a Webhook) -> BoxFuture<'a, Result<(), Answer>>;
    /// Calls [`Gate::greets`].
    fn greets(&self, method: &str) -> bool;
    /// Calls [`Gate::rewrite`].
    fn rewrite(&self, webhook: &mut Webhook);
}

impl<G: Gate> DynGate for G {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn measure(&self, edge: &Edge) {
        Gate::measure(self, edge);
    }

    fn open(&self, cx: &Context) {
        Gate::open(self, cx);
    }

    fn admit<'a>(&'a self, webhook: &'a Webhook) -> BoxFuture<'a, Result<(), Answer>> {
        Box::pin(Gate::admit(self, webhook))
    }

    fn greets(&self, method: &str) -> bool {
        Gate::greets(self, method)
    }

    fn rewrite(&self, webhook: &mut Webhook) {
        Gate::rewrite(self, webhook);
    }
}

/// Where webhooks are delivered to: the settings that users write, which open a [`Sink`].
pub trait Destination: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The `module` users write.
    const NAME: &'static str;
    /// What delivers.
    type Sink: Sink;

    /// Complains about settings that parse and still cannot work. Pure.
    fn check(&self, _at: &Node, _faults: &mut Faults) {}

    /// Opens what delivering needs. Does not wait for the destination to be reachable.
    ///
    /// # Errors
    /// What cannot be opened, and what to do about it.
    fn open(self, cx: &Context) -> impl Future<Output = Result<Self::Sink, OpenError>> + Send;
}

/// Delivers webhooks to one destination.
pub trait Sink: Send + Sync + 'static {
    /// How many webhooks one call takes at most.
    const BATCH: usize = 1;

    /// Returns once the destination has confirmed. A batch succeeds or fails as one; the driver repeats its webhooks
    /// one by one after a failure. Cancelling leaves it unknown whether the destination took them.
    ///
    /// # Errors
    /// Whether trying again would help.
    fn deliver(&self, webhooks: &[Webhook]) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a stage is for, which decides what it may be joined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brings webhooks from a sender: gates and a buffer follow.
    Receive,
    /// Brings webhooks that a receiver has vouched for: a flow stage or a destination follows.
    Subscribe,
    /// Stands between a source and a buffer.
    Gate {
        /// See [`Gate::PROVES_SENDER`].
        proves_sender: bool,
    },
    /// Keeps webhooks; an outlet follows.
    Buffer,
    /// Takes webhooks from a buffer and hands them to sessions.
    Outlet,
    /// Takes webhooks from a buffer and sends them on within the process: a flow stage or a destination follows.
    Passage,
    /// Stands before a destination. Has the port `out`, or numbered ports instead ([`Build::links`]), and `exhausted`,
    /// which reports upstream when unwired.
    Flow,
    /// Delivers webhooks.
    Destination,
}

/// One row of the registry.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name users write.
    pub name: &'static str,
    /// Other names it is known by.
    pub aliases: &'static [&'static str],
    /// What it is for.
    pub role: Role,
    /// Reads the settings, complaining about every fault.
    pub parse: fn(&Node, &mut Faults) -> Option<Blueprint>,
    /// Describes the settings as JSON Schema.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
}

/// A stage whose settings have been read and checked, not opened yet.
pub enum Blueprint {
    /// A gate runs on the task that brought the webhook.
    Gate(Arc<dyn DynGate>),
    /// Everything else runs as a task.
    Stage(Box<dyn DynBuild>),
}

/// Settings of a stage that runs as a task.
pub trait Build: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name users write.
    const NAME: &'static str;
    /// What it is for.
    const ROLE: Role;

    /// Complains about settings that parse and still cannot work. Pure.
    fn check(&self, _at: &Node, _faults: &mut Faults) {}

    /// Returns how many numbered ports a flow stage has instead of `out`. Each must be wired.
    fn links(&self) -> u16 {
        0
    }

    /// Returns what no other stage of the process may have.
    fn claim(&self) -> Option<Claim<'_>> {
        None
    }

    /// Opens what running needs; spawns nothing.
    ///
    /// # Errors
    /// What cannot be opened, and what to do about it.
    fn open(self, cx: &Context) -> impl Future<Output = Result<Box<dyn Stage>, OpenError>> + Send;
}

/// Something that one stage of a process has alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// What it is, in the user's words: `webhook id`. Two claims are at odds when they agree in this and in the name.
    pub what: &'static str,
    /// Its name.
    pub name: &'a str,
    /// The setting that names it.
    pub key: &'static str,
}

/// [`Build`] whose type was forgotten.
pub trait DynBuild: Send + Sync {
    /// Calls [`Build::links`].
    fn links(&self) -> u16;
    /// Calls [`Build::claim`].
    fn claim(&self) -> Option<Claim<'_>>;
    /// Calls [`Build::open`].
    fn open<'a>(self: Box<Self>, cx: &'a Context) -> BoxFuture<'a, Result<Box<dyn Stage>, OpenError>>;
}

impl<B: Build> DynBuild for B {
    fn links(&self) -> u16 {
        Build::links(self)
    }

    fn claim(&self) -> Option<Claim<'_>> {
        Build::claim(self)
    }

    fn open<'a>(self: Box<Self>, cx: &'a Context) -> BoxFuture<'a, Result<Box<dyn Stage>, OpenError>> {
        Box::pin(Build::open(*self, cx))
    }
}

/// A stage that is open and ready to run.
pub trait Stage: Send {
    /// Runs until its input ends or the stop of its context is told. What it drops unsettled is redelivered.
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>>;
}

/// The ends a stage is joined by. Each is there when the stage's role has it.
#[derive(Debug, Default)]
pub struct Wiring {
    /// What a buffer, flow stage or destination takes.
    pub input: Option<In<Verified>>,
    /// Where a receiving source sends, through its gates.
    pub gated: Option<Out<Unverified>>,
    /// The channel of the buffer that a receiving source sends to.
    pub channel: Option<Arc<str>>,
    /// Where a subscribing source, a passage or a flow stage sends.
    pub out: Option<Out<Verified>>,
    /// Where a flow stage with numbered ports sends, in their order.
    pub links: Vec<Out<Verified>>,
    /// Where a flow stage sends what it gives up, when wired.
    pub exhausted: Option<Out<Exhausted>>,
    /// What a buffer answers.
    pub demand: Option<Demand>,
    /// Where an outlet or a passage takes webhooks from.
    pub supply: Option<Supply>,
}

/// What a stage gets from its surroundings instead of reaching for it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The name of the stage in its graph.
    pub name: Arc<str>,
    /// Counts.
    pub meter: Meter,
    /// What stages share: stores, clients, tables of routes.
    pub resources: Resources,
    /// Becomes true when the pipeline should finish what it holds and end.
    pub stop: watch::Receiver<bool>,
    /// Cancelled when the time for finishing is over: what is held then is given back.
    pub cut: CancellationToken,
    /// What lives as long as the pipeline is wanted.
    pub lasting: Lasting,
}

impl Context {
    /// Makes the context of a stage that stands alone: it shares nothing, and nobody cuts it.
    #[must_use]
    pub fn new(name: &str, stop: watch::Receiver<bool>) -> Self {
        let (meter, resources) = (Meter::default(), Resources::default());
        Self {
            name: name.into(),
            meter,
            resources,
            stop,
            cut: CancellationToken::new(),
            lasting: Lasting::default(),
        }
    }

    /// Makes the stage's generator.
    #[must_use]
    pub fn random(&self) -> StdRng {
        Chance::of(&self.resources).generator(&self.name)
    }
}

/// Things that live as long as a pipeline is wanted: also while it is being opened again, and no longer than until it is
/// replaced, removed, or could not be opened at all.
#[derive(Clone, Default)]
pub struct Lasting(Arc<Mutex<Vec<Box<dyn Any + Send>>>>);

impl Lasting {
    /// Keeps `thing` until the pipeline is not wanted any more, then drops it.
    pub fn keep(&self, thing: impl Any + Send) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(thing));
    }
}

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lasting")
    }
}

/// Things that stages of one process share, by type and name.
#[derive(Clone, Debug, Default)]
pub struct Resources(Arc<Mutex<Shared>>);

type Shared = HashMap<(std::any::TypeId, String), Arc<dyn Any + Send + Sync>>;

impl Resources {
    /// Returns the resource of this type and name, making it at the first call.
    ///
    /// # Errors
    /// What `make` said; nothing is kept then.
    pub fn get_or_make<T: Any + Send + Sync, E>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let key = (std::any::TypeId::of::<T>(), name.to_owned());
        let mut resources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = resources.get(&key).and_then(|any| Arc::clone(any).downcast().ok()) {
            return Ok(found);
        }
        let made = Arc::new(make()?);
        resources.insert(key, Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        Ok(made)
    }
}

/// A stage that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{what}{}", .help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default())]
pub struct OpenError {
    /// What could not be opened, and why.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A stage that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StageError(pub String);

impl Kind {
    /// Makes the row of a gate.
    #[must_use]
    pub const fn gate<G: Gate>() -> Self {
        Self {
            name: G::NAME,
            aliases: &[],
            role: Role::Gate { proves_sender: G::PROVES_SENDER },
            parse: |node, faults| {
                let gate: G = node.parse(faults)?;
                gate.check(node, faults);
                Some(Blueprint::Gate(Arc::new(gate)))
            },
            schema: |generator| G::json_schema(generator),
        }
    }

    /// Makes the row of a destination, which the one driver of sinks runs.
    #[must_use]
    pub const fn destination<D: Destination>() -> Self {
        Self {
            name: D::NAME,
            aliases: &[],
            role: Role::Destination,
            parse: |node, faults| {
                let destination: D = node.parse(faults)?;
                destination.check(node, faults);
                Some(Blueprint::Stage(Box::new(drive::Driven(destination))))
            },
            schema: |generator| D::json_schema(generator),
        }
    }

    /// Makes the row of a stage that runs as a task of its own.
    #[must_use]
    pub const fn stage<B: Build>() -> Self {
        Self {
            name: B::NAME,
            aliases: &[],
            role: B::ROLE,
            parse: |node, faults| {
                let build: B = node.parse(faults)?;
                build.check(node, faults);
                Some(Blueprint::Stage(Box::new(build)))
            },
            schema: |generator| B::json_schema(generator),
        }
    }

    /// Adds other names the kind is known by.
    #[must_use]
    pub const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}
