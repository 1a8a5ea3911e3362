use super::*;
use crate::testing::{Request, agrees_but_for, faults, parse};
use engine::clock::{self, Simulated};
use engine::kind::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

const TARGET: &str = "/webhook/orders?a=1,2";

fn gate(more: Value) -> DigestAuth {
    let mut settings = json!({ "username": "Mufasa", "password": "Circle of Life" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parse(settings)
}

fn from(seconds: u64) -> Simulated {
    clock::simulate(UNIX_EPOCH + Duration::from_secs(seconds))
}

async fn send(gate: &DigestAuth, method: &str, target: &str, header: &str) -> Result<(), Answer> {
    let headers: [(&str, &[u8]); 1] = [("Authorization", header.as_bytes())];
    gate.admit(&Request { method, target, headers: &headers, ..Request::default() }.webhook()).await
}

/// A sender that knows the password and answers challenges as RFC 7616 says.
struct Client {
    challenge: BTreeMap<String, String>,
    count: u32,
}

impl Client {
    /// Takes the challenge at `nth` place of a refusal.
    fn answering(refusal: &Answer, nth: usize) -> Self {
        let text = refusal.challenges[nth].strip_prefix("Digest ").unwrap();
        let pairs = text.split(", ").map(|pair| pair.split_once('=').unwrap());
        let challenge =
            pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
        Self { challenge, count: 0 }
    }

    async fn challenged_by(gate: &DigestAuth) -> Self {
        Self::answering(&send(gate, "POST", TARGET, "").await.unwrap_err(), 0)
    }

    fn header(&self, username: &str, uri: &str, count: &str) -> String {
        let Self { challenge, .. } = self;
        let algorithm = Algorithm::named(challenge["algorithm"].as_bytes()).unwrap();
        let (realm, nonce) = (&challenge["realm"], &challenge["nonce"]);
        let secret = algorithm.hash(&[username.as_bytes(), realm.as_bytes(), b"Circle of Life"]);
        let asked = algorithm.hash(&[b"POST", uri.as_bytes()]);
        let parts = [&secret, nonce, count, "c", "auth", &asked].map(str::as_bytes);
        format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             algorithm={}, qop=auth, nc={count}, cnonce=\"c\", response=\"{}\", opaque=\"{}\"",
            algorithm.name(),
            algorithm.hash(&parts),
            challenge["opaque"]
        )
    }

    fn next(&mut self) -> String {
        self.count += 1;
        self.header("Mufasa", TARGET, &format!("{:08x}", self.count))
    }
}

/// Tells whether a refusal says that another nonce helps.
fn is_stale(answer: Result<(), Answer>) -> bool {
    let answer = answer.unwrap_err();
    assert_eq!((answer.status, answer.detail), (401, "Unauthorized"));
    answer.challenges.iter().all(|challenge| challenge.ends_with(", stale=true"))
}

#[tokio::test]
async fn the_reference_decided_the_same() {
    let different = [
        ("digest cfg sha-256 still md5", "SHA-256 is computed where it is set"),
        ("digest uri with comma", "a quoted text is read whole"),
    ];
    agrees_but_for::<DigestAuth>(&json!({ "accept_client_nonce": true }), &different).await;
}

#[tokio::test]
async fn without_the_key_that_restores_it_a_nonce_that_is_not_ours_is_refused() {
    let different = [("digest alg MD5", "the nonce is not ours, and the uri is another address")];
    let more = [("digest cfg sha-256 still md5", "SHA-256 is computed where it is set")];
    agrees_but_for::<DigestAuth>(&json!({}), &[&different[..], &more].concat()).await;
}

/// RFC 7616 section 3.9.1.
#[tokio::test]
async fn the_example_of_the_standard_passes_with_either_hash() {
    let gate = gate(json!({ "realm": "http-auth@example.org", "accept_client_nonce": true }));
    let header = |algorithm: &str, response: &str| {
        format!(
            "Digest username=\"Mufasa\",\n realm=\"http-auth@example.org\",\n uri=\"/dir/index.html\",\n \
             algorithm={algorithm},\n nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\",\n nc=00000001,\n \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\",\n qop=auth,\n response=\"{response}\",\n \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    };
    let (md5, sha256) = (
        "8ca523f5e9506fed4657c9700eebdbec",
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    );
    for (algorithm, response, passes) in
        [("MD5", md5, true), ("SHA-256", sha256, true), ("MD5", sha256, false), ("SHA-256", md5, false)]
    {
        let sent = send(&gate, "GET", "/dir/index.html", &header(algorithm, response)).await;
        assert_eq!(sent.is_ok(), passes, "{algorithm} {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_answers_either_challenge_passes_as_often_as_it_counts_on() {
    let _time = from(1_000);
    let gate = gate(json!({}));
    let refusal = send(&gate, "POST", TARGET, "").await.unwrap_err();
    assert!(refusal.challenges[0].contains("algorithm=SHA-256"), "{refusal:?}");
    assert!(refusal.challenges[1].contains("algorithm=MD5"), "{refusal:?}");
    for nth in 0..2 {
        let mut client = Client::answering(&refusal, nth);
        client.count = 16 * u32::try_from(nth).unwrap();
        for _ in 0..10 {
            assert_eq!(send(&gate, "POST", TARGET, &client.next()).await, Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_recorded_is_refused_and_so_is_a_count_that_does_not_grow() {
    let _time = from(1_000);
    let gate = gate(json!({}));
    let mut client = Client::challenged_by(&gate).await;
    let (first, second) = (client.next(), client.next());
    assert_eq!(send(&gate, "POST", TARGET, &second).await, Ok(()));
    assert!(is_stale(send(&gate, "POST", TARGET, &second).await));
    assert!(is_stale(send(&gate, "POST", TARGET, &first).await));
    assert!(is_stale(send(&gate, "POST", TARGET, &client.header("Mufasa", TARGET, "00000000")).await));
}

#[tokio::test(start_paused = true)]
async fn a_nonce_that_is_old_or_another_gates_is_stale_for_who_knows_the_password_alone() {
    let _time = from(1_000);
    let mut gate = gate(json!({ "nonce_seconds": 10 }));
    let mut client = Client::challenged_by(&gate).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(send(&gate, "POST", TARGET, &client.next()).await, Ok(()));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(is_stale(send(&gate, "POST", TARGET, &client.next()).await));
    let other = client.header("Simba", TARGET, "00000009");
    assert!(!is_stale(send(&gate, "POST", TARGET, &other).await));
    let mut client = Client::challenged_by(&gate).await;
    gate.nonces = Nonces::default();
    assert!(is_stale(send(&gate, "POST", TARGET, &client.next()).await));
}

#[tokio::test(start_paused = true)]
async fn another_address_or_method_or_user_or_form_is_refused() {
    let _time = from(1_000);
    let gate = gate(json!({}));
    let mut client = Client::challenged_by(&gate).await;
    let header = client.next();
    for (method, target) in [("PUT", TARGET), ("POST", "/webhook/orders?a=1"), ("POST", "/webhook/orders")] {
        assert!(!is_stale(send(&gate, method, target, &header).await), "{method} {target}");
    }
    for (part, other) in [
        ("username=\"Mufasa\"", "username=\"mufasa\""),
        ("username=\"Mufasa\", ", ""),
        ("username=\"Mufasa\"", "username=\"Mufasa\", username*=UTF-8''Mufasa"),
        ("Webhook API", "webhook api"),
        ("algorithm=SHA-256", "algorithm=MD5"),
        ("algorithm=SHA-256, ", ""),
        ("SHA-256", "SHA-256-sess"),
        ("qop=auth", "qop=auth-int"),
        ("qop=auth, ", ""),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=+0000001"),
        ("nc=00000001, ", ""),
        ("cnonce=\"c\"", "cnonce=\"\""),
        ("response=\"", "response=\"00"),
        ("nonce=\"", "nonce=\"A"),
        ("Digest ", "Basic "),
    ] {
        assert!(header.contains(part), "{part}");
        assert!(!is_stale(send(&gate, "POST", TARGET, &header.replacen(part, other, 1)).await), "{other}");
    }
    let encoded = header.replace("username=\"Mufasa\"", "username*=utf-8''Mufas%61");
    assert_eq!(send(&gate, "POST", TARGET, &encoded).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_whole_address_in_the_uri_means_its_path() {
    let _time = from(1_000);
    let gate = gate(json!({}));
    let client = Client::challenged_by(&gate).await;
    let header = client.header("Mufasa", &format!("https://hooks.example{TARGET}"), "00000001");
    assert_eq!(send(&gate, "POST", TARGET, &header).await, Ok(()));
    let header = client.header("Mufasa", "https://hooks.example/webhook/orders", "00000002");
    assert!(!is_stale(send(&gate, "POST", TARGET, &header).await));
}

#[tokio::test]
async fn a_realm_is_quoted_and_one_algorithm_makes_one_challenge() {
    let gate = gate(json!({ "realm": "a \"b\" \\", "algorithm": "md5" }));
    let refusal = send(&gate, "POST", TARGET, "").await.unwrap_err();
    let [challenge] = &refusal.challenges[..] else { panic!("{refusal:?}") };
    assert!(
        challenge.starts_with(r#"Digest realm="a \"b\" \\", qop="auth", algorithm=MD5, nonce=""#),
        "{challenge}"
    );
}

#[test]
fn settings_that_protect_nothing_are_refused() {
    for (key, value) in [
        ("username", json!("")),
        ("username", json!("a:b")),
        ("password", json!(" ")),
        ("password", json!("a\nb")),
        ("realm", json!("")),
        ("realm", json!("a\r\nb")),
        ("algorithm", json!("SHA-512")),
        ("qop", json!("auth-int")),
        ("nonce_seconds", json!(0)),
        ("nonce_seconds", json!(86_401)),
        ("nonces", json!({})),
    ] {
        let mut settings = json!({ "username": "u", "password": "p" });
        settings[key] = value;
        assert_eq!(faults(&settings, Kind::gate::<DigestAuth>()).len(), 1, "{settings}");
    }
    assert_eq!(faults(&json!({}), Kind::gate::<DigestAuth>()).len(), 1);
}

#[test]
fn the_secrets_are_not_printed() {
    let gate: DigestAuth = parse(json!({ "username": "planted", "password": "planted" }));
    assert!(!format!("{gate:?}").contains("planted"));
}
