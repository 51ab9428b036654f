//! The key of the keyed hashes: a secret that cannot print.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A given key shorter than this could be guessed by trying.
const LEAST_LENGTH: usize = 16;

/// What each kind of hash begins with, so that one says nothing about another.
const CHECK: &[u8] = b"zephr-sync hash key";
const ERASED: &[u8] = b"zephr-sync erased\0";
const VEIL: &[u8] = b"zephr-sync record\0";

/// A key of HMAC-SHA256.
#[derive(Debug, Clone)]
pub struct HashKey(Arc<SecretSlice<u8>>);

/// A key that would protect nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have at least {LEAST_LENGTH} characters; `openssl rand -hex 32` makes a good one")]
pub struct TooShort;

impl HashKey {
    /// From the setting.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn given(text: &SecretString) -> Result<Self, TooShort> {
        let text = text.expose_secret().trim();
        if text.len() < LEAST_LENGTH {
            return Err(TooShort);
        }
        Ok(Self::stored(text.as_bytes().to_vec()))
    }

    /// A new one, of 32 bytes.
    pub fn random() -> Self {
        let mut mixed = Sha256::new();
        // Each holds 122 bits from the system's generator.
        for _ in 0..3 {
            mixed.update(Uuid::new_v4().as_bytes());
        }
        Self::stored(mixed.finalize().to_vec())
    }

    /// From where it is kept.
    pub fn stored(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes.into()))
    }

    /// To be kept.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Tells this key from another without showing it.
    pub fn check_value(&self) -> [u8; 32] {
        self.hmac(&[CHECK])
    }

    /// The hash of a value, in hex. What holds an @ is taken for an e-mail address: white space
    /// around it and the case of its (ASCII) letters do not count, so that one person's address is
    /// one hash wherever it was typed.
    pub fn hash_value(&self, value: &str) -> String {
        let hash = if value.contains('@') {
            self.hmac(&[value.trim_ascii().to_ascii_lowercase().as_bytes()])
        } else {
            self.hmac(&[value.as_bytes()])
        };
        hex::encode(hash)
    }

    /// Stands for somebody who was erased.
    pub fn of_erased(&self, user_id: &str) -> [u8; 32] {
        self.hmac(&[ERASED, user_id.as_bytes()])
    }

    /// Stands for the hash of a record of which something may not be known.
    pub fn veil(&self, hash: &[u8]) -> [u8; 32] {
        self.hmac(&[VEIL, hash])
    }

    fn hmac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // A key of any length is one; the error type is about other constructions.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.expose()) else {
            return [0; 32];
        };
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_hmac_sha256_in_hex() {
        // RFC 4231, test case 2.
        let key = HashKey::stored(b"Jefe".to_vec());
        assert_eq!(
            key.hash_value("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn an_address_is_one_however_it_was_typed_and_other_text_is_exact() {
        let key = HashKey::random();
        assert_eq!(
            key.hash_value(" Ann@Example.COM\n"),
            key.hash_value("ann@example.com")
        );
        assert_ne!(key.hash_value("Ann"), key.hash_value("ann"));
        assert_ne!(
            key.hash_value("ann"),
            HashKey::random().hash_value("ann"),
            "keys differ"
        );
        assert_ne!(key.of_erased("ann"), key.veil(b"ann"));
    }

    #[test]
    fn a_key_does_not_print_and_is_not_too_short() {
        let given = HashKey::given(&"  a-key-that-is-long-enough ".into()).unwrap();
        assert_eq!(given.expose(), b"a-key-that-is-long-enough");
        let shown = format!("{given:?}");
        assert!(
            !shown.contains("long-enough") && !shown.contains("97"),
            "{shown}"
        );
        assert!(HashKey::given(&"short".into()).is_err());
    }
}
