//! The machine of Webhook Connect: no HTTP, no disk, no product names.
//!
//! Reading order: a [`webhook`] and the [`ack`] that goes with it; the [`ledger`] that accounts for both; what a stage
//! is ([`kind`]), how stages are joined ([`port`], [`supply`]) and driven ([`drive`]); what a buffer promises ([`store`]);
//! how documents ([`config`]) become a checked [`graph`] and that a running [`pipeline`].

pub mod webhook;

pub mod headers;

pub mod query;

pub mod network;

pub mod moment;

pub mod record;

pub mod ack;

pub mod ledger;

pub mod kind;

pub mod port;

pub mod supply;

pub mod tap;

pub mod limits;

pub mod store;

pub mod drive;

pub mod failure;

pub mod backoff;

pub mod clock;

pub mod chance;

pub mod meter;

pub mod config;

pub mod graph;

pub mod pipeline;

mod sync;
