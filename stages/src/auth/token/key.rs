//! Keys that may have signed a token. What kind a key is decides which algorithms it can be used with, never the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk as Components};
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Algorithm, ED25519, HMAC, P256, P384, RSA};

/// Bits of an RSA modulus: fewer are not allowed (RFC 7518 section 3.3), more take too long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Keys of one set that are looked at.
const MOST_KEYS: usize = 100;

/// What only text has that is a public key, and no secret to compute with: whoever took it for one would let anybody sign.
const PUBLIC: [&str; 5] = ["-----BEGIN", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-", "\"kty\""];

/// One key.
#[derive(Debug)]
pub(in crate::auth) struct Key {
    /// The name by which tokens may ask for it.
    pub(super) id: Option<String>,
    /// What it is, in words.
    pub(super) kind: &'static str,
    /// What it can be used with.
    pub(super) algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    fn new(kind: &'static str, algorithms: &[Algorithm], key: DecodingKey) -> Self {
        Self { id: None, kind, algorithms: algorithms.to_vec(), key }
    }

    /// Reads a public key as PEM, or takes any other text as a shared secret.
    ///
    /// # Errors
    /// Why it is no key, in words that do not show it.
    pub(super) fn from_text(text: &str) -> Result<Self, &'static str> {
        if !PUBLIC.iter().any(|part| text.contains(part)) {
            return Ok(Self::new("a shared secret", HMAC, DecodingKey::from_secret(text.as_bytes())));
        }
        if text.contains("PRIVATE KEY-----") {
            return Err("this is a private key, which only the sender should have; put the public one");
        }
        if !text.contains("-----BEGIN PUBLIC KEY-----") && !text.contains("-----BEGIN RSA PUBLIC KEY-----") {
            return Err("expected a shared secret, or a public key as PEM: `-----BEGIN PUBLIC KEY-----`");
        }
        let pem = text.trim().as_bytes();
        let readers = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let read = readers.iter().find_map(|read| read(pem).ok());
        // Its components go the way of every other key, so that one place judges them.
        let components = read.and_then(|key| Components::from_decoding_key(&key, None).ok());
        let components = components.ok_or("no public key can be read from the PEM text")?;
        match &components.algorithm {
            AlgorithmParameters::RSA(rsa) => from_rsa(&rsa.n, &rsa.e),
            AlgorithmParameters::EllipticCurve(ec) => from_ec(&ec.x, &ec.y),
            AlgorithmParameters::OctetKeyPair(ed) => from_ed25519(&ed.x),
            _ => Err("no public key can be read from the PEM text"),
        }
    }

    /// Tells whether this key made `signature` for `message` with `algorithm`.
    pub(super) fn signed(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm.0)
                .unwrap_or(false)
    }
}

/// One key of a set (RFC 7517 section 4). What else it holds is not looked at.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl Jwk {
    /// Returns the key; none when it is not meant for signatures.
    fn read(self) -> Result<Option<Key>, &'static str> {
        let encrypts = self.purpose.as_deref().is_some_and(|purpose| purpose != "sig");
        let verifies = self.key_ops.as_deref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if encrypts || !verifies {
            return Ok(None);
        }
        let mut key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => from_rsa(&self.n, &self.e),
            ("EC", Some("P-256" | "P-384")) => from_ec(&self.x, &self.y),
            ("OKP", Some("Ed25519")) => from_ed25519(&self.x),
            ("oct", _) => Err("a set of public keys cannot hold a secret"),
            _ => Err("it is of a kind that is not known; there are RSA, P-256, P-384 and Ed25519"),
        }?;
        if let Some(name) = &self.alg {
            key.algorithms.retain(|algorithm| algorithm.name() == name);
            if key.algorithms.is_empty() {
                return Err("its `alg` does not belong to its kind, or is not known");
            }
        }
        key.id = self.kid;
        Ok(Some(key))
    }
}

/// Reads a set of keys (RFC 7517 section 5). Each that cannot be used is told with its number, and the others are returned.
///
/// # Errors
/// The value is no set at all.
pub(super) fn from_set(set: &Value) -> Result<(Vec<Key>, Vec<String>), &'static str> {
    let keys = set.get("keys").and_then(Value::as_array).ok_or("expected an object with the list `keys`")?;
    let (mut found, mut unusable) = (Vec::new(), Vec::new());
    for (key, number) in keys.iter().take(MOST_KEYS).zip(1..) {
        let read = Jwk::deserialize(key).map_err(|_| "it has not the form of a key");
        match read.and_then(Jwk::read) {
            Ok(key) => found.extend(key),
            Err(why) => unusable.push(format!("key {number} of the set cannot be used: {why}")),
        }
    }
    Ok((found, unusable))
}

fn from_rsa(n: &str, e: &str) -> Result<Key, &'static str> {
    let modulus = URL_SAFE_NO_PAD.decode(n).map_err(|_| "its modulus is no base64")?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let bits = match modulus.get(zeros) {
        Some(first) => (modulus.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    };
    if !RSA_BITS.contains(&bits) {
        return Err("an RSA key must have 2048 to 4096 bits");
    }
    let key = DecodingKey::from_rsa_components(n, e).map_err(|_| "its exponent is no base64")?;
    Ok(Key::new("an RSA key", RSA, key))
}

fn from_ec(x: &str, y: &str) -> Result<Key, &'static str> {
    let key = DecodingKey::from_ec_components(x, y).map_err(|_| "its coordinates are no base64")?;
    let (kind, algorithms) = match key.try_get_as_bytes().map(<[u8]>::len) {
        Ok(65) => ("a key on the curve P-256", P256),
        Ok(97) => ("a key on the curve P-384", P384),
        _ => return Err("its coordinates have not the length of P-256 or P-384"),
    };
    is_sound(Key::new(kind, algorithms, key))
}

fn from_ed25519(x: &str) -> Result<Key, &'static str> {
    let key = DecodingKey::from_ed_components(x).map_err(|_| "its point is no base64")?;
    // The library takes the length for granted.
    if !key.try_get_as_bytes().is_ok_and(|point| point.len() == 32) {
        return Err("an Ed25519 key must have 32 bytes");
    }
    is_sound(Key::new("an Ed25519 key", ED25519, key))
}

/// Tries the key: a point that is not on its curve is told before any token is looked at.
fn is_sound(key: Key) -> Result<Key, &'static str> {
    let usable = key
        .algorithms
        .iter()
        .all(|algorithm| jsonwebtoken::crypto::verify("", b"", &key.key, algorithm.0).is_ok());
    if usable { Ok(key) } else { Err("it is no point on its curve") }
}
