//! How each provider signs: one row each, with the page of its documentation that says so.

use std::borrow::Cow;

use super::adyen::ADYEN;
use super::mailgun::MAILGUN;
use super::way::Way::{self, Declared, InBody};
use crate::auth::scheme::{Algorithm, Encoding, KeyForm, Part, Place, Prefix, Scheme};

/// How one provider signs.
#[derive(Debug)]
pub(super) struct Preset {
    /// The name users write.
    pub(super) name: &'static str,
    /// Where the provider says how it signs.
    pub(super) documentation: &'static str,
    /// How it signs: at most one way with a secret, and one with a key pair.
    pub(super) ways: &'static [Way],
}

impl Preset {
    /// Returns how it signs with a key pair, or with a secret.
    pub(super) fn way(&self, public: bool) -> Option<&'static Way> {
        self.ways.iter().find(|way| way.is_public() == public)
    }
}

const fn text(text: &'static str) -> Part {
    Part::Text(Cow::Borrowed(text))
}

const fn header(name: &'static str) -> Part {
    Part::Header(Cow::Borrowed(name))
}

const DOTTED: &[Part] = &[Part::Timestamp, text("."), Part::Body];
const V0: &[Part] = &[text("v0:"), Part::Timestamp, text(":"), Part::Body];

/// The header is the hexadecimal HMAC-SHA256 of the body.
const HEX: Scheme<'static> = Scheme {
    algorithm: Algorithm::Sha256,
    key: KeyForm::Text,
    header: "",
    separator: None,
    prefix: Prefix::Text(""),
    encoding: Encoding::Hex,
    signed: &[Part::Body],
    timestamp: None,
};

/// The same in base64.
const BASE64: Scheme<'static> = Scheme { encoding: Encoding::Base64, ..HEX };

/// The header is a list of keys and values.
const LISTED: Scheme<'static> = Scheme { separator: Some(','), ..HEX };

/// Standard Webhooks, by the names that the specification gives the headers.
const STANDARD: Scheme<'static> = Scheme {
    key: KeyForm::Base64After("whsec_"),
    header: "webhook-signature",
    separator: Some(' '),
    prefix: Prefix::Text("v1,"),
    timestamp: Some(Place::Header("webhook-timestamp")),
    signed: &[header("webhook-id"), text("."), Part::Timestamp, text("."), Part::Body],
    ..BASE64
};

/// The same by the names that Svix gives them.
const SVIX: Scheme<'static> = Scheme {
    header: "svix-signature",
    timestamp: Some(Place::Header("svix-timestamp")),
    signed: &[header("svix-id"), text("."), Part::Timestamp, text("."), Part::Body],
    ..STANDARD
};

