//! A URL that a shop names: https, of a named host, and shown as it was served.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The longest URL that is taken; real ones have about 80 characters.
const LONGEST: usize = 2048;

/// An https URL as a shop served it: visible ASCII of at most 2048 characters, with a host name, without user name,
/// password or fragment. Not secret.
#[derive(Clone, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    text: String,
    url: Url,
}

/// Text that isn't an [`Endpoint`]: what is wrong with it, after its name. Doesn't show the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEndpoint(&'static str);

impl Endpoint {
    /// As it was served.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as a URL to ask.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        if text.len() > LONGEST {
            return Err(InvalidEndpoint("is longer than 2048 characters"));
        }
        // A URL's parser passes over some of these.
        if !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(InvalidEndpoint("has white space or characters outside ASCII"));
        }
        let url = Url::parse(text).map_err(|_| InvalidEndpoint("isn't a URL"))?;
        if url.scheme() != "https" {
            return Err(InvalidEndpoint("isn't an https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.authority().contains('@') {
            return Err(InvalidEndpoint("has a user name or password in it"));
        }
        match url.host() {
            Some(Host::Domain(_)) => {}
            // No lookup stands between an address and a connection.
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => {
                return Err(InvalidEndpoint("has an address where a host name belongs"));
            }
        }
        if url.fragment().is_some() {
            return Err(InvalidEndpoint("has a fragment"));
        }
        Ok(Self { text: text.to_owned(), url })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Self, InvalidEndpoint> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.text
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_urls_of_named_hosts_are_kept_as_served() {
        for text in [
            "https://shopify.com/authentication/36563550340/oauth/token",
            "https://account.acme.example/authentication/oauth/authorize",
            "https://Acme.example/customer/api/2026-10/graphql",
            "https://acme.example/customer/api/{version}/graphql",
            "https://acme.example:8443/x?y=z",
            "https://shopify.com",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_shape() {
        let long = format!("https://acme.example/{}", "a".repeat(2048));
        for (text, said) in [
            ("", "isn't a URL"),
            ("/oauth/token", "isn't a URL"),
            ("//acme.example/x", "isn't a URL"),
            ("https://", "isn't a URL"),
            ("http://acme.example/canary", "https"),
            ("ftp://acme.example/canary", "https"),
            ("javascript:canary", "https"),
            ("https://canary@acme.example/", "user name"),
            ("https://:canary@acme.example/", "user name"),
            ("https://10.0.0.1/canary", "address"),
            ("https://0x7f.1/canary", "address"),
            ("https://2130706433/canary", "address"),
            ("https://[::1]/canary", "address"),
            ("https://acme.example/#canary", "fragment"),
            ("https://acme.example/can ary", "white space"),
            ("https://acme.example/canary\n", "white space"),
            ("https://ac\tme.example/canary", "white space"),
            ("https://acmé.example/canary", "outside ASCII"),
            (long.as_str(), "2048"),
        ] {
            let told = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(told.contains(said) && !told.contains("canary"), "{text}: {told}");
        }
    }
}
