//! The server's half of the request signature (contract section 2), written apart from the client's
//! so that one checks the other.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

/// How far a request's timestamp may be from the server's clock. No tolerance is published; five
/// minutes is the custom.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// The made-up access key of contract section 2.
pub const MADE_UP_ACCESS_KEY: &str = "11111111-2222-4333-8444-555555555555";
/// The made-up secret of contract section 2.
pub const MADE_UP_SECRET_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A key pair the simulator accepts.
#[derive(Clone)]
pub struct Keys {
    /// Sent in the clear, names the pair.
    pub access: String,
    /// Never sent; hashed into every signature.
    pub secret: String,
}

impl Keys {
    /// The pair of contract section 2, safe to print and to commit.
    pub fn made_up() -> Self {
        Self {
            access: MADE_UP_ACCESS_KEY.to_owned(),
            secret: MADE_UP_SECRET_KEY.to_owned(),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What of a request is signed, exactly as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Raw, without `?`; empty when absent.
    pub query: &'a str,
    pub body: &'a [u8],
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no Authorization header")]
    Missing,
    #[error("the scheme is not ZEPHR-HMAC-SHA256")]
    Scheme,
    #[error("Authorization needs accessKey:timestamp:nonce:hash")]
    Fields,
    #[error("unknown access key")]
    AccessKey,
    #[error("the timestamp is not milliseconds since 1970")]
    Timestamp,
    #[error("the timestamp is too far from the server's clock")]
    Skew,
    #[error("the signature does not match")]
    Signature,
    #[error("the nonce was used before")]
    Nonce,
}

/// The gatekeeper: one key pair and the nonces seen lately.
#[derive(Debug)]
pub(super) struct Gate {
    keys: Keys,
    seen: HashSet<[u8; 16]>,
    /// Nonces with the time they were seen, oldest first. A timestamp can be valid for at most
    /// twice the tolerance after it was first seen, so older ones are forgotten.
    ages: VecDeque<(SystemTime, [u8; 16])>,
}

impl Gate {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            seen: HashSet::new(),
            ages: VecDeque::new(),
        }
    }

