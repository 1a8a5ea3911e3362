//! From drafts to plans: what the formats describe, checked whole before anything is opened.
//!
//! A [`Draft`](draft::Draft) names a stage with its settings unread. [`check`](check::check) reads all settings, judges all
//! wires, reports every fault, and gives one [`Plan`](plan::Plan) per pipeline: stages that are joined to one another,
//! and to nothing else.

pub mod draft;

pub mod plan;

pub mod check;

mod wires;

#[cfg(test)]
mod tests;
