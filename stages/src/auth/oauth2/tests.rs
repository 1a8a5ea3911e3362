//! The gate against tokens that it reads, and against a server that it asks.

use std::time::UNIX_EPOCH;

use engine::kind::Kind;
use engine::meter::Metric;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::auth::testing::{Server, pass};
use crate::auth::token::testing::{SECRET, maker};
use crate::testing::{agrees_but_for, context, faults, parse, webhook};

async fn status(gate: &Oauth2, token: &str) -> u16 {
    let header = format!("Bearer {token}");
    let admitted = gate.admit(&webhook(&[("Authorization", header.as_bytes())], b"{}")).await;
    admitted.err().map_or(200, |answer| answer.status)
}

#[tokio::test]
async fn the_reference_decided_the_same_but_for_tokens_that_nobody_checks() {
    let open = "a token that nobody checks proves nothing";
    let different = [("oauth2 validate_token false, nothing else", open), ("oauth2 custom token type", open)];
    agrees_but_for::<Oauth2>(&json!({}), &different).await;
}

#[tokio::test]
async fn a_json_web_token_needs_its_key_its_audience_and_every_scope() {
    let maker = maker("RS256");
    let gate: Oauth2 = parse(json!({
        "jwks": {"keys": [maker.jwk(Some("a"))]}, "audience": "us", "issuer": "them", "required_scope": ["x", "y"],
    }));
    let good = json!({"aud": "us", "iss": "them", "scope": "y z x"});
    assert_eq!(status(&gate, &maker.token(Some("a"), &good)).await, 200);
    assert_eq!(status(&gate, &maker.token(Some("b"), &good)).await, 401);
    for (name, value) in
        [("aud", json!("them")), ("iss", json!("us")), ("scope", json!("x yy")), ("exp", json!(1))]
    {
        let mut claims = good.clone();
        claims[name] = value;
        assert_eq!(status(&gate, &maker.token(None, &claims)).await, 401, "{name}");
    }
    let gate: Oauth2 = parse(json!({"jwt_secret": SECRET, "token_type": "Token"}));
    let token = crate::auth::token::testing::maker("HS256").token(None, &json!({}));
    assert_eq!(status(&gate, &token).await, 401, "another word stands before it");
    let header = format!("token {token}");
    assert_eq!(gate.admit(&webhook(&[("Authorization", header.as_bytes())], b"")).await, Ok(()));
}

/// Opens a gate that asks `server`, with these settings besides.
fn asking(server: &Server, settings: Value) -> (Oauth2, (Context, watch::Sender<bool>)) {
    let mut all = json!({"introspection_endpoint": server.url(), "timeout_seconds": 1});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let gate: Oauth2 = parse(all);
    let held = context();
    gate.open(&held.0);
    (gate, held)
}

#[tokio::test]
async fn the_server_is_asked_as_the_standard_says() {
    let server = Server::start(json!({"active": true}).to_string()).await;
    let (gate, _held) = asking(&server, json!({"client_id": "a b", "client_secret": "p:ü"}));
    assert_eq!(status(&gate, "to+ken/=").await, 200);
    let (headers, body) = server.latest();
    assert_eq!(body, "token=to%2Bken%2F%3D&token_type_hint=access_token");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(headers["authorization"], "Basic YSUyMGI6cCUzQSVDMyVCQw==");
}

