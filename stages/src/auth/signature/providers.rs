//! How each provider signs: one row each, with the page of its documentation that says so.

use std::borrow::Cow;

use crate::auth::scheme::{Algorithm, Encoding, KeyForm, Part, Place, Prefix, Scheme};

/// How one provider signs.
#[derive(Debug)]
pub(super) struct Preset {
    /// The name users write.
    pub(super) name: &'static str,
    /// Where the provider says how it signs.
    pub(super) documentation: &'static str,
    /// How it signs.
    pub(super) scheme: Scheme<'static>,
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

/// Standard Webhooks: signatures that one secret made; those of key pairs (`v1a`) are passed over.
const STANDARD: Scheme<'static> = Scheme {
    key: KeyForm::Base64After("whsec_"),
    separator: Some(' '),
    prefix: Prefix::Text("v1,"),
    ..BASE64
};

/// Every provider, in order of its name.
pub(super) const PROVIDERS: &[Preset] = &[
    Preset {
        name: "bitbucket",
        documentation: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
        scheme: Scheme { header: "X-Hub-Signature", prefix: Prefix::Text("sha256="), ..HEX },
    },
    Preset {
        name: "calendly",
        documentation: "https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures",
        scheme: Scheme {
            header: "Calendly-Webhook-Signature",
            prefix: Prefix::Key("v1"),
            timestamp: Some(Place::Item("t")),
            signed: DOTTED,
            ..LISTED
        },
    },
    Preset {
        name: "circleci",
        documentation: "https://circleci.com/docs/outbound-webhooks/",
        scheme: Scheme { header: "circleci-signature", prefix: Prefix::Key("v1"), ..LISTED },
    },
    Preset {
        name: "docusign",
        documentation: "https://developers.docusign.com/platform/webhooks/connect/hmac/",
        scheme: Scheme { header: "X-DocuSign-Signature-1", ..BASE64 },
    },
    Preset {
        name: "dropbox",
        documentation: "https://www.dropbox.com/developers/reference/webhooks",
        scheme: Scheme { header: "X-Dropbox-Signature", ..HEX },
    },
    Preset {
        name: "github",
        documentation: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        scheme: Scheme { header: "X-Hub-Signature-256", prefix: Prefix::Text("sha256="), ..HEX },
    },
    Preset {
        name: "gitlab",
        documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/",
        scheme: Scheme {
            header: "X-Gitlab-Token",
            algorithm: Algorithm::Token,
            encoding: Encoding::Plain,
            signed: &[],
            ..HEX
        },
    },
    Preset {
        name: "intercom",
        documentation: "https://developers.intercom.com/docs/webhooks/webhook-notifications",
        scheme: Scheme {
            header: "X-Hub-Signature",
            algorithm: Algorithm::Sha1,
            prefix: Prefix::Text("sha1="),
            ..HEX
        },
    },
    Preset {
        name: "linear",
        documentation: "https://linear.app/developers/webhooks",
        scheme: Scheme { header: "Linear-Signature", ..HEX },
    },
    Preset {
        name: "meta",
        documentation: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started/",
        scheme: Scheme { header: "X-Hub-Signature-256", prefix: Prefix::Text("sha256="), ..HEX },
    },
    Preset {
        name: "paddle",
        documentation: "https://developer.paddle.com/webhooks/signature-verification",
        scheme: Scheme {
            header: "Paddle-Signature",
            separator: Some(';'),
            prefix: Prefix::Key("h1"),
            timestamp: Some(Place::Item("ts")),
            signed: &[Part::Timestamp, text(":"), Part::Body],
            ..LISTED
        },
    },
    Preset {
        name: "pagerduty",
        documentation: "https://developer.pagerduty.com/docs/verifying-signatures",
        scheme: Scheme { header: "X-PagerDuty-Signature", prefix: Prefix::Key("v1"), ..LISTED },
    },
    Preset {
        name: "sentry",
        documentation: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
        scheme: Scheme { header: "Sentry-Hook-Signature", ..HEX },
    },
    Preset {
        name: "shopify",
        documentation: "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
        scheme: Scheme { header: "X-Shopify-Hmac-Sha256", ..BASE64 },
    },
    Preset {
        name: "slack",
        documentation: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
        scheme: Scheme {
            header: "X-Slack-Signature",
            prefix: Prefix::Text("v0="),
            timestamp: Some(Place::Header("X-Slack-Request-Timestamp")),
            signed: V0,
            ..HEX
        },
    },
    Preset {
        name: "square",
        documentation: "https://developer.squareup.com/docs/webhooks/step3validate",
        scheme: Scheme {
            header: "x-square-hmacsha256-signature",
            signed: &[Part::Url, Part::Body],
            ..BASE64
        },
    },
    Preset {
        name: "standard_webhooks",
        documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        scheme: Scheme {
            header: "webhook-signature",
            timestamp: Some(Place::Header("webhook-timestamp")),
            signed: &[header("webhook-id"), text("."), Part::Timestamp, text("."), Part::Body],
            ..STANDARD
        },
    },
    Preset {
        name: "stripe",
        documentation: "https://docs.stripe.com/webhooks/signatures",
        scheme: Scheme {
            header: "Stripe-Signature",
            prefix: Prefix::Key("v1"),
            timestamp: Some(Place::Item("t")),
            signed: DOTTED,
            ..LISTED
        },
    },
    Preset {
        name: "svix",
        documentation: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
        scheme: Scheme {
            header: "svix-signature",
            timestamp: Some(Place::Header("svix-timestamp")),
            signed: &[header("svix-id"), text("."), Part::Timestamp, text("."), Part::Body],
            ..STANDARD
        },
    },
    Preset {
        name: "typeform",
        documentation: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
        scheme: Scheme { header: "Typeform-Signature", prefix: Prefix::Text("sha256="), ..BASE64 },
    },
    Preset {
        name: "vercel",
        documentation: "https://vercel.com/docs/webhooks/webhooks-api",
        scheme: Scheme { header: "x-vercel-signature", algorithm: Algorithm::Sha1, ..HEX },
    },
    Preset {
        name: "woocommerce",
        documentation: "https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks",
        scheme: Scheme { header: "X-WC-Webhook-Signature", ..BASE64 },
    },
    Preset {
        name: "zendesk",
        documentation: "https://developer.zendesk.com/documentation/webhooks/verifying/",
        scheme: Scheme {
            header: "X-Zendesk-Webhook-Signature",
            timestamp: Some(Place::Header("X-Zendesk-Webhook-Signature-Timestamp")),
            signed: &[Part::Timestamp, Part::Body],
            ..BASE64
        },
    },
    Preset {
        name: "zoom",
        documentation: "https://developers.zoom.us/docs/api/webhooks/",
        scheme: Scheme {
            header: "x-zm-signature",
            prefix: Prefix::Text("v0="),
            timestamp: Some(Place::Header("x-zm-request-timestamp")),
            signed: V0,
            ..HEX
        },
    },
];
