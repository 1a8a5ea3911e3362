//! Keys and tokens for tests.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// Keys made for tests, each as PEM: the private and the public one.
const RSA: [&str; 2] =
    [include_str!("../../../tests/keys/rsa.pem"), include_str!("../../../tests/keys/rsa.pub.pem")];
const P256: [&str; 2] =
    [include_str!("../../../tests/keys/p256.pem"), include_str!("../../../tests/keys/p256.pub.pem")];
const P384: [&str; 2] =
    [include_str!("../../../tests/keys/p384.pem"), include_str!("../../../tests/keys/p384.pub.pem")];
const ED25519: [&str; 2] =
    [include_str!("../../../tests/keys/ed25519.pem"), include_str!("../../../tests/keys/ed25519.pub.pem")];

/// The shared secret of tests.
pub(in crate::auth) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Who makes tokens.
pub(in crate::auth) struct Maker {
    pub(in crate::auth) algorithm: Algorithm,
    key: EncodingKey,
    /// What the receiver has of the key: the secret, or the public key as PEM.
    pub(in crate::auth) public: &'static str,
}

/// Makes the maker of tokens with this algorithm.
pub(in crate::auth) fn maker(algorithm: &str) -> Maker {
    let [private, public] = match &algorithm[..2] {
        "HS" => [SECRET, SECRET],
        "RS" | "PS" => RSA,
        "Ed" => ED25519,
        _ if algorithm == "ES384" => P384,
        _ => P256,
    };
    let pem = private.as_bytes();
    let key = match &algorithm[..2] {
        "HS" => EncodingKey::from_secret(pem),
        "RS" | "PS" => EncodingKey::from_rsa_pem(pem).unwrap(),
        "Ed" => EncodingKey::from_ed_pem(pem).unwrap(),
        _ => EncodingKey::from_ec_pem(pem).unwrap(),
    };
    Maker { algorithm: algorithm.parse().unwrap(), key, public }
}

impl Maker {
    /// Makes a token that says `claims` and names the key `id`.
    pub(in crate::auth) fn token(&self, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// Describes the key as one of a set, by the name `id`.
    pub(in crate::auth) fn jwk(&self, id: Option<&str>) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        if let Some(id) = id {
            jwk["kid"] = json!(id);
        }
        jwk
    }
}

/// Makes a token by hand, with any header.
pub(in crate::auth) fn by_hand(header: &Value, claims: &Value, sign: impl Fn(&str) -> String) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(&message);
    format!("{message}.{signature}")
}
