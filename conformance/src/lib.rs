//! The acceptance gate: cases that prove the guarantees against the real binary, knowing only its command line, its files
//! and the wire.
//!
//! A [`case::Case`] runs on a [`stand::Stand`]: a temporary folder, a binary, a buffer. Its [`party`]s are senders, connectors,
//! proxies and destinations that behave as the case wants. The [`runner`] makes a [`report`] of the verdicts.

pub mod case;

pub mod cases;

pub mod stand;

pub mod party;

pub mod runner;

pub mod deployment;

pub mod under_test;

pub mod report;
