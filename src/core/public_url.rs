//! The URL under which merchants and customers reach the install pages.

use std::str::FromStr;

use url::{Host, Origin, Url};

/// Where merchants come back to, below the public URL.
pub const CALLBACK: &str = "/oauth/callback";

/// `--public-url`: an origin, https unless it is this machine. `Display` has no slash at its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicUrl(Url);

/// Why a public URL is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPublicUrl {
    /// No URL, or one of another kind.
    #[error("write a URL, as in https://tokens.example.com")]
    NotAUrl,
    /// In clear text over a network.
    #[error("it is https, or http on a loopback address: codes and cookies go over it")]
    NotHttps,
    /// More than an origin.
    #[error("it is scheme, host and port alone: the pages are at its root, under /oauth/")]
    NotAnOrigin,
}

impl PublicUrl {
    /// Where the approval of an object begins.
    #[must_use]
    pub fn install(&self, namespace: &str, name: &str) -> String {
        format!("{self}/oauth/install/{namespace}/{name}")
    }

    /// Where Shopify sends browsers back to: what the app has to list.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{self}{CALLBACK}")
    }

    /// What browsers send as `Origin` from its pages, and the operator where Shopify asks for one.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin()
    }

    /// Whether it is https: cookies are for https alone then.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = Url::parse(text).map_err(|_| InvalidPublicUrl::NotAUrl)?;
        let local = match url.host().ok_or(InvalidPublicUrl::NotAUrl)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => return Err(InvalidPublicUrl::NotHttps),
            _ => return Err(InvalidPublicUrl::NotAUrl),
        }
        let more = !url.username().is_empty()
            || url.password().is_some()
            || url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some();
        if more { Err(InvalidPublicUrl::NotAnOrigin) } else { Ok(Self(url)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken() {
        for (text, origin) in [
            ("https://tokens.example.com", "https://tokens.example.com"),
            ("https://tokens.example.com/", "https://tokens.example.com"),
            ("https://Tokens.Example.com:443", "https://tokens.example.com"),
            ("https://tokens.example.com:8443", "https://tokens.example.com:8443"),
            ("http://localhost:8081", "http://localhost:8081"),
            ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
            ("http://[::1]:8081", "http://[::1]:8081"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), origin);
            assert_eq!(url.is_secure(), text.starts_with("https"));
            assert_eq!(url.callback(), format!("{origin}/oauth/callback"));
            assert_eq!(url.install("shop", "web"), format!("{origin}/oauth/install/shop/web"));
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        use InvalidPublicUrl::{NotAUrl, NotAnOrigin, NotHttps};
        for (text, why) in [
            ("", NotAUrl),
            ("tokens.example.com", NotAUrl),
            ("ftp://tokens.example.com", NotAUrl),
            ("javascript:alert(1)", NotAUrl),
            ("http://tokens.example.com", NotHttps),
            ("http://localhost.example.com", NotHttps),
            ("http://10.0.0.1", NotHttps),
            ("https://tokens.example.com/shopify", NotAnOrigin),
            ("https://tokens.example.com/?a=1", NotAnOrigin),
            ("https://tokens.example.com/#a", NotAnOrigin),
            ("https://me@tokens.example.com", NotAnOrigin),
            ("https://me:secret@tokens.example.com", NotAnOrigin),
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(why), "{text}");
        }
    }
}
