//! Where the page is and who may see it.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};

/// Where the page is when nobody says otherwise: on this machine only.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8087);

/// The shortest token, in characters: with fewer, guessing becomes thinkable.
const SHORTEST_TOKEN: usize = 16;

/// The largest CSV file that is taken, in bytes: ten million rows of a usual file.
const UPLOAD_BYTES: u64 = 512 << 20;

/// Settings as they were given, the nearest source first.
#[derive(Debug, Default)]
pub struct Given {
    /// Address and port.
    pub listen: Option<String>,
    /// The token.
    pub token: Option<SecretString>,
    /// Names under which the page is asked for.
    pub allowed_hosts: Option<Vec<String>>,
    /// Bytes of a file, at most.
    pub max_upload_bytes: Option<u64>,
}

/// Where the page is and who may see it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What one has to know to see anything; none on an address of this machine only.
    pub token: Option<SecretString>,
    /// Names under which the page may be asked for, beside those of this machine.
    pub allowed_hosts: Vec<String>,
    /// Bytes of an uploaded file, at most.
    pub max_upload_bytes: u64,
}

/// Settings of the page that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address.
    #[error(
        "`{0}` is not an address to listen on; write an IP address and a port, for example 127.0.0.1:8087 or 0.0.0.0:8087"
    )]
    Listen(String),
    /// A token that can be guessed.
    #[error(
        "the token is shorter than {SHORTEST_TOKEN} characters; `openssl rand -hex 32` makes a good one"
    )]
    Short,
    /// A token that no header can carry.
    #[error(
        "the token holds a space, a line break or a character that is not ASCII, which no HTTP header carries; `openssl rand -hex 32` makes a good one"
    )]
    Unsendable,
    /// Others could see the page, and nobody has to know anything for that.
    #[error("{0} can be reached from other machines, and there is no token")]
    Open(SocketAddr),
}

impl Error {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Listen(_) | Self::Short | Self::Unsendable => "",
            Self::Open(_) => {
                "Set ZEPHR_SYNC_TOKEN_FILE to a file with a long random text (`openssl rand -hex 32`), or listen on 127.0.0.1."
            }
        }
    }
}

impl Settings {
    /// Checks what was given, and fills in the rest.
    ///
    /// # Errors
    /// An address or a token that cannot be used. Whether the two go together is
    /// [`Self::checked`]'s to say: only the daemon listens.
    pub fn resolve(given: Given) -> Result<Self, Error> {
        if let Some(token) = &given.token {
            let token = token.expose_secret();
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Error::Unsendable);
            }
            if token.len() < SHORTEST_TOKEN {
                return Err(Error::Short);
            }
        }
        Ok(Self {
            listen: given.listen.as_deref().map_or(Ok(LISTEN), address)?,
            token: given.token,
            allowed_hosts: given.allowed_hosts.unwrap_or_default(),
            max_upload_bytes: given.max_upload_bytes.unwrap_or(UPLOAD_BYTES),
        })
    }

    /// The same on another address, where one is given.
    ///
    /// # Errors
    /// No address, or one that others reach without a token.
    pub fn checked(self, listen: Option<&str>) -> Result<Self, Error> {
        let listen = listen.map_or(Ok(self.listen), address)?;
        if !listen.ip().is_loopback() && self.token.is_none() {
            return Err(Error::Open(listen));
        }
        Ok(Self { listen, ..self })
    }
}

fn address(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| Error::Listen(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(token: Option<&str>) -> Result<Settings, Error> {
        Settings::resolve(Given {
            token: token.map(Into::into),
            ..Given::default()
        })
    }

    #[test]
    fn others_see_nothing_without_a_token() {
        for open in ["0.0.0.0:8087", "[::]:8087", "192.0.2.1:80"] {
            let settings = given(None).unwrap();
            assert!(matches!(settings.checked(Some(open)), Err(Error::Open(_))));
            let settings = given(Some("0123456789abcdef")).unwrap();
            assert!(settings.checked(Some(open)).is_ok());
        }
        for here in ["127.0.0.1:0", "[::1]:8087", "127.1.2.3:1"] {
            assert!(given(None).unwrap().checked(Some(here)).is_ok());
        }
        assert!(given(None).unwrap().checked(None).is_ok());
    }

    #[test]
    fn a_token_is_long_and_can_be_sent() {
        assert!(matches!(given(Some("0123456789abcde")), Err(Error::Short)));
        let two_lines = "0123456789abcdef\n0123456789abcdef";
        assert!(matches!(given(Some(two_lines)), Err(Error::Unsendable)));
        assert!(matches!(
            given(Some("ümlaut-0123456789")),
            Err(Error::Unsendable)
        ));
    }
}
