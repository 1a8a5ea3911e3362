//! Gates that look at what a webhook is, not at who sent it.

pub(crate) mod handshake;
pub(crate) mod well_formed;
