//! Every provider's vector passes, and nothing beside it does.

use super::*;
use crate::testing::{faults, parse, webhook};
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
    headers: BTreeMap<String, String>,
    body: String,
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

    fn is_token(&self) -> bool {
        self.provider == "gitlab"
    }

    fn timed(&self) -> bool {
        self.gate().provider.0.scheme.timestamp.is_some()
    }

    /// Asks `gate` at `now`.
    async fn admitted(&self, gate: &Signature, now: u64) -> Result<(), (u16, &'static str)> {
        let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(now));
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let answer = gate.admit(&webhook(&headers, self.body.as_bytes())).await;
        answer.map_err(|answer| (answer.status, answer.detail))
    }
}

const REFUSED: Result<(), (u16, &str)> = Err((401, "Unauthorized"));

#[test]
fn every_provider_has_a_vector_with_its_source_in_the_order_of_the_table() {
    let listed: Vec<String> = vectors().into_iter().map(|vector| vector.provider).collect();
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
        let (mut other, mut both) = (vector.clone(), vector.clone());
        let right = vector.settings["secret"].clone();
        other.settings["secret"] = json!("c2hoaGhoaGhoaGho");
        both.settings["secrets"] = json!(["c2hoaGhoaGhoaGho", right]);
        both.settings.as_object_mut().unwrap().remove("secret");
        assert_eq!(other.admitted(&other.gate(), vector.now).await, REFUSED, "{}", vector.provider);
        assert_eq!(both.admitted(&both.gate(), vector.now).await, Ok(()), "{}", vector.provider);
    }
}

#[tokio::test]
async fn an_altered_body_does_not_pass() {
    for mut vector in vectors().into_iter().filter(|vector| !vector.is_token()) {
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

#[test]
fn unusable_settings_are_faults() {
    for settings in [
        json!({"provider": "stripe"}),
        json!({"secret": "k"}),
        json!({"provider": "strip", "secret": "k"}),
        json!({"provider": "stripe", "secret": ""}),
        json!({"provider": "stripe", "secrets": []}),
        json!({"provider": "stripe", "secret": "k", "secrets": ["k"]}),
        json!({"provider": "stripe", "secret": "k", "url": "https://example.com"}),
        json!({"provider": "stripe", "secret": "k", "tolerance_seconds": 0}),
        json!({"provider": "github", "secret": "k", "tolerance_seconds": 5}),
        json!({"provider": "square", "secret": "k"}),
        json!({"provider": "svix", "secret": "whsec_not base64"}),
        json!({"provider": "svix", "secret": "whsec_"}),
    ] {
        assert_eq!(faults(&settings, Kind::gate::<Signature>()).len(), 1, "{settings}");
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
    let rows: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), PROVIDERS.len());
    for (row, preset) in rows.iter().zip(PROVIDERS) {
        assert!(row.starts_with(&format!("| `{}` |", preset.name)), "{row}");
        assert!(row.ends_with(&format!("| <{}> |", preset.documentation)), "{row}");
        for header in
            vectors().into_iter().find(|vector| vector.provider == preset.name).unwrap().headers.keys()
        {
            assert!(row.contains(&format!("`{header}`")), "{header} is not in {row}");
        }
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
