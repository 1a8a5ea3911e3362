//! Every provider's vector passes, and nothing beside it does.

use super::*;
use crate::testing::{Request, faults, parse};
use engine::ack::Handshake;
use engine::clock;
use engine::kind::Kind;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

/// A webhook that a provider signed, and what its gate needs to know.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    provider: String,
    /// Where it was published; or how it was made.
    source: String,
    settings: Value,
    now: u64,
    #[serde(default)]
    target: Option<String>,
    headers: BTreeMap<String, String>,
    body: String,
    /// Another secret or public key of the form that is asked for.
    #[serde(default = "other")]
    other: String,
}

fn other() -> String {
    "c2hoaGhoaGhoaGho".to_owned()
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../../tests/signature_vectors.json")).unwrap()
}

impl Vector {
    fn gate(&self) -> Signature {
        let mut settings = self.settings.clone();
        settings["provider"] = json!(self.provider);
        assert_eq!(faults(&settings, Kind::gate::<Signature>()), Vec::<String>::new());
        parse(settings)
    }

    /// Returns true when nobody but the provider can have written the whole body.
    fn covers_body(&self) -> bool {
        !["adyen", "gitlab", "mailgun"].contains(&self.provider.as_str())
    }

    fn timed(&self) -> bool {
        self.gate().way().unwrap().signs_time()
    }

    /// Returns the setting that holds the secret or the public key.
    fn key(&self) -> &'static str {
        if self.settings.get("public_key").is_some() { "public_key" } else { "secret" }
    }

    /// Asks `gate` at `now`.
    async fn admitted(&self, gate: &Signature, now: u64) -> Result<(), (u16, &'static str)> {
        let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(now));
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let target = self.target.as_deref().unwrap_or("/webhook/orders");
        let request = Request { target, headers: &headers, body: self.body.as_bytes(), ..Request::default() };
        let answer = gate.admit(&request.webhook()).await;
        answer.map_err(|answer| (answer.status, answer.detail))
    }
}

const REFUSED: Result<(), (u16, &str)> = Err((401, "Unauthorized"));

#[test]
fn every_provider_has_a_vector_with_its_source_in_the_order_of_the_table() {
    let mut listed: Vec<String> = vectors().into_iter().map(|vector| vector.provider).collect();
    listed.dedup();
    let names: Vec<&str> = PROVIDERS.iter().map(|preset| preset.name).collect();
    assert_eq!(listed, names);
    assert!(names.is_sorted());
    for Vector { provider, source, .. } in vectors() {
        assert!(source == "computed with Python" || source.starts_with("https://"), "{provider}");
    }
}

#[tokio::test]
async fn what_the_provider_signed_passes() {
    for vector in vectors() {
        assert_eq!(vector.admitted(&vector.gate(), vector.now).await, Ok(()), "{}", vector.provider);
    }
}

#[tokio::test]
async fn another_secret_does_not_pass_and_beside_the_right_one_it_does() {
    for vector in vectors() {
        let (mut other, mut both, key) = (vector.clone(), vector.clone(), vector.key());
        other.settings[key] = json!(vector.other);
        both.settings[format!("{key}s")] = json!([vector.other, vector.settings[key]]);
        both.settings.as_object_mut().unwrap().remove(key);
        assert_eq!(other.admitted(&other.gate(), vector.now).await, REFUSED, "{}", vector.provider);
        assert_eq!(both.admitted(&both.gate(), vector.now).await, Ok(()), "{}", vector.provider);
    }
}

#[tokio::test]
async fn an_altered_body_does_not_pass() {
    for mut vector in vectors().into_iter().filter(Vector::covers_body) {
        vector.body.push(' ');
        assert_eq!(vector.admitted(&vector.gate(), vector.now).await, REFUSED, "{}", vector.provider);
    }
}

