//! What travels between a receiver and a connector.

pub mod ascii;
pub mod compatible;
pub mod frame;
mod get;

/// The WebSocket subprotocol of the native dialect.
pub const SUBPROTOCOL: &str = "webhook-connect.v1";

/// The header by which both ends say that they know our additions to the protocol.
pub const VERSION_HEADER: &str = "webhook-connect-version";

/// The header by which a receiver tells connectors of the compatible dialect that announced the version how long they may
/// take for a webhook without a sign of progress, in seconds.
pub const ACK_TIMEOUT_HEADER: &str = "webhook-connect-ack-timeout";

/// The header by which a receiver tells connectors that announced the version how many settlements one
/// `POST /connect/ack` may tell in its body, one message per line.
pub const SETTLEMENTS_HEADER: &str = "webhook-connect-settlements";

/// The media type of a body with several settlements.
pub const SETTLEMENTS_TYPE: &str = "application/x-ndjson";

/// The value of [`VERSION_HEADER`].
pub const VERSION: &str = "1";

/// The largest native frame a receiver sends or takes: a record of a 10 MiB body with its head fits.
pub const LARGEST_FRAME: usize = 12 * 1024 * 1024;
