//! The plan of every simple form is an explicit graph: sound, and its own plan.

use std::process::Command;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::stand::built_binary;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::plan::write_plan;

/// Every simple form there is, each as the files that belong to it; the first one is planned.
fn forms() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let url = |path: &str| json!({ "url": format!("http://127.0.0.1:1/{path}") });
    let to = |path: &str| json!({ "module": "http_webhook", "module-config": url(path) });
    let letters = json!({ "module": "save_to_disk", "module-config": { "path": "letters" } });
    let entry = |channel: &str| {
        json!({
            "module": "webhook_connect",
            "module-config": { "channel": channel, "channel_token": "{$T}", "ttl_seconds": "{$TTL:60}" },
            "basic_auth": { "username": "{$U}", "password": "{$P}" },
            "ip_whitelist": ["{$NET:10.0.0.0/8}", "::1"],
            "trusted_proxies": ["127.0.0.1", "{$NET:10.0.0.0/8}"],
            "header_auth": { "api_key": "{$K}", "api_keys": ["{$K}"] },
            "query_auth": { "api_keys": ["{$K}"], "parameter_name": "{$N:key}" },
        })
    };
    let mut strict = entry("s");
    strict["methods"] = json!(["POST", "PUT"]);
    strict["content_types"] = json!(["application/json"]);
    strict["max_body_bytes"] = json!("{$MOST:1000}");
    strict["response"] = json!({ "status": 202, "headers": { "_x": "y" }, "body": { "_a": 1 } });
    strict["rate_limit"] = json!({ "max_requests": 5, "per": "client" });
    strict["json_schema"] = json!({ "properties": { "_a": { "const": "{$A:b}" } } });
    strict["credential_cleanup"] = json!({ "mode": "{$MODE:remove}", "fields": ["card"] });
    let cloud = json!({ "url": "http://127.0.0.1:1", "token": "{$T}" });
    let flat = |key: &str, value: Value| json!({ "cloud_url": "{$URL}", "channel": "c", "token": "{$T}", "max_concurrent_requests": 3, key: value });
    let chain = json!({
        "chain": ["log", { "module": "http_webhook", "connection": "db", "required": false }],
        "chain-config": { "execution": "parallel", "timeout": 5 },
        "dead_letter": letters,
    });
    let ways = json!({ "by_webhook": { "a": to("a"), "b": chain }, "module": "log", "retry": { "max_attempts": 2 } });
    let connections = json!({ "db": { "type": "http", "url": "http://127.0.0.1:1/", "timeout": 5 } });
    let routes =
        |route: &Value| json!({ "cloud": cloud, "routes": { "c": route }, "connections": connections });
    let delivered = json!({
        "module": "http_webhook", "module-config": url("a"), "dead_letter": letters, "retry": { "enabled": false },
    });
    vec![
        ("webhooks", vec![("webhooks.json", json!({ "a": entry("c"), "b": entry("c"), "d": entry("e") }))]),
        ("what an entry takes", vec![("webhooks.json", json!({ "s": strict }))]),
        (
            "direct mode",
            vec![
                ("webhooks.json", json!({ "one": delivered, "two": chain })),
                ("connections.json", connections.clone()),
            ],
        ),
        ("a route", vec![("connector.json", routes(&json!("http://127.0.0.1:1/")))]),
        ("a chain", vec![("connector.json", routes(&chain))]),
        ("by webhook", vec![("connector.json", routes(&ways))]),
        (
            "channels",
            vec![(
                "connector.json",
                json!({ "cloud_url": "http://h", "channels": { "c": { "token": "{$T}", "destination": to("c"), "dead_letter": letters } } }),
            )],
        ),
        ("a default target", vec![("connector.json", flat("default_target", url("t")))]),
        ("targets", vec![("connector.json", flat("targets", json!({ "a": url("a"), "b": url("b") })))]),
        (
            "a webhooks file",
            vec![
                ("connector.json", flat("webhooks_config", json!("entries.json"))),
                (
                    "entries.json",
                    json!({ "a": { "module": "log", "hmac": { "secret": "{$S}" } }, "b": chain }),
                ),
                ("connections.json", connections.clone()),
            ],
        ),
    ]
}

#[test]
fn the_plan_of_every_simple_form_is_a_sound_graph_that_is_its_own_plan() -> Result<(), Failed> {
    for (form, files) in forms() {
        let folder = TempDir::new()?;
        for (name, file) in &files {
            std::fs::write(folder.path().join(name), file.to_string())?;
        }
        let (planned, _) = files.first().ok_or_else(|| Failed(format!("{form} has no file")))?;
        write_plan(folder.path(), planned, &[], "graph.json")?;
        write_plan(folder.path(), "graph.json", &[], "again.json")?;
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name));
        let (graph, again) = (read("graph.json")?, read("again.json")?);
        ensure_eq(&format!("the plan of the plan of {form}"), &again, &graph)?;
        ensure(graph.contains("\"module\""), || format!("{form} has no stages: {graph}"))?;
        let mut command = Command::new(built_binary()?);
        command.env_clear().current_dir(folder.path()).args(["check", "graph.json", "--no-secrets"]);
        let output = command.output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure(output.status.success(), || format!("{form}: {told}\n{graph}"))?;
    }
    Ok(())
}