#[tokio::test]
async fn no_header_may_be_missing_empty_huge_or_something_else() {
    for vector in vectors() {
        for name in vector.headers.keys() {
            let mut altered = vector.clone();
            altered.headers.remove(name);
            assert_eq!(altered.admitted(&altered.gate(), vector.now).await, REFUSED, "{name}");
            for value in ["", " ", ",", "=", "ÿé", &"v1=00,".repeat(100_000), &"9".repeat(100_000)] {
                altered.headers.insert(name.clone(), value.to_owned());
                assert_eq!(altered.admitted(&altered.gate(), vector.now).await, REFUSED, "{name}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_signed_too_long_ago_or_later_than_now_does_not_pass() {
    for vector in vectors().into_iter().filter(Vector::timed) {
        let (gate, now) = (vector.gate(), vector.now);
        assert_eq!(vector.admitted(&gate, now + TOLERANCE).await, Ok(()), "{}", vector.provider);
        assert_eq!(vector.admitted(&gate, now + TOLERANCE + 1).await, REFUSED, "{}", vector.provider);
        assert_eq!(vector.admitted(&gate, now - TOLERANCE - 1).await, REFUSED, "{}", vector.provider);
    }
}

/// Returns whether the webhook of `provider` passes when its body is `body`, altered.
async fn passes_with(provider: &str, alter: impl Fn(&str) -> String) -> bool {
    let mut vector = vectors().into_iter().find(|vector| vector.provider == provider).unwrap();
    vector.body = alter(&vector.body);
    vector.admitted(&vector.gate(), vector.now).await == Ok(())
}

#[tokio::test]
async fn what_mailgun_signs_of_a_body_cannot_be_altered_or_be_there_twice() {
    for (from, to) in [
        ("50e8", "50e9"),
        ("1700000000", "1700000001"),
        ("\"token\"", "\"tokens\""),
        ("\"event-data\"", "\"signature\""),
        ("{\"token\"", "{\"token\": \"x\", \"token\""),
    ] {
        assert!(!passes_with("mailgun", |body| body.replacen(from, to, 1)).await, "{to}");
    }
    for body in ["", "{}", "[]", "null", "{\"signature\": {}}", "{\"signature\": 1}"] {
        assert!(!passes_with("mailgun", |_| body.to_owned()).await, "{body}");
    }
}

#[tokio::test]
async fn every_item_of_a_body_of_adyen_must_be_signed() {
    let items = |body: &str, alter: fn(&mut Vec<Value>)| {
        let mut body: Value = serde_json::from_str(body).unwrap();
        alter(body["notificationItems"].as_array_mut().unwrap());
        body.to_string()
    };
    let item = "NotificationRequestItem";
    assert!(passes_with("adyen", |body| items(body, |all| all.push(all[0].clone()))).await);
    assert!(!passes_with("adyen", |body| items(body, Vec::clear)).await);
    assert!(
        !passes_with("adyen", |body| items(body, |all| {
            let mut unsigned = all[0].clone();
            unsigned["NotificationRequestItem"]["pspReference"] = json!("another");
            all.push(unsigned);
        }))
        .await
    );
    for (from, to) in [
        ("pspReference\": \"", "pspReference\": \"x"),
        ("originalReference\": \"", "originalReference\": \"x"),
        ("merchantAccountCode\": \"", "merchantAccountCode\": \"x"),
        ("merchantReference\": \"", "merchantReference\": \"x"),
        ("1000", "1001"),
        ("EUR", "USD"),
        ("CAPTURE", "REFUND"),
        ("success\": \"true", "success\": \"false"),
        (item, "notificationRequestItem"),
    ] {
        assert!(!passes_with("adyen", |body| body.replace(from, to)).await, "{to}");
    }
}

#[tokio::test]
async fn a_body_for_twilio_is_covered_whatever_it_is() {
    let twilio: Vec<Vector> = vectors().into_iter().filter(|vector| vector.provider == "twilio").collect();
    let [form, hashed] = &twilio[..] else { panic!("two vectors of Twilio") };
    let passes = async |vector: &Vector| vector.admitted(&vector.gate(), 0).await == Ok(());
    let mut sorted = form.clone();
    sorted.body = form.body.split('&').rev().chain(["Digits=1234"]).collect::<Vec<_>>().join("&");
    assert!(passes(&sorted).await);
    let mut json = form.clone();
    json.headers.insert("Content-Type".to_owned(), "application/json".to_owned());
    assert!(!passes(&json).await);
    let mut elsewhere = form.clone();
    elsewhere.target = Some("/webhook/orders?foo=1&bar=3".to_owned());
    assert!(!passes(&elsewhere).await);
    let mut unhashed = hashed.clone();
    unhashed.target = form.target.clone();
    assert!(!passes(&unhashed).await);
}

/// Asks a gate of `provider` with GET, and returns what its sender is told.
async fn got(provider: &str, settings: &[(&str, &str)], target: &str) -> Answer {
    let mut all = json!({"provider": provider, "secret": "k"});
    for (name, value) in settings {
        all[*name] = json!(value);
    }
    let gate: Signature = parse(all);
    let answer = gate.admit(&Request { method: "GET", target, ..Request::default() }.webhook()).await;
    answer.unwrap_err()
}

#[tokio::test]
async fn dropboxs_challenge_is_sent_back_where_it_is_plain_and_short() {
    let text = |text: &str| Some(Handshake::Text(text.to_owned()));
    let answer = got("dropbox", &[], "/webhook/x?challenge=abc%3D").await;
    assert_eq!((answer.status, answer.handshake.map(|told| *told)), (200, text("abc=")));
    let long = format!("/webhook/x?challenge={}", "a".repeat(1025));
    for target in ["/", "/?challenge=", "/?challenge=%3Cb%3E+", "/?challenge=%0D%0Aa", "/?challeng=a", &long]
    {
        let answer = got("dropbox", &[], target).await;
        assert_eq!((answer.status, answer.handshake), (401, None), "{target}");
    }
}

#[tokio::test]
async fn metas_challenge_is_sent_back_to_whoever_knows_the_token() {
    let token = [("verify_token", "planted")];
    let asked = "/webhook/x?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=";
    let answer = got("meta", &token, &format!("{asked}planted")).await;
    assert_eq!(answer.handshake.map(|told| *told), Some(Handshake::Text("1158201444".to_owned())));
    for target in
        [asked.to_owned(), format!("{asked}plante"), format!("{asked}planted").replace("subscribe", "x")]
    {
        assert_eq!(got("meta", &token, &target).await.handshake, None, "{target}");
    }
    assert_eq!(got("meta", &[], &format!("{asked}planted")).await.handshake, None);
}

#[tokio::test]
async fn xs_token_is_signed_where_the_signature_is_of_no_use_for_a_webhook() {
    let answer = got("x", &[], "/webhook/x?crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=1").await;
    // Computed with Python.
    let told = r#"{"response_token":"sha256=4azYROfZnDoo4PONoyNLFeDOYntwepE6yGha2t9cC2k="}"#;
    assert_eq!(answer.handshake.map(|told| *told), Some(Handshake::Json(told.to_owned())));
    for target in ["/?crc_token=", "/?crc_token=%7B%7D", "/?crc_token=a%20b", "/?crc=a", "/"] {
        assert_eq!(got("x", &[], target).await.handshake, None, "{target}");
    }
    let signed = "sha256=4azYROfZnDoo4PONoyNLFeDOYntwepE6yGha2t9cC2k=";
    let gate: Signature = parse(json!({"provider": "x", "secret": "k"}));
    let headers: [(&str, &[u8]); 1] = [("x-twitter-webhooks-signature", signed.as_bytes())];
    let body = b"9b4507b3-9040-4669-9ca3-6b94edb50553";
    let answer = gate.admit(&Request { headers: &headers, body, ..Request::default() }.webhook()).await;
    assert_eq!(answer.unwrap_err().status, 401);
}

#[test]
fn only_who_asks_with_get_is_answered_with_get() {
    let greets = |settings: Value, method: &str| parse::<Signature>(settings).greets(method);
    assert!(greets(json!({"provider": "dropbox", "secret": "k"}), "GET"));
    assert!(greets(json!({"provider": "meta", "secret": "k", "verify_token": "t"}), "GET"));
    assert!(!greets(json!({"provider": "meta", "secret": "k"}), "GET"));
    assert!(!greets(json!({"provider": "slack", "secret": "k"}), "GET"));
    assert!(!greets(json!({"provider": "github", "secret": "k"}), "GET"));
    assert!(!greets(json!({"provider": "dropbox", "secret": "k"}), "DELETE"));
}

/// Posts `body`, signed with the secret `k` as Slack and Zoom do.
async fn posted(provider: &str, prefix: &str, body: &str, signer: &str) -> Result<(), Answer> {
    let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let gate: Signature = parse(json!({"provider": provider, "secrets": ["old", "k"]}));
    let key: Key = serde_json::from_value(json!(signer)).unwrap();
    let signed = crate::auth::scheme::hmac_sha256(&key, format!("v0:1700000000:{body}").as_bytes());
    let signature = format!("v0={}", hex::encode(signed));
    let (name, time) = (format!("{prefix}-signature"), format!("{prefix}-request-timestamp"));
    let headers: [(&str, &[u8]); 2] = [(&name, signature.as_bytes()), (&time, b"1700000000")];
    gate.admit(&Request { headers: &headers, body: body.as_bytes(), ..Request::default() }.webhook()).await
}

#[tokio::test]
async fn slacks_signed_challenge_is_sent_back() {
    let asked = r#"{"token":"t","challenge":"3eZbrw1aB","type":"url_verification"}"#;
    let answer = posted("slack", "x-slack", asked, "k").await.unwrap_err();
    assert_eq!(answer.handshake.map(|told| *told), Some(Handshake::Text("3eZbrw1aB".to_owned())));
    assert_eq!(posted("slack", "x-slack", asked, "another").await.unwrap_err().handshake, None);
    let unfit = asked.replace("3eZbrw1aB", "<b>\\n");
    assert_eq!(posted("slack", "x-slack", &unfit, "k").await.unwrap_err().status, 401);
    for webhook in [r#"{"type":"event_callback","challenge":"c"}"#, "a=1", ""] {
        assert_eq!(posted("slack", "x-slack", webhook, "k").await, Ok(()), "{webhook}");
    }
}

#[tokio::test]
async fn zooms_signed_token_is_answered_with_its_hmac_by_the_secret_that_signed() {
    let asked = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event":"endpoint.url_validation"}"#;
    let answer = posted("zoom", "x-zm", asked, "k").await.unwrap_err();
    // Computed with Python.
    let told = r#"{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"7648f00663203a3b7c15e7680e9c4a6ea2fd5eb6b44d7ff5858d5588c4ce9ff9"}"#;
    assert_eq!(answer.handshake.map(|told| *told), Some(Handshake::Json(told.to_owned())));
    assert_eq!(posted("zoom", "x-zm", asked, "another").await.unwrap_err().handshake, None);
    assert_eq!(posted("zoom", "x-zm", r#"{"event":"meeting.started","payload":{}}"#, "k").await, Ok(()));
}

#[test]
fn unusable_settings_are_faults_that_say_what_is_needed() {
    let discord = "00".repeat(32);
    for (settings, told) in [
        (json!({"provider": "stripe"}), "`secret` or `secrets` is missing"),
        (json!({"provider": "discord"}), "`public_key` or `public_keys` is missing"),
        (json!({"provider": "svix"}), "`secret` or `public_key` is missing"),
        (json!({"secret": "k"}), "`provider` is missing"),
        (json!({"provider": "strip", "secret": "k"}), "did you mean `stripe`?"),
        (json!({"provider": "stripe", "secret": ""}), "is empty"),
        (json!({"provider": "stripe", "secrets": []}), "the list of secrets is empty"),
        (json!({"provider": "discord", "public_keys": []}), "the list of public keys is empty"),
        (json!({"provider": "stripe", "secret": "k", "secrets": ["k"]}), "either `secret` or `secrets`"),
        (
            json!({"provider": "discord", "public_key": discord, "public_keys": [discord]}),
            "either `public_key` or `public_keys`",
        ),
        (json!({"provider": "svix", "secret": "k", "public_key": "k"}), "either a secret or a public key"),
        (json!({"provider": "stripe", "public_key": "k"}), "give it as `secret`"),
        (json!({"provider": "discord", "secrets": ["k"]}), "give its public key as `public_key`"),
        (json!({"provider": "stripe", "secret": "k", "url": "https://x.example"}), "not sign the address"),
        (json!({"provider": "stripe", "secret": "k", "tolerance_seconds": 0}), "tolerance_seconds"),
        (json!({"provider": "github", "secret": "k", "tolerance_seconds": 5}), "not sign the time"),
        (json!({"provider": "adyen", "secret": "00", "tolerance_seconds": 5}), "not sign the time"),
        (json!({"provider": "github", "secret": "k", "verify_token": "t"}), "presents no token"),
        (json!({"provider": "square", "secret": "k"}), "give `url`"),
        (json!({"provider": "twilio", "secret": "k"}), "give `url`"),
        (json!({"provider": "hubspot", "secret": "k"}), "give `url`"),
        (json!({"provider": "twilio", "secret": "k", "url": "https://x.example/?a=1"}), "without its query"),
        (json!({"provider": "svix", "secret": "whsec_not base64"}), "in base64, as in `whsec_..`"),
        (json!({"provider": "svix", "secret": "whsec_"}), "in base64, as in `whsec_..`"),
        (json!({"provider": "svix", "public_key": "whpk_AAAA"}), "the base64 of 32 bytes, as in `whpk_..`"),
        (json!({"provider": "adyen", "secret": "not hexadecimal"}), "as hexadecimal digits"),
        (json!({"provider": "discord", "public_key": "00"}), "as 64 hexadecimal digits"),
        (json!({"provider": "telnyx", "public_key": "AAAA"}), "as the base64 of 32 bytes"),
        (json!({"provider": "sendgrid", "public_key": "AAAA"}), "a key of the curve P-256"),
    ] {
        let found = faults(&settings, Kind::gate::<Signature>());
        assert!(found.len() == 1 && found[0].contains(told), "{settings}: {found:?}");
    }
}

#[test]
fn keys_that_are_left_open_are_no_faults() {
    for (provider, key) in [("svix", "secret"), ("adyen", "secret"), ("sendgrid", "public_key")] {
        let settings = json!({"provider": provider, key: engine::config::left_open("{$UNKNOWN}")});
        assert_eq!(faults(&settings, Kind::gate::<Signature>()), Vec::<String>::new());
    }
}

#[test]
fn the_secrets_are_not_printed() {
    let settings = json!({"provider": "github", "secrets": ["planted", "planted"]});
    assert!(!format!("{:?}", parse::<Signature>(settings)).contains("planted"));
}

#[test]
fn the_manual_lists_every_provider_with_its_headers_and_its_documentation() {
    let manual = include_str!("../../../../docs/signatures.md");
    let rows: Vec<&str> =
        manual.lines().filter(|line| line.starts_with("| `") && line.ends_with("> |")).collect();
    assert_eq!(rows.len(), PROVIDERS.len());
    for (row, preset) in rows.iter().zip(PROVIDERS) {
        assert!(row.starts_with(&format!("| `{}` |", preset.name)), "{row}");
        assert!(row.ends_with(&format!("| <{}> |", preset.documentation)), "{row}");
        let vectors = vectors().into_iter().filter(|vector| vector.provider == preset.name);
        let (mut published, mut headers) = (false, Vec::new());
        for vector in vectors {
            published |= vector.source.starts_with("https://");
            headers.extend(vector.headers.into_keys().filter(|name| name != "Content-Type"));
        }
        for header in headers {
            assert!(row.contains(&format!("`{header}`")), "{header} is not in {row}");
        }
        assert_eq!(row.contains("| published |"), published, "{row}");
        assert_eq!(row.contains("| computed |"), !published, "{row}");
    }
}

proptest! {
    #[test]
    fn nothing_random_passes_any_provider(
        values in proptest::collection::vec("[ -~]{0,90}|(t|ts|v1|h1)=[0-9a-f,;=]{0,90}|\\PC{0,20}", 4),
        body in ".{0,50}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for mut vector in vectors() {
            for (value, random) in vector.headers.values_mut().zip(&values) {
                value.clone_from(random);
            }
            vector.body.clone_from(&body);
            let admitted = runtime.block_on(vector.admitted(&vector.gate(), vector.now));
            prop_assert_eq!(admitted, REFUSED, "{}", vector.provider);
        }
    }
}
