//! `receiver.json`: settings of a receiver as a whole.
//!
//! Each setting may also come from the environment or a flag: default < file < environment < flag.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use engine::config::{Faults, Lookup, Node, Pointer, Secret, is_open};
use engine::limits::Limits;
use engine::network::Networks;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::unavailable;

/// The keys at the top, by which a document is known as a receiver's.
pub(crate) const KEYS: &[&str] = &[
    "listen",
    "admin_listen",
    "admin_token",
    "insecure_http",
    "tls",
    "buffer",
    "channel_token",
    "trusted_proxies",
    "allow_query_token",
    "drain_seconds",
    "max_body_bytes",
    "head_timeout_seconds",
    "body_timeout_seconds",
    "flow_log",
    "limits",
];

/// The keys that are not part of this version.
const LATER: [&str; 1] = ["admin_listen"];

/// The settings that may come from the environment, each with the pointer of its key in `receiver.json`.
const VARIABLES: [(&str, &[&str]); 13] = [
    ("WEBHOOK_CONNECT_LISTEN", &["listen"]),
    ("WEBHOOK_CONNECT_ADMIN_TOKEN", &["admin_token"]),
    ("WEBHOOK_CONNECT_INSECURE_HTTP", &["insecure_http"]),
    ("WEBHOOK_CONNECT_TLS_CERT", &["tls", "cert"]),
    ("WEBHOOK_CONNECT_TLS_KEY", &["tls", "key"]),
    ("WEBHOOK_CONNECT_TLS_CLIENT_CA", &["tls", "client_ca"]),
    ("WEBHOOK_CONNECT_BUFFER", &["buffer", "url"]),
    ("WEBHOOK_CONNECT_CHANNEL_TOKEN", &["channel_token"]),
    ("WEBHOOK_CONNECT_TRUSTED_PROXIES", &["trusted_proxies"]),
    ("WEBHOOK_CONNECT_DRAIN_SECONDS", &["drain_seconds"]),
    ("WEBHOOK_CONNECT_MAX_BODY_BYTES", &["max_body_bytes"]),
    ("WEBHOOK_CONNECT_FLOW_LOG", &["flow_log", "enabled"]),
    ("WEBHOOK_CONNECT_FLOW_LOG_SAMPLE", &["flow_log", "sample"]),
];

/// Settings of a receiver as a whole.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The token of the admin API, which is off without one.
    pub admin_token: Option<Secret>,
    /// The certificate to listen with; none listens without TLS.
    pub tls: Option<Tls>,
    /// Where webhooks are kept.
    pub buffer: Buffer,
    /// The token of every channel that has none of its own.
    pub channel_token: Option<Secret>,
    /// Whether connectors may give their token as `?token=`.
    pub allow_query_token: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// How long deliveries in flight may take to finish after SIGTERM, in seconds.
    pub drain_seconds: u64,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// How long a sender may take for its headers, in seconds.
    pub head_timeout_seconds: u64,
    /// How long a sender may take for its body, in seconds.
    pub body_timeout_seconds: u64,
    /// The log lines of every webhook.
    pub flow_log: FlowLog,
    /// The defaults of every channel.
    pub limits: Limits,
    /// What a plan shows of these settings.
    pub shown: Shown,
}

