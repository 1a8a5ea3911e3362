//! The keys a gate trusts, and which of them made a token.

use super::algorithm::Algorithm;
use super::key::Key;
use super::signed::Signed;

/// Keys that are tried for one token when it does not say which one made it: each try costs time that anybody can cause.
const MOST_TRIED: usize = 8;

/// The keys of a gate.
#[derive(Debug)]
pub(in crate::auth) struct Ring(pub(super) Vec<Key>);

/// Why a token is not trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// No key of the ring made it, and a key that is not in the ring may have.
    OfAnotherKey,
    /// It is wrong whatever keys there are.
    Wrong(&'static str),
}

impl Ring {
    /// Returns with success when one of the keys made `token`, with one of the algorithms `allowed` where that is given.
    /// A key that the token names is the only one tried; else every key without a name, or every key when the token
    /// names none.
    pub(super) fn verify(&self, token: &Signed<'_>, allowed: Option<&[Algorithm]>) -> Result<(), Untrusted> {
        let algorithm = token.algorithm;
        if !self.allows(algorithm, allowed) {
            return Err(Untrusted::Wrong("the token is signed with an algorithm that is not allowed"));
        }
        let id = token.key_id.as_deref();
        let named = || self.0.iter().filter(|key| id.is_some() && key.id.as_deref() == id);
        let signed = |key: &Key| key.signed(algorithm, token.message, token.signature);
        if named().next().is_some() {
            let made = named().take(MOST_TRIED).any(signed);
            return if made { Ok(()) } else { Err(Untrusted::Wrong("the token's signature is wrong")) };
        }
        let others = self.0.iter().filter(|key| id.is_none() || key.id.is_none());
        let mut fitting = others.filter(|key| key.algorithms.contains(&algorithm)).take(MOST_TRIED);
        if fitting.any(signed) { Ok(()) } else { Err(Untrusted::OfAnotherKey) }
    }

    /// Where no algorithms are given, a secret is used with one, and a public key with all that it can be used with.
    fn allows(&self, algorithm: Algorithm, allowed: Option<&[Algorithm]>) -> bool {
        match allowed {
            Some(allowed) => allowed.contains(&algorithm),
            None => !algorithm.is_symmetric() || algorithm == Algorithm::DEFAULT_OF_SECRETS,
        }
    }
}
