//! Who may see the page: whoever knows the token. Programs send it with each request; a browser
//! sends it once, and has a cookie from then on.

use std::time::{Duration, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, TryAcquireError};

use clock::Clock;

/// The cookie's name.
pub const COOKIE: &str = "zephr_sync_session";

/// How long a browser stays signed in: a working day.
pub const SESSION: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a wrong token waits for its answer. Who has the right one never waits.
const WRONG: Duration = Duration::from_millis(250);

/// Wrong tokens that wait at once; further ones are refused right away. So at most forty can be
/// tried in a second, by all who try.
const WAITING: usize = 10;

/// The token, and what follows from it.
#[derive(Debug)]
pub struct Gate {
    token: Option<SecretString>,
    clock: Clock,
    wrong: Semaphore,
}

/// What a wrong token is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is wrong, or there is none.
    Wrong,
    /// Too many wrong ones come at once.
    TooMany,
}

impl Gate {
    /// Opens to this token; to everybody without one.
    pub fn new(token: Option<SecretString>, clock: Clock) -> Self {
        Self {
            token,
            clock,
            wrong: Semaphore::new(WAITING),
        }
    }

    /// Whether anything has to be known.
    pub fn is_closed(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this is the token.
    ///
    /// # Errors
    /// It is not; that is said late, so that guessing takes long.
    pub async fn try_token(&self, given: &str) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        if is_same(token.expose_secret(), given) {
            return Ok(());
        }
        match self.wrong.try_acquire() {
            Ok(_waiting) => {
                tokio::time::sleep(WRONG).await;
                Err(Refusal::Wrong)
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Err(Refusal::TooMany),
        }
    }

    /// The value of a cookie that ends in [`SESSION`] from now; none where nothing has to be known.
    /// Nothing of it is kept: whoever has the token can check it.
    pub fn session(&self) -> Option<String> {
        let ends = self.now() + SESSION.as_secs();
        let code = hex::encode(self.signed(ends)?.finalize().into_bytes());
        Some(format!("{ends}.{code}"))
    }

    /// Whether this is the value of a cookie that we gave and that has not ended.
    pub fn is_session(&self, value: &str) -> bool {
        let Some((ends, code)) = value.split_once('.') else {
            return false;
        };
        let (Ok(ends), Ok(code)) = (ends.parse(), hex::decode(code)) else {
            return false;
        };
        let Some(mac) = self.signed(ends) else {
            return false;
        };
        // Takes the same time for any wrong code.
        mac.verify_slice(&code).is_ok() && self.now() < ends
    }

    fn signed(&self, ends: u64) -> Option<Hmac<Sha256>> {
        let token = self.token.as_ref()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()).ok()?;
        mac.update(format!("zephr-sync session until {ends}").as_bytes());
        Some(mac)
    }

    /// Seconds since the Unix epoch.
    fn now(&self) -> u64 {
        let now = self.clock.now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    }
}

/// Whether two texts are the same, found out by their hashes: how long that takes tells nothing
/// about the texts.
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    let differing = one.iter().zip(other.iter());
    differing.fold(0, |differing, (one, other)| differing | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn gate(token: &str) -> (Gate, Arc<Mutex<Duration>>) {
        let now = Arc::new(Mutex::new(Duration::from_secs(1_700_000_000)));
        let clock = {
            let now = Arc::clone(&now);
            Clock::from_fn(move || UNIX_EPOCH + *now.lock().unwrap())
        };
        (Gate::new(Some(token.into()), clock), now)
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_token_opens() {
        let (gate, _) = gate("0123456789abcdef");
        assert_eq!(gate.try_token("0123456789abcdef").await, Ok(()));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdef ",
            "0123456789abcdeF",
        ] {
            assert_eq!(gate.try_token(wrong).await, Err(Refusal::Wrong));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_wrong_ones_at_once_are_refused_and_the_right_one_is_not() {
        let (gate, _) = gate("0123456789abcdef");
        let tried = futures::future::join_all((0..50).map(|_| gate.try_token("wrong"))).await;
        let refused = tried
            .iter()
            .filter(|tried| **tried == Err(Refusal::TooMany));
        assert_eq!(refused.count(), 50 - WAITING);
        let flood = futures::future::join_all((0..50).map(|_| gate.try_token("wrong")));
        let (_, right) = futures::future::join(flood, gate.try_token("0123456789abcdef")).await;
        assert_eq!(right, Ok(()));
    }

    #[test]
    fn a_cookie_ends_and_is_of_this_token() {
        let (gate, now) = gate("0123456789abcdef");
        let session = gate.session().unwrap();
        assert!(gate.is_session(&session));
        let (other, _) = self::gate("fedcba9876543210");
        assert!(!other.is_session(&session));
        let (ends, code) = session.split_once('.').unwrap();
        let longer = format!("{}.{code}", ends.parse::<u64>().unwrap() + 1);
        for wrong in [longer.as_str(), "", ".", "1.", ends, "x.y", &session[1..]] {
            assert!(!gate.is_session(wrong), "{wrong}");
        }
        *now.lock().unwrap() += SESSION;
        assert!(!gate.is_session(&session));
    }
}