impl Receiver {
    /// Returns the settings that are different from those in force and are read at start only.
    #[must_use]
    pub fn needs_restart(&self, in_force: &Self) -> Vec<&'static str> {
        let different = [
            ("listen", self.listen != in_force.listen),
            ("admin_token", !same(self.admin_token.as_ref(), in_force.admin_token.as_ref())),
            ("tls", self.tls != in_force.tls),
            ("allow_query_token", self.allow_query_token != in_force.allow_query_token),
            ("trusted_proxies", self.trusted_proxies != in_force.trusted_proxies),
            ("drain_seconds", self.drain_seconds != in_force.drain_seconds),
            ("max_body_bytes", self.max_body_bytes != in_force.max_body_bytes),
            ("head_timeout_seconds", self.head_timeout_seconds != in_force.head_timeout_seconds),
            ("body_timeout_seconds", self.body_timeout_seconds != in_force.body_timeout_seconds),
            ("flow_log", self.flow_log != in_force.flow_log),
        ];
        different.into_iter().filter(|(_, different)| *different).map(|(key, _)| key).collect()
    }

    /// Complains when webhooks would be kept elsewhere than now: those that are kept already would stay where they are.
    pub fn refuse_other_buffer(&self, in_force: &Self, faults: &mut Faults) {
        if self.buffer != in_force.buffer {
            let help =
                "put it back, or start again with it; webhooks that are still in the old place stay there";
            let at = Pointer::root().child("buffer").child("url");
            faults.add(&at, "the buffer cannot change while the receiver runs", Some(help.to_owned()));
        }
    }

    /// Stands for a receiver whose own settings are at fault, so that its webhooks can be checked all the same.
    #[must_use]
    pub fn stand_in() -> Self {
        let File { drain_seconds, head_timeout_seconds, body_timeout_seconds, flow_log, limits, .. } =
            File::default();
        let token = Node::stand_in(Pointer::root().child("channel_token"));
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_token: None,
            buffer: Buffer::Memory,
            channel_token: token.text().map(Secret::new),
            trusted_proxies: Networks::default(),
            drain_seconds,
            // Whatever an entry asks for fits.
            max_body_bytes: usize::MAX,
            head_timeout_seconds,
            body_timeout_seconds,
            flow_log,
            limits,
            tls: None,
            allow_query_token: false,
            shown: Shown { limits: None, channel_token: Some(token) },
        }
    }
}

fn same(one: Option<&Secret>, other: Option<&Secret>) -> bool {
    one.map(Secret::expose) == other.map(Secret::expose)
}

/// The settings that become part of stages, as they are written.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The limits that are not left to their defaults.
    pub limits: Option<Node>,
    /// The token of every channel that has none of its own.
    pub channel_token: Option<Node>,
}

/// Where webhooks are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// In a folder, durably.
    Embedded(PathBuf),
    /// In memory, until the process ends.
    Memory,
}

/// The certificate to listen with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the certificate and what links it to its authority, as PEM. Read again when it changes.
    pub cert: PathBuf,
    /// File with its private key, as PEM. Read again when it changes.
    pub key: PathBuf,
    /// File with the authorities of connectors' certificates, as PEM. With it, everything below `/connect` needs a client
    /// certificate of theirs; senders of webhooks need none.
    pub client_ca: Option<PathBuf>,
}

/// The log lines of every webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowLog {
    /// Whether they are written.
    pub enabled: bool,
    /// One line in this many is written. 1 writes all.
    #[schemars(range(min = 1))]
    pub sample: u64,
}

impl Default for FlowLog {
    fn default() -> Self {
        Self { enabled: true, sample: 1 }
    }
}

/// Settings of a receiver as a whole. What an environment variable or a flag says wins over the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// Address and port to listen at. Another address than the loopback needs `tls` or `insecure_http`.
    listen: String,
    /// The token of the admin API, which is off without one.
    admin_token: Option<Secret>,
    /// Listen without TLS on other addresses than the loopback: behind a proxy that speaks TLS.
    insecure_http: bool,
    /// The certificate to listen with. Without it, the receiver speaks plain HTTP.
    tls: Option<Tls>,
    /// Where webhooks are kept.
    buffer: BufferFile,
    /// The token of every channel that has none of its own.
    channel_token: Option<Secret>,
    /// Whether connectors may give their token as `?token=`, which proxies write into their logs.
    allow_query_token: bool,
    /// Proxies whose `X-Forwarded-For` is believed, as networks (`10.0.0.0/8`) or addresses. A webhook may have its own.
    #[schemars(extend("default" = []))]
    trusted_proxies: Networks,
    /// Seconds that deliveries in flight may take to finish after SIGTERM.
    drain_seconds: u64,
    /// The largest body, in bytes. 10,485,760 at most.
    #[schemars(range(max = 10_485_760))]
    max_body_bytes: usize,
    /// Seconds a sender may take for its headers.
    head_timeout_seconds: u64,
    /// Seconds a sender may take for its body.
    body_timeout_seconds: u64,
    /// The log lines of every webhook.
    flow_log: FlowLog,
    /// The defaults of every channel.
    limits: Limits,
}

/// Where webhooks are kept, as it is written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BufferFile {
    /// `embedded:FOLDER` or `memory:`.
    url: String,
}

/// The longest wait that may be configured, in seconds: a day.
const LONGEST_WAIT: u64 = 86_400;

