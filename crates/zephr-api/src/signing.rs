//! The request signature (contract section 2): a plain SHA-256 over a concatenation that starts
//! with the secret. Not an HMAC.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The scheme token that the tutorial and every working client use; the OpenAPI text's spelling
/// with another hyphen is not sent.
pub const SCHEME: &str = "ZEPHR-HMAC-SHA256";

/// A key pair of an admin user. It signs requests and cannot be printed.
#[derive(Debug, Clone)]
pub struct KeyPair {
    access_key: SecretString,
    secret_key: SecretString,
}

/// The parts of a request that are signed, exactly as they are sent.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Begins with `/`; no query.
    pub path: &'a str,
    /// What follows the first `?`, without it; empty when there is none.
    pub query: &'a str,
    /// The bytes on the wire; empty when there is no body.
    pub body: &'a [u8],
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u128,
    /// New for every request, retries included; without `:` and white space.
    pub nonce: &'a str,
}

impl KeyPair {
    /// Takes the two keys as they were issued.
    pub fn new(access_key: SecretString, secret_key: SecretString) -> Self {
        Self {
            access_key,
            secret_key,
        }
    }

    /// By what the access key can be known again: a hash of it. It is no secret, but it need not be
    /// written down either.
    pub fn check_value(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update("zephr-sync access key ");
        hasher.update(self.access_key.expose_secret());
        hasher.finalize().into()
    }

    /// The value of the `Authorization` header for a request.
    pub fn authorization(&self, request: Signed<'_>) -> String {
        format!(
            "{SCHEME} {}:{}:{}:{}",
            self.access_key.expose_secret(),
            request.timestamp_ms,
            request.nonce,
            self.hash(request),
        )
    }

    /// Lower-case hex of `SHA256(secret || body || path || query || METHOD || timestamp || nonce)`,
    /// with nothing between the parts.
    fn hash(&self, request: Signed<'_>) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.secret_key.expose_secret());
        hasher.update(request.body);
        hasher.update(request.path);
        hasher.update(request.query);
        hasher.update(request.method);
        hasher.update(request.timestamp_ms.to_string());
        hasher.update(request.nonce);
        hex::encode(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The made-up keys of contract section 2.
    fn keys() -> KeyPair {
        KeyPair::new(
            "11111111-2222-4333-8444-555555555555".into(),
            "0123456789abcdef0123456789abcdef".into(),
        )
    }

    fn hash(method: &str, target: &str, body: &[u8]) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        keys().hash(Signed {
            method,
            path,
            query,
            body,
            timestamp_ms: 1_700_000_000_000,
            nonce: "5f3c9a1e7b2d4c6080a1b2c3d4e5f607",
        })
    }

    const V2: &str = "/v3/user-export?attributes=true&rpp=500&page=1&since=2024-01-01T00:00:00Z";

    #[test]
    fn v1_no_query_no_body() {
        assert_eq!(
            hash("GET", "/v3/users", b""),
            "4902cc401636fb5dc2951b7b3a743318b0f6d8e7609d74270abe265cd37693a3"
        );
    }

    #[test]
    fn v2_query_without_its_question_mark() {
        assert_eq!(
            hash("GET", V2, b""),
            "9fb10027762e9bd09eef50f12f196e6c4cca3487377b8750d74479af8044644e"
        );
    }

    #[test]
    fn v3_query_is_signed_as_sent() {
        assert_eq!(
            hash("GET", &V2.replace("00:00:00", "00%3A00%3A00"), b""),
            "d5b1ff76808e0a9ff6e56be2d0e66765f790690e45a42619ad1e62334b5b9a0b"
        );
    }

    #[test]
    fn v4_and_v5_body_is_signed_as_sent() {
        let escaped = br#"{"updates":[{"identifier":{"user_id":"3f589a2d-86ad-4b70-a5df-68dca75a3a21"},"actions":[{"type":"set-attribute","attribute":{"field":"first-name","value":"Jo\u00eb"}}]}]}"#;
        assert_eq!(escaped.len(), 170);
        assert_eq!(
            hash("POST", "/v4/user-updates", escaped),
            "eccfc3b898514f9e031cd0c53aa6e0899d95cac87808a830414fdb04bc7f980a"
        );
        let raw = std::str::from_utf8(escaped)
            .unwrap()
            .replace(r"\u00eb", "ë");
        assert_eq!(raw.len(), 166);
        assert_eq!(
            hash("POST", "/v4/user-updates", raw.as_bytes()),
            "93e0b01f410f4fde2312dc64eed53a2ce76dfd2293bd22aa1400a9b93f5311a4"
        );
    }

    #[test]
    fn v6_bare_body() {
        assert_eq!(
            hash(
                "PUT",
                "/v3/users/3f589a2d-86cd-4b70-a5df-68dca75a3a21/foreign-key/update/crm",
                b"65xcb76a3a2f1"
            ),
            "74db8a5421d149cd95e791eace70fd60b6a8da4964dc8fbfdd9fbd8fb7fad7fc"
        );
    }

    #[test]
    fn v7_brackets_raw_and_encoded() {
        let path = "/zephr/integration/users/v1/users";
        assert_eq!(
            hash(
                "DELETE",
                &format!("{path}?foreign[system]=crm&foreign[key]=42"),
                b""
            ),
            "0cabb4cb25261bdd472d44844733d4a03db0b13f8f6571253de3bed74c83daa8"
        );
        assert_eq!(
            hash(
                "DELETE",
                &format!("{path}?foreign%5Bsystem%5D=crm&foreign%5Bkey%5D=42"),
                b""
            ),
            "aff94921bddd2297339ea569b95e9013c8db1034bb987849f98b71380f097936"
        );
    }

    #[test]
    fn wrong_readings_of_the_scheme_are_not_produced() {
        let v2 = hash("GET", V2, b"");
        for wrong in [
            "9c1c7a5adb7a1366acad10e231aa4e2bfdbe89cdff27dea4f6ee3c9b48532959", // a true HMAC
            "a8fe832c2e76e159dcb30aa0c812b23ed586c85aa1614ef98736f94e12653644", // query with its `?`
            "744b4947221fa168c55916f2531cd3db1fce6b387f4f44c086326c4415d45684", // query left out
        ] {
            assert_ne!(v2, wrong);
        }
    }

    #[test]
    fn the_header_has_four_fields_behind_the_scheme() {
        let header = keys().authorization(Signed {
            method: "GET",
            path: "/v3/user-export",
            query: V2.split_once('?').unwrap().1,
            body: b"",
            timestamp_ms: 1_700_000_000_000,
            nonce: "5f3c9a1e7b2d4c6080a1b2c3d4e5f607",
        });
        assert_eq!(
            header,
            "ZEPHR-HMAC-SHA256 11111111-2222-4333-8444-555555555555:1700000000000:5f3c9a1e7b2d4c6080a1b2c3d4e5f607:9fb10027762e9bd09eef50f12f196e6c4cca3487377b8750d74479af8044644e"
        );
    }

    #[test]
    fn a_key_pair_cannot_be_printed() {
        let shown = format!("{:?}", keys());
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(!shown.contains("11111111"), "{shown}");
    }
}
