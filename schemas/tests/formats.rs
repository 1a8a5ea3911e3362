//! Each case is a document and what it desugars to: stages and warnings, or the faults as people see them.

use std::path::Path;

use engine::config::{Document, Faults, Node, Pointer};
use engine::graph::draft::Draft;
use schemas::connections::Connections;
use schemas::{connector, receiver, webhooks};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    format: Format,
    #[serde(default)]
    receiver: Value,
    document: Vec<String>,
    #[serde(default)]
    stages: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    faults: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Webhooks,
    Receiver,
    Connector,
}

fn lookup(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "s3cret".to_owned())
}

fn read_receiver(value: &Value, faults: &mut Faults) -> Option<receiver::Receiver> {
    let node = value.is_object().then(|| Node::new(value.clone(), Pointer::root()));
    receiver::read(node.as_ref(), Path::new("/etc"), &lookup, &Vec::new(), faults)
}

fn drafts(case: &Case, source: &str, faults: &mut Faults) -> Vec<Draft> {
    let Some(document) = Document::read(source, &lookup, faults) else { return Vec::new() };
    match case.format {
        Format::Webhooks => {
            let settings =
                read_receiver(&case.receiver, &mut Faults::default()).expect("a case's receiver is sound");
            let connections = Connections::read(None, faults);
            webhooks::read(&document.root, &settings, &connections, faults)
        }
        Format::Receiver => {
            read_receiver(document.root.value(), faults);
            Vec::new()
        }
        Format::Connector => connector::read(&document.root, &Connections::read(None, faults), faults),
    }
}

fn describe(draft: &Draft) -> String {
    let from: Vec<_> = draft.from.iter().map(ToString::to_string).collect();
    let from = if from.is_empty() { String::new() } else { format!(" < {}", from.join(", ")) };
    format!("{}: {}{from}", draft.name, draft.module)
}

#[test]
fn every_case_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the cases are there");
    for file in files {
        let case: Case = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let source = case.document.join("\n");
        let mut faults = Faults::default();
        let stages: Vec<_> = drafts(&case, &source, &mut faults).iter().map(describe).collect();
        let name = match case.format {
            Format::Webhooks => "webhooks.json",
            Format::Receiver => "receiver.json",
            Format::Connector => "connector.json",
        };
        let told: Vec<_> = if faults.is_empty() {
            Vec::new()
        } else {
            faults.render(name, &source).lines().map(str::to_owned).collect()
        };
        let stages = if faults.is_empty() { stages } else { Vec::new() };
        let warnings: Vec<_> =
            faults.warnings().map(|warning| format!("{} {}", warning.at, warning.problem)).collect();
        if (&stages, &told) != (&case.stages, &case.faults)
            || (faults.is_empty() && warnings != case.warnings)
        {
            wrong.push(format!("{}: {stages:#?} {told:#?} {warnings:#?}", file.display()));
        }
        assert!(!told.join("").contains("s3cret"), "no secret in a fault");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn settings_come_from_the_file_then_the_environment_then_flags() {
    let file = Node::new(serde_json::json!({"listen": "127.0.0.1:1", "drain_seconds": 5}), Pointer::root());
    let environment = |name: &str| match name {
        "WEBHOOK_CONNECT_LISTEN" => Some("127.0.0.1:2".to_owned()),
        "WEBHOOK_CONNECT_MAX_BODY_BYTES" => Some(String::new()),
        "WEBHOOK_CONNECT_BUFFER" => Some("embedded:here".to_owned()),
        "WEBHOOK_CONNECT_DRAIN_SECONDS" => Some("7".to_owned()),
        "WEBHOOK_CONNECT_TRUSTED_PROXIES" => Some("10.0.0.0/8, ::1".to_owned()),
        _ => None,
    };
    let flags: receiver::Flags = vec![(&["listen"], "127.0.0.1:3".to_owned())];
    let mut faults = Faults::default();
    let read = receiver::read(Some(&file), Path::new("/etc"), &environment, &flags, &mut faults).unwrap();
    assert!(faults.is_empty());
    assert_eq!(read.listen.port(), 3);
    assert_eq!(read.drain_seconds, 7);
    assert_eq!(read.buffer, receiver::Buffer::Embedded("here".into()));
    let trusts = |address: &str| read.trusted_proxies.contains(address.parse().unwrap());
    assert!(trusts("10.1.2.3") && trusts("::1") && !trusts("192.0.2.1"));
    let read = receiver::read(None, Path::new("/etc"), &lookup, &Vec::new(), &mut faults).unwrap();
    assert_eq!(read.buffer, receiver::Buffer::Embedded("/etc/./data".into()));
}

#[test]
fn a_certificate_opens_other_addresses_than_the_loopback() {
    let file = Node::new(
        serde_json::json!({"listen": "0.0.0.0:443", "tls": {"cert": "c.pem", "key": "/run/k.pem"}}),
        Pointer::root(),
    );
    let environment =
        |name: &str| (name == "WEBHOOK_CONNECT_TLS_CLIENT_CA").then(|| "./authorities.pem".to_owned());
    let mut faults = Faults::default();
    let read = |environment: &dyn engine::config::Lookup, flags: &receiver::Flags, faults: &mut Faults| {
        receiver::read(Some(&file), Path::new("/etc"), environment, flags, faults)
    };
    let tls = |cert: &str, client_ca: Option<&str>| receiver::Tls {
        cert: cert.into(),
        key: "/run/k.pem".into(),
        client_ca: client_ca.map(Into::into),
    };
    let settings = read(&environment, &Vec::new(), &mut faults).unwrap();
    assert_eq!(settings.tls, Some(tls("/etc/c.pem", Some("./authorities.pem"))));
    let flags: receiver::Flags = vec![(&["tls", "cert"], "d.pem".to_owned())];
    let settings = read(&lookup, &flags, &mut faults).unwrap();
    assert_eq!(settings.tls, Some(tls("d.pem", None)));
    assert!(faults.is_empty());
    let half: receiver::Flags = vec![(&["tls", "key"], "k.pem".to_owned())];
    assert!(receiver::read(None, Path::new("/etc"), &lookup, &half, &mut faults).is_none());
    assert!(format!("{faults:?}").contains("cert"), "{faults:?}");
}

#[test]
fn a_channel_and_a_destination_are_enough() {
    let mut faults = Faults::default();
    let root = Node::new(serde_json::json!({}), Pointer::root());
    let drafts =
        connector::one_channel((&root, "payments"), "http://localhost:3000/", "http://c:1", "t", &mut faults);
    let stages: Vec<_> = drafts.iter().map(describe).collect();
    let wanted = [
        "payments.subscribe: subscribe",
        "payments.retry: retry < payments.subscribe",
        "payments.http_webhook: http_webhook < payments.retry",
    ];
    assert_eq!(stages, wanted);
    assert!(faults.is_empty());
}
