//! Configurations that cannot work, told all at once; and what another process has taken.

use std::io::Write as _;
use std::process::Command;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::receiver::Setup;
use conformance::stand::built_binary;

use crate::{is_well, start};

/// Runs the binary to its end and returns its exit code and everything it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(built_binary().expect("the binary is built"))
        .args(arguments)
        .output()
        .expect("the binary can be started");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_folder_and_a_port_in_use_are_named() -> Result<(), Failed> {
    let (stand, receiver) = start(Setup::default()).await;
    let file = |name: &str| stand.folder().join(name).display().to_string();
    let (config, own) = (file("webhooks.json"), file("receiver.json"));
    let buffer = format!("embedded:{}", file("data"));
    let common = ["receiver", "--config", &config, "--receiver-config", &own];
    let (code, said) = run(&[&common[..], &["--listen", "127.0.0.1:0", "--buffer", &buffer]].concat());
    ensure_eq("the exit code of a second receiver on one folder", &code, &Some(1))?;
    ensure(said.contains(&file("data")) && said.contains("in use"), || {
        format!("the folder in use, found: {said}")
    })?;
    let listen = receiver.address().to_string();
    let (code, said) = run(&[&common[..], &["--listen", &listen, "--buffer", "memory:"]].concat());
    ensure_eq("the exit code of a second receiver on one port", &code, &Some(1))?;
    ensure(said.contains(&listen), || format!("the port in use, found: {said}"))?;
    is_well(&receiver, 0).await
}

#[test]
fn a_broken_configuration_tells_all_faults_at_once_with_pointer_and_line() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("a file can be written");
        path.display().to_string()
    };
    let webhooks = write(
        "webhooks.json",
        "{\n  \"a\": {\n    \"module\": \"webhook_connect\",\n    \"module-config\": {\"channel\": \"c\"},\n    \
         \"hmac\": {\"secret\": \"{$NOT_SET_ANYWHERE}\", \"hedder\": \"x\"}\n  },\n  \"b\": {\"module\": \"kafak\"}\n}",
    );
    let own = write("receiver.json", "{\"listen\": \"0.0.0.0:80\"}");
    let (code, said) = run(&["receiver", "--config", &webhooks, "--receiver-config", &own]);
    assert_eq!(code, Some(2), "{said}");
    for wanted in [
        "/listen",
        "/a/module-config",
        "/a/hmac/secret",
        "line 5",
        "NOT_SET_ANYWHERE",
        "/b/module",
        "line 7",
        "webhooks.json: ",
        "receiver.json: 1 problem",
    ] {
        assert!(said.contains(wanted), "wanted {wanted:?} in: {said}");
    }
    let connector = write(
        "connector.json",
        "{\n  \"cloud\": {\"url\": \"http://x\", \"token\": \"t\"},\n  \"routes\": {\n    \"c\": {\"module\": \"kafak\"},\n    \
         \"d\": {\"module\": \"log\", \"module-config\": {\"prefx\": \"x\"}}\n  }\n}",
    );
    let (code, said) = run(&["--config", &connector]);
    assert_eq!(code, Some(2), "{said}");
    for wanted in [
        "/routes/c/module",
        "line 4",
        "kafak",
        "/routes/d/module-config/prefx",
        "line 5",
        "did you mean `prefix`",
    ] {
        assert!(said.contains(wanted), "wanted {wanted:?} in: {said}");
    }
}
