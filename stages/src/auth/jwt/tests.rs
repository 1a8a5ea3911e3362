//! The gate against tokens of every kind, and against a server that publishes keys.

use std::time::{Duration, UNIX_EPOCH};

use engine::clock;
use engine::kind::Kind;
use engine::meter::Metric;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use crate::auth::testing::{Server, pass};
use crate::auth::token::testing::{SECRET, by_hand, maker};
use crate::testing::{agrees_with_the_recorded_decisions, context, faults, parse, webhook};

const ASYMMETRIC: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

async fn status(gate: &Jwt, token: &str) -> u16 {
    let header = format!("Bearer {token}");
    let admitted = gate.admit(&webhook(&[("Authorization", header.as_bytes())], b"{}")).await;
    admitted.err().map_or(200, |answer| answer.status)
}

async fn admits(gate: &Jwt, token: &str) -> bool {
    status(gate, token).await == 200
}

#[tokio::test]
async fn the_reference_decided_the_same() {
    agrees_with_the_recorded_decisions::<Jwt>().await;
}

#[tokio::test]
async fn every_algorithm_is_checked_with_a_secret_or_a_public_key() {
    for algorithm in ["HS256", "HS384", "HS512"].iter().chain(&ASYMMETRIC) {
        let maker = maker(algorithm);
        let gate: Jwt = parse(json!({"secret": maker.public, "algorithm": algorithm.to_lowercase()}));
        let token = maker.token(None, &json!({"sub": "s"}));
        assert!(admits(&gate, &token).await, "{algorithm}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let other = maker.token(None, &json!({"sub": "t"}));
        let other = other.rsplit_once('.').unwrap().1;
        assert!(!admits(&gate, &format!("{message}.{other}")).await, "{algorithm}");
        assert!(!admits(&gate, &format!("{message}.")).await && !admits(&gate, message).await, "{algorithm}");
        assert!(!admits(&gate, &format!("{message}.{signature}.x")).await, "{algorithm}");
        assert!(!admits(&gate, &format!("{message}.{signature}=")).await, "{algorithm}");
    }
}

#[tokio::test]
async fn without_an_algorithm_the_key_decides_and_a_secret_is_for_hs256() {
    for algorithm in ASYMMETRIC {
        let maker = maker(algorithm);
        let gate: Jwt = parse(json!({"secret": maker.public}));
        assert!(admits(&gate, &maker.token(Some("any"), &json!({}))).await, "{algorithm}");
    }
    let gate: Jwt = parse(json!({"secret": SECRET}));
    assert!(admits(&gate, &maker("HS256").token(None, &json!({}))).await);
    assert!(!admits(&gate, &maker("HS384").token(None, &json!({}))).await);
    let gate: Jwt = parse(json!({"secret": SECRET, "algorithms": ["HS384", "HS512"]}));
    assert!(admits(&gate, &maker("HS384").token(None, &json!({}))).await);
    assert!(!admits(&gate, &maker("HS256").token(None, &json!({}))).await);
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_secret() {
    for algorithm in ASYMMETRIC {
        let maker = maker(algorithm);
        let gates: [Jwt; 2] = [
            parse(json!({"secret": maker.public})),
            parse(json!({"jwks": {"keys": [maker.jwk(None)]}, "algorithms": [algorithm]})),
        ];
        let (mut header, bytes) = (json!({"typ": "JWT"}), maker.public.as_bytes());
        for (hmac, size) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
            header["alg"] = json!(hmac);
            for key in [bytes, maker.public.trim().as_bytes(), &bytes[..size], b""] {
                let key = EncodingKey::from_secret(key);
                let sign = |message: &str| {
                    jsonwebtoken::crypto::sign(message.as_bytes(), &key, hmac.parse().unwrap()).unwrap()
                };
                for gate in &gates {
                    assert!(!admits(gate, &by_hand(&header, &json!({}), sign)).await, "{algorithm} {hmac}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_without_signature_or_with_a_key_of_its_own_is_refused() {
    let maker = maker("ES256");
    let (rsa, gate) = (maker.public, parse::<Jwt>(json!({"secret": maker.public})));
    for alg in ["none", "None", "NONE", "", "HS1", "es256", "Ed25519"] {
        for signature in ["", "e30"] {
            let token = by_hand(&json!({"alg": alg}), &json!({}), |_| signature.to_owned());
            assert!(!admits(&gate, &token).await, "{alg}");
        }
    }
    let stranger = crate::auth::token::testing::maker("RS256");
    for brought in ["jwk", "jku", "x5c", "x5u"] {
        let header = json!({"alg": "RS256", brought: stranger.jwk(None)});
        let key = EncodingKey::from_rsa_pem(include_bytes!("../../../tests/keys/rsa.pem")).unwrap();
        let sign =
            |message: &str| jsonwebtoken::crypto::sign(message.as_bytes(), &key, stranger.algorithm).unwrap();
        assert!(!admits(&gate, &by_hand(&header, &json!({}), sign)).await, "{brought} {rsa}");
    }
}

#[tokio::test]
async fn an_extension_that_a_token_calls_critical_is_not_passed_over() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let sign = |message: &str| {
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap()
    };
    let gate: Jwt = parse(json!({"secret": SECRET}));
    assert!(admits(&gate, &by_hand(&json!({"alg": "HS256"}), &json!({}), sign)).await);
    for extra in [json!({"alg": "HS256", "crit": ["b64"], "b64": true}), json!({"alg": "HS256", "crit": []})]
    {
        assert!(!admits(&gate, &by_hand(&extra, &json!({}), sign)).await);
    }
    for claims in [json!([]), json!("text"), json!(null)] {
        assert!(!admits(&gate, &by_hand(&json!({"alg": "HS256"}), &claims, sign)).await, "{claims}");
    }
}

/// Tells whether a gate with these settings admits these claims at the second 1,000,000.
async fn judges(settings: Value, claims: Value) -> bool {
    let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(1_000_000));
    let mut all = json!({"secret": SECRET});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    admits(&parse(all), &maker("HS256").token(None, &claims)).await
}

#[tokio::test(start_paused = true)]
async fn the_times_of_a_token_are_compared_with_the_clock_and_the_leeway() {
    let strict = || json!({"leeway_seconds": 0});
    assert!(judges(strict(), json!({"exp": 1_000_001, "nbf": 1_000_000, "iat": 1_000_000.0})).await);
    for claims in [
        json!({"exp": 1_000_000}),
        json!({"nbf": 1_000_001}),
        json!({"iat": 1_000_000.5}),
        json!({"exp": "1000001"}),
        json!({"nbf": true}),
        json!({"iat": [1]}),
    ] {
        assert!(!judges(strict(), claims.clone()).await, "{claims}");
    }
    assert!(judges(json!({}), json!({"exp": 999_971, "nbf": 1_000_030})).await, "30 seconds without a word");
    assert!(!judges(json!({}), json!({"exp": 999_970})).await);
    assert!(judges(json!({"leeway_seconds": "60"}), json!({"exp": 999_941})).await);
    assert!(judges(json!({"verify_exp": false}), json!({"exp": 1})).await);
    assert!(!judges(json!({"verify_exp": false}), json!({"nbf": 2_000_000})).await);
}

#[tokio::test(start_paused = true)]
async fn a_token_must_be_by_and_for_whom_the_settings_say() {
    let by = |issuer: Value| json!({"issuer": issuer});
    assert!(judges(by(json!("i")), json!({"iss": "i"})).await);
    assert!(judges(by(json!(["h", "i"])), json!({"iss": "i"})).await);
    for claims in [json!({}), json!({"iss": "j"}), json!({"iss": ["i"]}), json!({"iss": null})] {
        assert!(!judges(by(json!("i")), claims.clone()).await, "{claims}");
    }
    let to = |audience: Value| json!({"audience": audience});
    assert!(judges(to(json!(["a", "b"])), json!({"aud": ["b", "c"]})).await);
    for claims in [json!({}), json!({"aud": "b"}), json!({"aud": []}), json!({"aud": {"a": 1}})] {
        assert!(!judges(to(json!("a")), claims.clone()).await, "{claims}");
    }
    assert!(judges(json!({"required_claims": ["exp", "jti"]}), json!({"exp": 2_000_000, "jti": "1"})).await);
    assert!(!judges(json!({"required_claims": ["exp"]}), json!({"jti": "1"})).await);
    assert!(!judges(json!({"required_claims": ["exp"]}), json!({"exp": null})).await);
    assert!(!judges(json!({}), json!({"sub": 5})).await);
}

#[tokio::test]
async fn the_header_is_bounded_and_a_refusal_tells_the_sender_nothing() {
    let gate: Jwt = parse(json!({"secret": SECRET}));
    let token = |size| maker("HS256").token(None, &json!({"pad": "x".repeat(size)}));
    assert!(admits(&gate, &token(12_000)).await);
    let answer = async |headers: &[(&str, &[u8])]| gate.admit(&webhook(headers, b"")).await.unwrap_err();
    let absent = answer(&[]).await;
    assert_eq!(absent.status, 401);
    assert_eq!(absent.challenges, ["Bearer realm=\"webhooks\""]);
    let long = format!("Bearer {}", token(13_000));
    let plain = format!("Basic {}", token(1));
    for header in [long.as_bytes(), plain.as_bytes(), b"Bearer", b"Bearer ", b"Bearer a.b.c", b"Bearer \xff"]
    {
        let wrong = answer(&[("Authorization", header)]).await;
        assert_eq!((wrong.status, wrong.detail, &wrong.challenges), (401, absent.detail, &absent.challenges));
    }
    let lower = format!("bearer   {} ", token(1));
    assert!(gate.admit(&webhook(&[("authorization", lower.as_bytes())], b"")).await.is_ok());
}

#[tokio::test]
async fn the_key_that_a_token_names_is_the_only_one_tried() {
    let (rsa, ec) = (maker("RS256"), maker("ES256"));
    let gate: Jwt = parse(
        json!({"jwks": {"keys": [rsa.jwk(Some("a")), ec.jwk(Some("b")), {"kty": "RSA", "use": "enc"}]}}),
    );
    let token = |maker: &crate::auth::token::testing::Maker, id| maker.token(id, &json!({}));
    assert!(admits(&gate, &token(&rsa, Some("a"))).await && admits(&gate, &token(&ec, Some("b"))).await);
    assert!(admits(&gate, &token(&rsa, None)).await && admits(&gate, &token(&ec, None)).await);
    for (maker, id) in [(&rsa, "b"), (&ec, "a"), (&rsa, "c"), (&rsa, "")] {
        assert!(!admits(&gate, &token(maker, Some(id))).await, "{id}");
    }
    // The set says RS256 of this key.
    assert!(!admits(&gate, &token(&maker("PS256"), Some("a"))).await);
}

/// Waits until the gate has keys, and returns what it says of `token` then.
async fn settled(gate: &Jwt, token: &str) -> u16 {
    loop {
        match status(gate, token).await {
            503 => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

#[tokio::test]
async fn published_keys_are_fetched_and_fetched_again_when_a_token_names_another() {
    let (old, new) = (maker("RS256"), maker("ES256"));
    let set = |keys: &[Value]| json!({"keys": keys}).to_string();
    let server = Server::start(set(&[old.jwk(Some("old"))])).await;
    let gate: Jwt = parse(json!({"jwks_url": server.url()}));
    let (old, new) =
        (old.token(Some("old"), &json!({})), (new.token(Some("new"), &json!({})), new.jwk(Some("new"))));
    let (new, key) = new;
    let unopened = gate.admit(&webhook(&[("Authorization", format!("Bearer {old}").as_bytes())], b"")).await;
    let unopened = unopened.unwrap_err();
    assert_eq!((unopened.status, unopened.retry_after), (503, Some(Duration::from_secs(5))));
    assert!(unopened.challenges.is_empty());

    let (cx, _stop) = context();
    gate.open(&cx);
    assert_eq!(settled(&gate, &old).await, 200);
    assert_eq!(server.latest().0["accept"], "application/json");
    server.reply(Some((200, set(&[key]))));
    assert_eq!((status(&gate, &new).await, server.calls()), (401, 1), "the keys are not half a minute old");
    pass(Duration::from_secs(31)).await;
    let both = tokio::join!(status(&gate, &new), status(&gate, &new));
    assert_eq!((both, server.calls()), ((200, 200), 2));
    assert_eq!((status(&gate, &old).await, server.calls()), (401, 2));

    // Nobody knows whether the key of this token exists, so the sender is asked to come again.
    server.reply(Some((500, "down".to_owned())));
    pass(Duration::from_secs(31)).await;
    assert_eq!((status(&gate, &old).await, status(&gate, &new).await), (503, 200));
    assert_eq!(status(&gate, &old).await, 503);
    assert!(cx.meter.counter(Metric::LookupFailures, "stage", "jwt").get() >= 1);

    drop(cx);
    pass(Duration::from_secs(31)).await;
    let calls = server.calls();
    assert_eq!((status(&gate, &new).await, status(&gate, &old).await), (200, 503));
    pass(Duration::from_secs(3600)).await;
    assert_eq!(server.calls(), calls, "what fetches ends with the pipeline");
}

#[tokio::test]
async fn a_fetch_that_fails_is_repeated_and_nobody_is_turned_away_meanwhile() {
    let maker = maker("EdDSA");
    let token = maker.token(None, &json!({}));
    let server = Server::start("no keys").await;
    let gate: Jwt = parse(json!({"jwks_url": server.url(), "timeout_seconds": 1}));
    let (cx, _stop) = context();
    gate.open(&cx);
    let failures = cx.meter.counter(Metric::LookupFailures, "stage", "jwt");
    let bad = [
        Some((200, "x".repeat(300 << 10))),
        Some((302, String::new())),
        Some((200, json!({"keys": []}).to_string())),
        None,
    ];
    for reply in bad {
        let before = failures.get();
        server.reply(reply);
        while failures.get() < before + 2 {
            assert_eq!(status(&gate, &token).await, 503);
            pass(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    }
    server.reply(Some((200, json!({"keys": [maker.jwk(None)]}).to_string())));
    let admitted = loop {
        match status(&gate, &token).await {
            503 => pass(Duration::from_millis(100)).await,
            other => break other,
        }
    };
    assert_eq!(admitted, 200);
}

#[test]
fn settings_that_protect_nothing_or_nobody_could_meet_are_refused() {
    let (rsa, ec) = (maker("RS256"), maker("ES256"));
    let private = include_str!("../../../tests/keys/rsa.pem");
    let key = rsa.jwk(None);
    for settings in [
        json!({}),
        json!({"issuer": "x"}),
        json!({"secret": ""}),
        json!({"secret": " "}),
        json!({"secret": SECRET, "jwks": {"keys": [key]}}),
        json!({"secret": SECRET, "algorithm": "none"}),
        json!({"secret": SECRET, "algorithm": "HS1"}),
        json!({"secret": SECRET, "algorithm": "RS256"}),
        json!({"secret": SECRET, "algorithms": ["HS256", "EdDSA"]}),
        json!({"secret": SECRET, "algorithms": []}),
        json!({"secret": SECRET, "algorithm": "HS256", "algorithms": ["HS256"]}),
        json!({"secret": rsa.public, "algorithm": "HS256"}),
        json!({"secret": rsa.public, "algorithm": "ES256"}),
        json!({"secret": ec.public, "algorithms": ["ES384"]}),
        json!({"secret": private}),
        json!({"secret": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}),
        json!({"secret": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}),
        json!({"secret": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO0"}),
        json!({"secret": key.to_string()}),
        json!({"secret": format!("the key:\n{}", rsa.public), "algorithm": "HS256"}),
        json!({"jwks": {"keys": []}}),
        json!({"jwks": {}}),
        json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}),
        json!({"jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}}),
        json!({"jwks": {"keys": [key]}, "algorithm": "HS256"}),
        json!({"jwks_url": "https://login.example/keys", "algorithm": "HS256"}),
        json!({"jwks_url": "http://login.example/keys"}),
        json!({"jwks_url": "https://u:p@login.example/keys"}),
        json!({"jwks_url": "file:///keys"}),
        json!({"jwks_url": "/keys"}),
        json!({"jwks_url": "https://login.example/keys", "timeout_seconds": 31}),
        json!({"secret": SECRET, "leeway_seconds": 301}),
        json!({"secret": SECRET, "audience": []}),
        json!({"secret": SECRET, "issuer": ""}),
        json!({"secret": SECRET, "secrt": "x"}),
    ] {
        assert_eq!(faults(&settings, Kind::gate::<Jwt>()).len(), 1, "{settings}");
    }
    for url in ["http://localhost/k", "http://127.0.0.1:8/k", "http://[::1]/k", "https://login.example"] {
        assert_eq!(faults(&json!({"jwks_url": url}), Kind::gate::<Jwt>()), Vec::<String>::new());
    }
}

#[test]
fn the_secret_is_not_printed() {
    let gate: Jwt = parse(json!({"secret": "planted"}));
    gate.trust().keys(&gate.keys);
    assert!(!format!("{gate:?}").contains("planted") && !format!("{gate:?}").contains("112, 108"));
}