/// Makes the scheme `v1a` of the scheme `v1`: the same with a key pair.
const fn with_key_pair(scheme: Scheme<'static>) -> Scheme<'static> {
    Scheme {
        algorithm: Algorithm::Ed25519,
        key: KeyForm::Base64After("whpk_"),
        prefix: Prefix::Text("v1a,"),
        ..scheme
    }
}

/// Every provider, in order of its name.
pub(super) const PROVIDERS: &[Preset] = &[
    Preset {
        name: "adyen",
        documentation: "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
        ways: &[InBody(ADYEN)],
    },
    Preset {
        name: "bitbucket",
        documentation: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
        ways: &[Declared(Scheme { header: "X-Hub-Signature", prefix: Prefix::Text("sha256="), ..HEX })],
    },
    Preset {
        name: "calendly",
        documentation: "https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures",
        ways: &[Declared(Scheme {
            header: "Calendly-Webhook-Signature",
            prefix: Prefix::Key("v1"),
            timestamp: Some(Place::Item("t")),
            signed: DOTTED,
            ..LISTED
        })],
    },
    Preset {
        name: "circleci",
        documentation: "https://circleci.com/docs/outbound-webhooks/",
        ways: &[Declared(Scheme { header: "circleci-signature", prefix: Prefix::Key("v1"), ..LISTED })],
    },
    Preset {
        name: "discord",
        documentation: "https://docs.discord.com/developers/interactions/overview",
        ways: &[Declared(Scheme {
            algorithm: Algorithm::Ed25519,
            key: KeyForm::Hex,
            header: "X-Signature-Ed25519",
            timestamp: Some(Place::Header("X-Signature-Timestamp")),
            signed: &[Part::Timestamp, Part::Body],
            ..HEX
        })],
    },
    Preset {
        name: "docusign",
        documentation: "https://developers.docusign.com/platform/webhooks/connect/hmac/",
        ways: &[Declared(Scheme { header: "X-DocuSign-Signature-1", ..BASE64 })],
    },
    Preset {
        name: "dropbox",
        documentation: "https://www.dropbox.com/developers/reference/webhooks",
        ways: &[Declared(Scheme { header: "X-Dropbox-Signature", ..HEX })],
    },
    Preset {
        name: "github",
        documentation: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        ways: &[Declared(Scheme { header: "X-Hub-Signature-256", prefix: Prefix::Text("sha256="), ..HEX })],
    },
    Preset {
        name: "gitlab",
        documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/",
        ways: &[Declared(Scheme {
            header: "X-Gitlab-Token",
            algorithm: Algorithm::Token,
            encoding: Encoding::Plain,
            signed: &[],
            ..HEX
        })],
    },
    Preset {
        name: "hubspot",
        documentation: "https://developers.hubspot.com/docs/api/webhooks/validating-requests",
        ways: &[Declared(Scheme {
            header: "X-HubSpot-Signature-v3",
            timestamp: Some(Place::Header("X-HubSpot-Request-Timestamp")),
            signed: &[Part::Method, Part::PlainUrl, Part::Body, Part::Timestamp],
            ..BASE64
        })],
    },
    Preset {
        name: "intercom",
        documentation: "https://developers.intercom.com/docs/webhooks/webhook-notifications",
        ways: &[Declared(Scheme {
            header: "X-Hub-Signature",
            algorithm: Algorithm::Sha1,
            prefix: Prefix::Text("sha1="),
            ..HEX
        })],
    },
    Preset {
        name: "linear",
        documentation: "https://linear.app/developers/webhooks",
        ways: &[Declared(Scheme { header: "Linear-Signature", ..HEX })],
    },
    Preset {
        name: "mailgun",
        documentation: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
        ways: &[InBody(MAILGUN)],
    },
    Preset {
        name: "meta",
        documentation: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started/",
        ways: &[Declared(Scheme { header: "X-Hub-Signature-256", prefix: Prefix::Text("sha256="), ..HEX })],
    },
    Preset {
        name: "paddle",
        documentation: "https://developer.paddle.com/webhooks/signature-verification",
        ways: &[Declared(Scheme {
            header: "Paddle-Signature",
            separator: Some(';'),
            prefix: Prefix::Key("h1"),
            timestamp: Some(Place::Item("ts")),
            signed: &[Part::Timestamp, text(":"), Part::Body],
            ..LISTED
        })],
    },
    Preset {
        name: "pagerduty",
        documentation: "https://developer.pagerduty.com/docs/verifying-signatures",
        ways: &[Declared(Scheme { header: "X-PagerDuty-Signature", prefix: Prefix::Key("v1"), ..LISTED })],
    },
    Preset {
        name: "sendgrid",
        documentation: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
        ways: &[Declared(Scheme {
            algorithm: Algorithm::EcdsaP256,
            key: KeyForm::P256,
            header: "X-Twilio-Email-Event-Webhook-Signature",
            timestamp: Some(Place::Header("X-Twilio-Email-Event-Webhook-Timestamp")),
            signed: &[Part::Timestamp, Part::Body],
            ..BASE64
        })],
    },
    Preset {
        name: "sentry",
        documentation: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
        ways: &[Declared(Scheme { header: "Sentry-Hook-Signature", ..HEX })],
    },
    Preset {
        name: "shopify",
        documentation: "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
        ways: &[Declared(Scheme { header: "X-Shopify-Hmac-Sha256", ..BASE64 })],
    },
    Preset {
        name: "slack",
        documentation: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
        ways: &[Declared(Scheme {
            header: "X-Slack-Signature",
            prefix: Prefix::Text("v0="),
            timestamp: Some(Place::Header("X-Slack-Request-Timestamp")),
            signed: V0,
            ..HEX
        })],
    },
    Preset {
        name: "square",
        documentation: "https://developer.squareup.com/docs/webhooks/step3validate",
        ways: &[Declared(Scheme {
            header: "x-square-hmacsha256-signature",
            signed: &[Part::Url, Part::Body],
            ..BASE64
        })],
    },
    Preset {
        name: "standard_webhooks",
        documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        ways: &[Declared(STANDARD), Declared(with_key_pair(STANDARD))],
    },
    Preset {
        name: "stripe",
        documentation: "https://docs.stripe.com/webhooks/signatures",
        ways: &[Declared(Scheme {
            header: "Stripe-Signature",
            prefix: Prefix::Key("v1"),
            timestamp: Some(Place::Item("t")),
            signed: DOTTED,
            ..LISTED
        })],
    },
    Preset {
        name: "svix",
        documentation: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
        ways: &[Declared(SVIX), Declared(with_key_pair(SVIX))],
    },
    Preset {
        name: "telnyx",
        documentation: "https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks",
        ways: &[Declared(Scheme {
            algorithm: Algorithm::Ed25519,
            key: KeyForm::Base64After(""),
            header: "telnyx-signature-ed25519",
            timestamp: Some(Place::Header("telnyx-timestamp")),
            signed: &[Part::Timestamp, text("|"), Part::Body],
            ..BASE64
        })],
    },
    Preset {
        name: "twilio",
        documentation: "https://www.twilio.com/docs/usage/security",
        ways: &[Declared(Scheme {
            header: "X-Twilio-Signature",
            algorithm: Algorithm::Sha1,
            signed: &[Part::Url, Part::Form],
            ..BASE64
        })],
    },
    Preset {
        name: "typeform",
        documentation: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
        ways: &[Declared(Scheme { header: "Typeform-Signature", prefix: Prefix::Text("sha256="), ..BASE64 })],
    },
    Preset {
        name: "vercel",
        documentation: "https://vercel.com/docs/webhooks/webhooks-api",
        ways: &[Declared(Scheme { header: "x-vercel-signature", algorithm: Algorithm::Sha1, ..HEX })],
    },
    Preset {
        name: "woocommerce",
        documentation: "https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks",
        ways: &[Declared(Scheme { header: "X-WC-Webhook-Signature", ..BASE64 })],
    },
    Preset {
        name: "x",
        documentation: "https://docs.x.com/x-api/webhooks/quickstart",
        ways: &[Declared(Scheme {
            header: "x-twitter-webhooks-signature",
            prefix: Prefix::Text("sha256="),
            ..BASE64
        })],
    },
    Preset {
        name: "zendesk",
        documentation: "https://developer.zendesk.com/documentation/webhooks/verifying/",
        ways: &[Declared(Scheme {
            header: "X-Zendesk-Webhook-Signature",
            timestamp: Some(Place::Header("X-Zendesk-Webhook-Signature-Timestamp")),
            signed: &[Part::Timestamp, Part::Body],
            ..BASE64
        })],
    },
    Preset {
        name: "zoom",
        documentation: "https://developers.zoom.us/docs/api/webhooks/",
        ways: &[Declared(Scheme {
            header: "x-zm-signature",
            prefix: Prefix::Text("v0="),
            timestamp: Some(Place::Header("x-zm-request-timestamp")),
            signed: V0,
            ..HEX
        })],
    },
];
