//! Everything promised to outsiders: configuration formats and the wire.
//!
//! Each format desugars to [`Draft`](engine::graph::draft::Draft)s: [`webhooks`] for a receiver, with the settings of
//! [`receiver`]; [`connector`] for a connector, with the [`link`] to its receiver and the named [`connections`]; [`graph`],
//! the explicit form, for either.

pub mod webhooks;

pub mod receiver;
pub mod reload;

pub mod connector;

pub mod link;

pub mod connections;

pub mod graph;

pub mod paths;

pub mod print;

pub mod kinds;

pub mod modules;

pub mod publish;

pub mod wire;

mod route;

mod chain;

mod flat;

mod direct;

mod names;

mod hide;

mod unavailable;
