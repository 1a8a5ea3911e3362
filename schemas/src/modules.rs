//! The names that users know and this version may not have: they are never taken for a slip of the pen.

use engine::graph::check::Absent;
use engine::kind::Kind;

/// The modules of the Python product, and the other names of two of them.
pub const MODULES: [&str; 20] = [
    "log",
    "save_to_disk",
    "rabbitmq",
    "redis_rq",
    "http_webhook",
    "kafka",
    "s3",
    "redis_publish",
    "clickhouse",
    "websocket",
    "mqtt",
    "zeromq",
    "activemq",
    "aws_sqs",
    "gcp_pubsub",
    "postgresql",
    "postgres",
    "mysql",
    "mariadb",
    "webhook_connect",
];

/// The ways a sender can prove itself.
pub const AUTH: [&str; 12] = [
    "authorization",
    "basic_auth",
    "jwt",
    "hmac",
    "signature",
    "ip_whitelist",
    "header_auth",
    "query_auth",
    "digest_auth",
    "oauth1",
    "oauth2",
    "recaptcha",
];

/// Why a name is not there: it comes with another version.
const LATER: &str = "is not available in this version";

/// Why a stage is not there: it belongs to the other end.
const OTHER_END: &str = "belongs to the other end: a receiver has `receive`, buffers and `webhook_connect`, a connector \
                         `subscribe`";

/// Returns the names that are not among `kinds`, each with the reason. `everywhere` are the kinds of both ends.
#[must_use]
pub fn absent(kinds: &[Kind], everywhere: &[Kind]) -> Vec<Absent> {
    let is_kind = |kinds: &[Kind], name: &str| {
        kinds.iter().any(|kind| kind.name == name || kind.aliases.contains(&name))
    };
    let other_end = everywhere.iter().filter(|kind| !is_kind(kinds, kind.name));
    let other_end = other_end.map(|kind| Absent { name: kind.name, why: OTHER_END });
    let known = MODULES.into_iter().chain(AUTH).filter(|name| !is_kind(everywhere, name));
    other_end.chain(known.map(|name| Absent { name, why: LATER })).collect()
}