/// The largest body there may be, in bytes: what fits into a frame of the wire.
const LARGEST_BODY: usize = 10 << 20;

impl Default for File {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            admin_token: None,
            insecure_http: false,
            tls: None,
            buffer: BufferFile { url: "embedded:./data".to_owned() },
            channel_token: None,
            allow_query_token: false,
            trusted_proxies: Networks::default(),
            drain_seconds: 30,
            max_body_bytes: LARGEST_BODY,
            head_timeout_seconds: 15,
            body_timeout_seconds: 60,
            flow_log: FlowLog::default(),
            limits: Limits::default(),
        }
    }
}

/// Describes the file.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    File::json_schema(generator)
}

/// What the command line says: texts by the pointer of the key they stand for.
pub type Flags = Vec<(&'static [&'static str], String)>;

/// Reads the settings from the file, the environment and the flags. A variable that is set to nothing counts as not set.
///
/// Relative paths are relative to `folder`, where the file stands, when they come from the file, and to the working
/// directory otherwise.
pub fn read(
    file: Option<&Node>,
    folder: &Path,
    environment: &dyn Lookup,
    flags: &Flags,
    faults: &mut Faults,
) -> Option<Receiver> {
    let root = Pointer::root();
    let mut all = file.map_or_else(|| json!({}), |file| file.value().clone());
    if let Some(file) = file {
        refuse_later(file, faults);
        if let Some(members) = all.as_object_mut() {
            members.retain(|key, _| !LATER.contains(&key.as_str()) && !key.starts_with('_'));
        }
    }
    join_paths(&mut all, folder);
    let mut buffer_from_file = true;
    let set_to = |name| environment.get(name).filter(|text| !text.is_empty());
    let variables = VARIABLES.iter().filter_map(|(name, keys)| Some((*keys, set_to(name)?)));
    for (keys, text) in variables.chain(flags.iter().map(|(keys, text)| (*keys, text.clone()))) {
        buffer_from_file &= keys != ["buffer", "url"];
        set(&mut all, keys, text);
    }
    let all = Node::new(all, root.clone());
    let shown = Shown { limits: all.get("limits"), channel_token: all.get("channel_token") };
    let file: File = all.parse(faults)?;
    file.limits.check(&root.child("limits"), faults);
    let listen = read_listen(&file, &root, faults);
    let base = if buffer_from_file { folder } else { Path::new("") };
    let buffer = read_buffer(&file.buffer.url, base, &root.child("buffer").child("url"), faults);
    if let Some(list) = all.get("trusted_proxies") {
        file.trusted_proxies.check(&list, faults);
    }
    let waits = [
        ("drain_seconds", file.drain_seconds),
        ("head_timeout_seconds", file.head_timeout_seconds),
        ("body_timeout_seconds", file.body_timeout_seconds),
    ];
    for (key, _) in waits.into_iter().filter(|(_, seconds)| !(1..=LONGEST_WAIT).contains(seconds)) {
        faults.add(&root.child(key), format!("must be 1 to {LONGEST_WAIT} seconds"), None);
    }
    if file.max_body_bytes == 0 {
        faults.add(&root.child("max_body_bytes"), "must be 1 or more: with 0 nothing could be taken", None);
    }
    if file.max_body_bytes > LARGEST_BODY {
        faults.add(&root.child("max_body_bytes"), format!("at most {LARGEST_BODY}"), None);
    }
    Some(Receiver {
        listen: listen?,
        admin_token: file.admin_token.filter(|token| !token.is_empty()),
        tls: file.tls,
        buffer: buffer?,
        channel_token: file.channel_token.filter(|token| !token.is_empty()),
        allow_query_token: file.allow_query_token,
        trusted_proxies: file.trusted_proxies,
        drain_seconds: file.drain_seconds,
        max_body_bytes: file.max_body_bytes,
        head_timeout_seconds: file.head_timeout_seconds,
        body_timeout_seconds: file.body_timeout_seconds,
        flow_log: file.flow_log,
        limits: file.limits,
        shown,
    })
}

fn refuse_later(file: &Node, faults: &mut Faults) {
    for (key, member) in file.members().filter(|(key, _)| LATER.contains(key)) {
        unavailable::refuse(&member, &format!("`{key}`"), faults);
    }
}

