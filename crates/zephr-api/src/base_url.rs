//! Where the API is, and which addresses cannot be its.

use std::net::IpAddr;

use reqwest::Url;

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why an address cannot be the API's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BaseUrlError {
    /// Not an address at all.
    #[error("`{0}` is not a web address")]
    Malformed(String),
    /// Plain http to another machine would show signatures and readers' data to the network.
    #[error(
        "`{0}` is neither https nor on this machine; plain http is only for 127.0.0.1, [::1] and localhost"
    )]
    Plain(String),
    /// More than scheme, host and port.
    #[error("`{0}` has more than scheme, host and port")]
    Path(String),
    /// A tenant name that cannot be part of a host name.
    #[error("`{0}` is not a tenant id: letters, digits and hyphens only")]
    Tenant(String),
}

impl BaseUrl {
    /// From a whole address such as `https://news.api.zephr.com`.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError::Malformed(text.into()))?;
        let host = url
            .host_str()
            .ok_or_else(|| BaseUrlError::Malformed(text.into()))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            _ => return Err(BaseUrlError::Plain(text.into())),
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Path(text.into()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// From a tenant id: `news` means `https://news.api.zephr.com` (contract section 1).
    pub fn of_tenant(tenant: &str) -> Result<Self, BaseUrlError> {
        let fits = !tenant.is_empty()
            && tenant.len() <= 63
            && tenant
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !fits {
            return Err(BaseUrlError::Tenant(tenant.into()));
        }
        Self::parse(&format!(
            "https://{}.api.zephr.com",
            tenant.to_ascii_lowercase()
        ))
    }

    /// The address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        let url = Url::parse(&self.0).ok();
        url.is_some_and(|url| url.host_str().is_some_and(is_loopback))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_host_name() {
        assert_eq!(
            BaseUrl::of_tenant("news").unwrap().as_str(),
            "https://news.api.zephr.com"
        );
        assert!(matches!(
            BaseUrl::of_tenant("a.b/c"),
            Err(BaseUrlError::Tenant(_))
        ));
    }

    #[test]
    fn plain_http_is_only_for_this_machine() {
        for good in [
            "http://127.0.0.1:8090",
            "http://[::1]:8090/",
            "http://localhost:1",
        ] {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://news.api.zephr.com",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
        ] {
            assert!(
                matches!(BaseUrl::parse(bad), Err(BaseUrlError::Plain(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            BaseUrl::parse("https://a.b/v3"),
            Err(BaseUrlError::Path(_))
        ));
    }
}
