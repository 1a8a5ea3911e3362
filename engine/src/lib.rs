//! The machine of Webhook Connect: no HTTP, no disk, no product names.
//!
//! Reading order: a [`webhook`] and the [`ack`] that goes with it; the [`ledger`] that accounts for both; how stages are
//! joined ([`port`]) and what a stage is ([`kind`], [`store`]).

pub mod webhook;

pub mod headers;

pub mod record;

pub mod ack;

pub mod ledger;

mod sync;