/// Makes the paths that the file has independent of the working directory.
fn join_paths(all: &mut Value, folder: &Path) {
    let Some(tls) = all.get_mut("tls").and_then(Value::as_object_mut) else { return };
    for path in tls.values_mut() {
        if let Some(text) = path.as_str() {
            *path = json!(folder.join(text));
        }
    }
}

/// Sets the member at `keys`. A list is written with commas between its items.
pub(crate) fn set(all: &mut Value, keys: &[&str], text: String) {
    let Some((last, way)) = keys.split_last() else { return };
    let mut place = all;
    for key in way {
        if !place[*key].is_object() {
            place[*key] = json!({});
        }
        place = &mut place[*key];
    }
    place[*last] = match *last {
        "trusted_proxies" => text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
        _ => Value::String(text),
    };
}

fn read_listen(file: &File, root: &Pointer, faults: &mut Faults) -> Option<SocketAddr> {
    let at = root.child("listen");
    if is_open(&file.listen) {
        return Some(SocketAddr::from(([127, 0, 0, 1], 8080)));
    }
    let Ok(listen) = file.listen.parse::<SocketAddr>() else {
        faults.add(&at, "expected an address and a port, like 127.0.0.1:8080 or [::]:8080", None);
        return None;
    };
    if !listen.ip().is_loopback() && !file.insecure_http && file.tls.is_none() {
        let help = "give it a certificate with `tls` or --tls-cert and --tls-key, or, behind a proxy that speaks TLS, say so \
            with `insecure_http` or --insecure-http";
        faults.add(&at, "this address would take webhooks without TLS", Some(help.to_owned()));
    }
    Some(listen)
}

fn read_buffer(url: &str, base: &Path, at: &Pointer, faults: &mut Faults) -> Option<Buffer> {
    if is_open(url) {
        return Some(Buffer::Embedded(base.join("data")));
    }
    match url.split_once(':') {
        Some(("embedded", path)) if !path.is_empty() => Some(Buffer::Embedded(base.join(path))),
        Some(("memory", "")) => Some(Buffer::Memory),
        Some((scheme @ ("redis" | "rediss" | "amqp" | "amqps"), _)) => {
            let help = "this version has `embedded:FOLDER` and `memory:`".to_owned();
            faults.add(at, format!("a `{scheme}:` buffer is not available in this version"), Some(help));
            None
        }
        Some(_) | None => {
            faults.add(at, "expected `embedded:FOLDER` or `memory:`", None);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(file: &Value) -> Receiver {
        let (root, mut faults) = (Node::new(file.clone(), Pointer::root()), Faults::default());
        let nothing = |_: &str| None;
        let read = read(Some(&root), Path::new(""), &nothing, &Flags::new(), &mut faults);
        read.unwrap_or_else(|| panic!("{faults:?}"))
    }

    #[test]
    fn what_is_read_at_start_only_is_named_when_it_is_different() {
        let before = read_text(&json!({}));
        let now = json!({
            "listen": "127.0.0.1:9", "admin_token": "a", "allow_query_token": true, "trusted_proxies": ["10.0.0.0/8"],
            "drain_seconds": 1, "max_body_bytes": 1, "head_timeout_seconds": 1, "body_timeout_seconds": 1,
            "flow_log": {"sample": 2}, "tls": {"cert": "c", "key": "k"}, "channel_token": "t", "limits": {"max_in_flight": 1},
        });
        let mut named = read_text(&now).needs_restart(&before);
        named.sort_unstable();
        let all = ["admin_token", "allow_query_token", "body_timeout_seconds", "drain_seconds", "flow_log"];
        let more = ["head_timeout_seconds", "listen", "max_body_bytes", "tls", "trusted_proxies"];
        assert_eq!(named, [all, more].concat());
        assert!(before.needs_restart(&before).is_empty());
    }

    #[test]
    fn another_buffer_is_refused() {
        let (before, mut faults) = (read_text(&json!({})), Faults::default());
        before.refuse_other_buffer(&before, &mut faults);
        assert!(faults.is_empty());
        read_text(&json!({"buffer": {"url": "memory:"}})).refuse_other_buffer(&before, &mut faults);
        assert!(faults.render("receiver.json", "{}").contains("/buffer/url"), "{faults:?}");
    }
}
