//! The signature of a delivery: `Zephr-Sync-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret,
//! "<t>.<body>")>`.
//!
//! The time is part of what is signed, so that a receiver can refuse a delivery that somebody kept
//! and sends again later. `v1` leaves room for another way.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header's name.
pub const HEADER: &str = "Zephr-Sync-Signature";

/// The header's value for this body, sent at this time.
pub fn sign(secret: &SecretString, unix_seconds: u64, body: &[u8]) -> String {
    // HMAC takes a key of any length: the error is of other MACs, and without a signature nothing
    // would be accepted.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(unix_seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let code = hex::encode(mac.finalize().into_bytes());
    format!("t={unix_seconds},v1={code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_can_check_it() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec
        assert_eq!(
            sign(&"whsec".into(), 1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=8ad37ba156048ae0e0a5533c75cdf26fee88b07f93cb57ee4c80adb053012032"
        );
    }
}
