//! Nonces that the receiver makes: each bears its time and is signed, so that none is kept before it is used.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::clock;
use hmac::{KeyInit, Mac};
use subtle::ConstantTimeEq;

use crate::auth::seen::{Seen, Used};

/// How many nonces in use are remembered. One takes about 40 bytes.
const MOST: usize = 16_384;

/// The bytes of a nonce: milliseconds since 1970, chance, signature.
const TIME: usize = 8;
const CHANCE: usize = 16;
const SIGNATURE: usize = 16;

/// Makes nonces and knows its own again.
pub(super) struct Nonces {
    key: [u8; 32],
    opaque: String,
    seen: Seen,
}

impl Default for Nonces {
    /// Takes a key by chance: nonces of before a restart are known to nobody.
    fn default() -> Self {
        Self {
            key: rand::random(),
            opaque: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>()),
            seen: Seen::new(MOST, 0),
        }
    }
}

impl Nonces {
    /// Makes a nonce.
    pub(super) fn make(&self) -> String {
        let mut nonce = millis(clock::now()).to_be_bytes().to_vec();
        nonce.extend(rand::random::<[u8; CHANCE]>());
        nonce.extend(self.sign(&nonce));
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Returns the text that senders return as it is.
    pub(super) fn opaque(&self) -> &str {
        &self.opaque
    }

    /// Uses a nonce for the `count`th time, which must be more than at every use before.
    ///
    /// # Errors
    /// Why it cannot be used, for the log.
    pub(super) fn take(&self, nonce: &[u8], count: u32, lifetime: Duration) -> Result<(), &'static str> {
        let (time, chance) = self.read(nonce).ok_or("the nonce is not one of this receiver's")?;
        let now = millis(clock::now());
        let oldest = now.saturating_sub(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        if time < oldest || time > now {
            return Err("the nonce is too old");
        }
        self.seen.take((time, chance), count, oldest).map_err(|used| match used {
            Used::Before => "the nonce was used with this count or a later one",
            Used::Perhaps { .. } => "the nonce is forgotten, because many are in use",
        })
    }

    /// Returns the time and the chance of a nonce that was made here.
    fn read(&self, nonce: &[u8]) -> Option<(u64, [u8; CHANCE])> {
        let nonce = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (signed, signature) = nonce.split_at_checked(TIME + CHANCE)?;
        if !bool::from(self.sign(signed).ct_eq(signature)) {
            return None;
        }
        let (time, chance) = signed.split_at_checked(TIME)?;
        Some((u64::from_be_bytes(time.try_into().ok()?), chance.try_into().ok()?))
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let mut mac =
            hmac::Hmac::<sha2::Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(signed);
        let mut signature = mac.finalize().into_bytes().to_vec();
        signature.truncate(SIGNATURE);
        signature
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}
