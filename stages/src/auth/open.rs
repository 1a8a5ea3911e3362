//! The gate that asks nobody.

use engine::ack::Answer;
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

/// Take webhooks from anybody who knows the address.
///
/// It stands where a webhook's entry has no authentication, so that an open door is always a visible one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {}

impl Gate for Open {
    const NAME: &'static str = "open";
    const PROVES_SENDER: bool = true;

    async fn admit(&self, _: &Webhook) -> Result<(), Answer> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::webhook;

    #[tokio::test]
    async fn anybody_passes() {
        let open: Open = serde_json::from_str("{}").unwrap();
        assert_eq!(open.admit(&webhook(&[], b"anything")).await, Ok(()));
    }
}