    /// Lets a request in or says why not. A nonce is remembered only for a request that was
    /// otherwise right.
    pub(super) fn check(
        &mut self,
        now: SystemTime,
        header: Option<&str>,
        signed: Signed<'_>,
    ) -> Result<(), Refusal> {
        let (scheme, rest) = header
            .ok_or(Refusal::Missing)?
            .split_once(' ')
            .ok_or(Refusal::Scheme)?;
        if scheme != "ZEPHR-HMAC-SHA256" {
            return Err(Refusal::Scheme);
        }
        let fields: Vec<&str> = rest.split(':').collect();
        let [access, timestamp, nonce, hash] = fields[..] else {
            return Err(Refusal::Fields);
        };
        if nonce.is_empty() || rest.contains(char::is_whitespace) {
            return Err(Refusal::Fields);
        }
        if access != self.keys.access {
            return Err(Refusal::AccessKey);
        }
        if timestamp.is_empty() || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refusal::Timestamp);
        }
        let sent: u64 = timestamp.parse().map_err(|_| Refusal::Timestamp)?;
        let here = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis() as u64;
        if u128::from(sent.abs_diff(here)) > CLOCK_TOLERANCE.as_millis() {
            return Err(Refusal::Skew);
        }
        if hash != self.hash(signed, timestamp, nonce) {
            return Err(Refusal::Signature);
        }
        self.forget_before(now);
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(nonce.as_bytes())[..16]);
        if !self.seen.insert(key) {
            return Err(Refusal::Nonce);
        }
        self.ages.push_back((now, key));
        Ok(())
    }

    fn hash(&self, signed: Signed<'_>, timestamp: &str, nonce: &str) -> String {
        let mut text = Vec::with_capacity(256 + signed.body.len());
        for part in [
            self.keys.secret.as_bytes(),
            signed.body,
            signed.path.as_bytes(),
            signed.query.as_bytes(),
            signed.method.as_bytes(),
            timestamp.as_bytes(),
            nonce.as_bytes(),
        ] {
            text.extend_from_slice(part);
        }
        hex::encode(Sha256::digest(&text))
    }

    fn forget_before(&mut self, now: SystemTime) {
        while let Some((seen_at, key)) = self.ages.front() {
            if now.duration_since(*seen_at).unwrap_or_default() <= CLOCK_TOLERANCE.saturating_mul(2)
            {
                break;
            }
            self.seen.remove(key);
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "5f3c9a1e7b2d4c6080a1b2c3d4e5f607";
    const V2_QUERY: &str = "attributes=true&rpp=500&page=1&since=2024-01-01T00:00:00Z";
    const V2_HASH: &str = "9fb10027762e9bd09eef50f12f196e6c4cca3487377b8750d74479af8044644e";
    const V4_BODY: &str = r#"{"updates":[{"identifier":{"user_id":"3f589a2d-86ad-4b70-a5df-68dca75a3a21"},"actions":[{"type":"set-attribute","attribute":{"field":"first-name","value":"Jo\u00eb"}}]}]}"#;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn header(hash: &str) -> String {
        format!("ZEPHR-HMAC-SHA256 {MADE_UP_ACCESS_KEY}:1700000000000:{NONCE}:{hash}")
    }

    fn judge(method: &str, path: &str, query: &str, body: &str, hash: &str) -> Result<(), Refusal> {
        Gate::new(Keys::made_up()).check(
            at(1_700_000_000_000),
            Some(&header(hash)),
            Signed {
                method,
                path,
                query,
                body: body.as_bytes(),
            },
        )
    }

    fn v2(now: SystemTime, header: Option<&str>) -> Result<(), Refusal> {
        let signed = Signed {
            method: "GET",
            path: "/v3/user-export",
            query: V2_QUERY,
            body: b"",
        };
        Gate::new(Keys::made_up()).check(now, header, signed)
    }

    #[test]
    fn the_vectors_of_the_contract_are_let_in() {
        let v5_body = V4_BODY.replace(r"\u00eb", "ë");
        assert_eq!((V4_BODY.len(), v5_body.len()), (170, 166));
        let v3_query = "attributes=true&rpp=500&page=1&since=2024-01-01T00%3A00%3A00Z";
        let users = "/zephr/integration/users/v1/users";
        let key_path = "/v3/users/3f589a2d-86cd-4b70-a5df-68dca75a3a21/foreign-key/update/crm";
        for (name, method, path, query, body, hash) in [
            (
                "V1",
                "GET",
                "/v3/users",
                "",
                "",
                "4902cc401636fb5dc2951b7b3a743318b0f6d8e7609d74270abe265cd37693a3",
            ),
            ("V2", "GET", "/v3/user-export", V2_QUERY, "", V2_HASH),
            (
                "V3",
                "GET",
                "/v3/user-export",
                v3_query,
                "",
                "d5b1ff76808e0a9ff6e56be2d0e66765f790690e45a42619ad1e62334b5b9a0b",
            ),
            (
                "V4",
                "POST",
                "/v4/user-updates",
                "",
                V4_BODY,
                "eccfc3b898514f9e031cd0c53aa6e0899d95cac87808a830414fdb04bc7f980a",
            ),
            (
                "V5",
                "POST",
                "/v4/user-updates",
                "",
                &v5_body,
                "93e0b01f410f4fde2312dc64eed53a2ce76dfd2293bd22aa1400a9b93f5311a4",
            ),
            (
                "V6",
                "PUT",
                key_path,
                "",
                "65xcb76a3a2f1",
                "74db8a5421d149cd95e791eace70fd60b6a8da4964dc8fbfdd9fbd8fb7fad7fc",
            ),
            (
                "V7",
                "DELETE",
                users,
                "foreign[system]=crm&foreign[key]=42",
                "",
                "0cabb4cb25261bdd472d44844733d4a03db0b13f8f6571253de3bed74c83daa8",
            ),
            (
                "V7 escaped",
                "DELETE",
                users,
                "foreign%5Bsystem%5D=crm&foreign%5Bkey%5D=42",
                "",
                "aff94921bddd2297339ea569b95e9013c8db1034bb987849f98b71380f097936",
            ),
        ] {
            assert_eq!(judge(method, path, query, body, hash), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_hashes_that_must_not_match_are_refused() {
        for hash in [
            "9c1c7a5adb7a1366acad10e231aa4e2bfdbe89cdff27dea4f6ee3c9b48532959",
            "a8fe832c2e76e159dcb30aa0c812b23ed586c85aa1614ef98736f94e12653644",
            "744b4947221fa168c55916f2531cd3db1fce6b387f4f44c086326c4415d45684",
            &V2_HASH.to_uppercase(),
            "",
        ] {
            let verdict = judge("GET", "/v3/user-export", V2_QUERY, "", hash);
            assert_eq!(verdict, Err(Refusal::Signature), "{hash}");
        }
    }

    #[test]
    fn a_header_of_another_form_is_refused() {
        let now = at(1_700_000_000_000);
        assert_eq!(v2(now, Some(&header(V2_HASH))), Ok(()));
        assert_eq!(v2(now, None), Err(Refusal::Missing));
        let other = header(V2_HASH).replace("SHA256", "SHA-256");
        assert_eq!(v2(now, Some(&other)), Err(Refusal::Scheme));
        let legacy = header(V2_HASH).replace("ZEPHR", "BLAIZE");
        assert_eq!(v2(now, Some(&legacy)), Err(Refusal::Scheme));
        assert_eq!(
            v2(now, Some(&format!("{}:x", header(V2_HASH)))),
            Err(Refusal::Fields)
        );
        let stranger = header(V2_HASH).replace("1111-", "1112-");
        assert_eq!(v2(now, Some(&stranger)), Err(Refusal::AccessKey));
        let late = header(V2_HASH).replace(":1700000000000:", ":1.7e12:");
        assert_eq!(v2(now, Some(&late)), Err(Refusal::Timestamp));
    }

    #[test]
    fn the_clock_may_differ_by_five_minutes_either_way() {
        for (millis, verdict) in [
            (1_700_000_300_000, Ok(())),
            (1_699_999_700_000, Ok(())),
            (1_700_000_300_001, Err(Refusal::Skew)),
            (1_699_999_699_999, Err(Refusal::Skew)),
        ] {
            assert_eq!(v2(at(millis), Some(&header(V2_HASH))), verdict, "{millis}");
        }
    }

    #[test]
    fn a_nonce_counts_once_and_is_forgotten_when_it_no_longer_matters() {
        let mut gate = Gate::new(Keys::made_up());
        let signed = Signed {
            method: "GET",
            path: "/v3/user-export",
            query: V2_QUERY,
            body: b"",
        };
        let start = at(1_700_000_000_000);
        assert_eq!(gate.check(start, Some(&header(V2_HASH)), signed), Ok(()));
        assert_eq!(
            gate.check(start, Some(&header(V2_HASH)), signed),
            Err(Refusal::Nonce)
        );
        gate.forget_before(start + CLOCK_TOLERANCE * 2);
        assert_eq!(gate.seen.len(), 1);
        gate.forget_before(start + CLOCK_TOLERANCE * 2 + Duration::from_millis(1));
        assert!(gate.seen.is_empty() && gate.ages.is_empty());
    }
}
