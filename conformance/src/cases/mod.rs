//! Every case, by theme.

mod ack;
mod chain;
mod crash;
mod damage;
mod disk;
mod durability;
mod fidelity;
mod operation;
mod reload;
mod security;
mod tap;
mod transport;

use crate::case::Case;

/// The id of the case that looks at the balance of everything.
pub const AUDIT: &str = "LED-01";

/// Returns every case, in the order of the report.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        ack::CASES,
        durability::CASES,
        crash::CASES,
        disk::CASES,
        damage::CASES,
        fidelity::CASES,
        operation::CASES,
        reload::CASES,
        security::CASES,
        transport::CASES,
        chain::CASES,
    ]
    .concat()
}

/// Returns the case with this id.
#[must_use]
pub fn find(id: &str) -> Option<Case> {
    all().into_iter().find(|case| case.id == id)
}
