//! Gates that look at what a webhook is and how many there are, not at who sent it.

pub(crate) mod credential_cleanup;
pub(crate) mod handshake;
pub(crate) mod json_schema;
pub(crate) mod rate_limit;
pub(crate) mod well_formed;