#[tokio::test]
async fn a_token_passes_when_it_is_active_and_by_and_for_whom_the_settings_say() {
    let server = Server::start("").await;
    let settings =
        json!({"required_scope": ["x"], "issuer": "i", "audience": ["a", "b"], "cache_seconds": 0});
    let (gate, _held) = asking(&server, settings);
    let good = json!({"active": true, "scope": "w x", "iss": "i", "aud": ["b"], "sub": 5, "iat": "soon", "exp": "x"});
    let mut answers = vec![(good.clone(), 200), (json!({"active": false}), 401)];
    for (name, value) in [
        ("active", json!(false)),
        ("scope", json!("w")),
        ("scope", json!(null)),
        ("iss", json!("j")),
        ("aud", json!("c")),
        ("exp", json!(1_000)),
        ("nbf", json!(9e12)),
    ] {
        let mut answer = good.clone();
        answer[name] = value;
        answers.push((answer, 401));
    }
    for (answer, wanted) in answers {
        server.reply(Some((200, answer.to_string())));
        assert_eq!(status(&gate, "t").await, wanted, "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_say_costs_no_sender_its_webhook() {
    let server = Server::start("").await;
    let (gate, held) = asking(&server, json!({"timeout_seconds": 0.2}));
    let unclear = [
        Some((200, String::new())),
        Some((200, "{}".to_owned())),
        Some((200, r#"{"active": "true"}"#.to_owned())),
        Some((200, r#"[{"active": true}]"#.to_owned())),
        Some((201, r#"{"active": true}"#.to_owned())),
        Some((200, format!("{{\"active\": true, \"pad\": \"{}\"}}", "x".repeat(70_000)))),
        Some((302, String::new())),
        Some((401, r#"{"active": false}"#.to_owned())),
        Some((500, String::new())),
        None,
    ];
    let count = unclear.len();
    for reply in unclear {
        server.reply(reply.clone());
        let answer = gate.admit(&webhook(&[("Authorization", b"Bearer t")], b"")).await.unwrap_err();
        assert_eq!((answer.status, answer.detail), (503, "the sender cannot be verified now"), "{reply:?}");
        assert_eq!((answer.retry_after, answer.challenges.len()), (Some(Duration::from_secs(5)), 0));
    }
    let failures = held.0.meter.counter(Metric::LookupFailures, "stage", "oauth2");
    assert_eq!(failures.get(), count as u64);
    let unopened: Oauth2 = parse(json!({"introspection_endpoint": server.url()}));
    assert_eq!(status(&unopened, "t").await, 503);
}

#[tokio::test]
async fn a_good_token_is_asked_about_again_when_its_time_is_over_and_a_bad_one_at_once() {
    let now = clock::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let server = Server::start(json!({"active": true}).to_string()).await;
    let (gate, _held) = asking(&server, json!({"cache_seconds": 100}));
    let asked = async |token: &str| {
        let before = server.calls();
        (status(&gate, token).await, server.calls() - before)
    };
    assert_eq!((asked("a").await, asked("a").await, asked("b").await), ((200, 1), (200, 0), (200, 1)));
    pass(Duration::from_secs(101)).await;
    assert_eq!((asked("a").await, asked("a").await), ((200, 1), (200, 0)));
    // One that ends earlier is forgotten earlier.
    server.reply(Some((200, json!({"active": true, "exp": now + 20}).to_string())));
    assert_eq!((asked("c").await, asked("c").await), ((200, 1), (200, 0)));
    pass(Duration::from_secs(21)).await;
    server.reply(Some((200, json!({"active": false}).to_string())));
    assert_eq!((asked("c").await, asked("c").await, asked("a").await), ((401, 1), (401, 1), (200, 0)));
}

#[tokio::test]
async fn a_server_that_hangs_is_asked_a_bounded_number_of_times_at_once() {
    let server = Server::start("").await;
    server.reply(None);
    let (gate, _held) = asking(&server, json!({"timeout_seconds": 30}));
    let tokens: Vec<String> = (0..100).map(|number| format!("t{number}")).collect();
    let all = futures::future::join_all(tokens.iter().map(|token| status(&gate, token)));
    let too_long = async {
        while server.calls() < 64 {
            tokio::task::yield_now().await;
        }
        pass(Duration::from_secs(31)).await;
    };
    let (all, ()) = tokio::join!(all, too_long);
    assert!(all.iter().all(|status| *status == 503));
    assert_eq!(server.calls(), 64);
}

#[test]
fn settings_that_protect_nothing_are_refused() {
    let url = "https://login.example/introspect";
    for settings in [
        json!({}),
        json!({"token_type": "Bearer"}),
        json!({"introspection_endpoint": url, "validate_token": false}),
        json!({"introspection_endpoint": url, "jwt_secret": SECRET}),
        json!({"introspection_endpoint": url, "client_id": "c"}),
        json!({"introspection_endpoint": url, "client_secret": "s"}),
        json!({"introspection_endpoint": url, "client_id": "c", "client_secret": ""}),
        json!({"introspection_endpoint": url, "jwt_algorithms": ["RS256"]}),
        json!({"introspection_endpoint": url, "required_scope": ["a b"]}),
        json!({"introspection_endpoint": url, "cache_seconds": 3601}),
        json!({"introspection_endpoint": url, "timeout_seconds": 0}),
        json!({"introspection_endpoint": url, "token_type": "a b"}),
        json!({"introspection_endpoint": "http://10.0.0.1/introspect"}),
        json!({"jwt_secret": SECRET, "client_id": "c", "client_secret": "s"}),
        json!({"jwt_secret": SECRET, "jwt_algorithms": ["HS256", "RS256"]}),
        json!({"jwt_secret": SECRET, "jwt_algorithms": []}),
        json!({"jwt_secret": ""}),
    ] {
        assert_eq!(faults(&settings, Kind::gate::<Oauth2>()).len(), 1, "{settings}");
    }
}
