//! The gate that knows how providers sign.

mod providers;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

use engine::ack::Answer;
use engine::config::{Faults, Node, suggest};
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scheme::{Key, Known, Part, TOLERANCE, check_keys};
use providers::{PROVIDERS, Preset};

/// Check the signature of a provider whose way of signing is known by name.
///
/// Where the provider signs the time as well, a webhook must have been signed within `tolerance_seconds`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    /// Who signs.
    provider: Provider,
    /// The secret that the provider shows where the webhook is set up.
    #[serde(default)]
    secret: Option<Key>,
    /// Several secrets, each of which may have signed: the old and the new one while they are exchanged.
    #[serde(default)]
    secrets: Option<Vec<Key>>,
    /// The address the provider posts to, where it is signed, without its query, which is taken from the request.
    #[serde(default)]
    url: Option<String>,
    /// How many seconds the time of signing may be from now, in either direction. Default: 300.
    #[serde(default)]
    tolerance_seconds: Option<NonZeroU64>,
}

/// A provider, by its name.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Provider(&'static Preset);

impl TryFrom<String> for Provider {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if let Some(preset) = PROVIDERS.iter().find(|preset| preset.name == name) {
            return Ok(Self(preset));
        }
        let names = || PROVIDERS.iter().map(|preset| preset.name);
        Err(match suggest(&name, names()) {
            Some(near) => format!("no provider is called `{name}`; did you mean `{near}`?"),
            None => {
                format!(
                    "no provider is called `{name}`; there are {}",
                    names().collect::<Vec<_>>().join(", ")
                )
            }
        })
    }
}

impl JsonSchema for Provider {
    fn schema_name() -> Cow<'static, str> {
        "Provider".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |preset: &Preset| json!({ "const": preset.name, "description": preset.documentation });
        let all: Vec<Value> = PROVIDERS.iter().map(one).collect();
        json_schema!({ "type": "string", "oneOf": all })
    }
}

impl Signature {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.secret.iter().chain(self.secrets.iter().flatten())
    }
}

impl Gate for Signature {
    const NAME: &'static str = "signature";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        check_keys(self.secret.as_ref(), self.secrets.as_deref(), at, faults);
        let Preset { name, scheme, .. } = self.provider.0;
        if self.keys().any(|key| !scheme.key.fits(key)) {
            let place = if self.secret.is_some() { "secret" } else { "secrets" };
            let problem = format!("a secret of the provider `{name}` is written in another form");
            faults.add(&at.at().child(place), problem, None);
        }
        let signs_url = scheme.signed.contains(&Part::Url);
        if signs_url && self.url.is_none() {
            let problem = format!("the provider `{name}` signs the address it posts to: give `url`");
            faults.add(at.at(), problem, None);
        }
        if !signs_url && self.url.is_some() {
            let problem = format!("the provider `{name}` does not sign the address");
            faults.add(&at.at().child("url"), problem, None);
        }
        if scheme.timestamp.is_none() && self.tolerance_seconds.is_some() {
            let problem = format!("the provider `{name}` does not sign the time");
            faults.add(&at.at().child("tolerance_seconds"), problem, None);
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let tolerance = Duration::from_secs(self.tolerance_seconds.map_or(TOLERANCE, NonZeroU64::get));
        let known = Known { url: self.url.as_deref().unwrap_or_default(), tolerance };
        self.provider.0.scheme.admit(webhook, self.keys(), known)
    }
}
