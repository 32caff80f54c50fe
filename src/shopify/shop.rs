//! A shop's name, checked, and the URLs built from it.

use std::{fmt, str::FromStr, sync::Arc};

use url::Url;

const DOMAIN: &str = ".myshopify.com";

/// A shop: `<name>.myshopify.com`, in lower case.
///
/// The only way to a URL of Shopify's, so that no text of a user's ever reaches a host, path or query
/// unchecked. The pattern is Shopify's, anchored at both ends
/// (<https://shopify.dev/docs/apps/build/authentication-authorization/authenticate-standalone-apps>).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Shop {
    origin: Arc<Url>,
}

/// Text that isn't a shop's name. Doesn't show the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a shop: write its permanent name, `<name>.myshopify.com`, in lower case, without scheme, port or path")]
pub struct InvalidShop;

impl Shop {
    /// Its name, `<name>.myshopify.com`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The origin has a host: it was made of this name.
        self.origin.host_str().unwrap_or_default()
    }

    /// The https URL of a path of this shop's, each segment percent-encoded.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = Url::clone(&self.origin);
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }
}

impl FromStr for Shop {
    type Err = InvalidShop;

    fn from_str(text: &str) -> Result<Self, InvalidShop> {
        let name = text.strip_suffix(DOMAIN).ok_or(InvalidShop)?;
        let ordinary = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = name.bytes().next().is_some_and(ordinary)
            && name.bytes().all(|c| ordinary(c) || c == b'-')
            && name.len() <= 63;
        if !well_formed {
            return Err(InvalidShop);
        }
        let origin = Url::parse(&format!("https://{text}/")).map_err(|_| InvalidShop)?;
        if origin.host_str() != Some(text) {
            return Err(InvalidShop);
        }
        Ok(Self { origin: Arc::new(origin) })
    }
}

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_anchored_shop_names_are_shops() {
        for text in ["acme.myshopify.com", "a.myshopify.com", "0-a-1.myshopify.com"] {
            let shop: Shop = text.parse().unwrap();
            assert_eq!(shop.as_str(), text);
            assert_eq!(
                shop.url(&["admin", "oauth", "access_token"]).as_str(),
                format!("https://{text}/admin/oauth/access_token")
            );
        }
        for text in [
            "",
            ".myshopify.com",
            "myshopify.com",
            "acme",
            "acme.com",
            "-acme.myshopify.com",
            "evil.com#.myshopify.com",
            "evil.com/.myshopify.com",
            "evil.com?.myshopify.com",
            "evil.com\\.myshopify.com",
            "evil.com%2f.myshopify.com",
            "evil.com:443.myshopify.com",
            "a.myshopify.com.evil.com",
            "a.b.myshopify.com",
            "..myshopify.com",
            "../x.myshopify.com",
            "user@acme.myshopify.com",
            "user:pw@acme.myshopify.com",
            "acme.myshopify.com:443",
            "acme.myshopify.com/",
            "acme.myshopify.com.",
            "acme.myshopify.com#",
            "acme.myshopify.com@evil.com",
            "https://acme.myshopify.com",
            "127.0.0.1",
            "127.0.0.1.myshopify.com",
            "[::1]",
            "ACME.myshopify.com",
            "acme.MyShopify.com",
            "acmé.myshopify.com",
            "аcme.myshopify.com",
            "acme\u{200b}.myshopify.com",
            "acme\u{ff0e}myshopify.com",
            "xn--.myshopify.com",
            "ac_me.myshopify.com",
            "ac me.myshopify.com",
            " acme.myshopify.com",
            "acme.myshopify.com\n",
            "acme\r\n.myshopify.com",
            "acme\0.myshopify.com",
            "*.myshopify.com",
        ] {
            assert_eq!(text.parse::<Shop>(), Err(InvalidShop), "{text:?}");
        }
        assert!(format!("{}.myshopify.com", "a".repeat(64)).parse::<Shop>().is_err());
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        let shop: Shop = "acme.myshopify.com".parse().unwrap();
        assert_eq!(
            shop.url(&["admin", "api", "../../x?y#z", "..", "@"]).as_str(),
            "https://acme.myshopify.com/admin/api/..%2F..%2Fx%3Fy%23z/@"
        );
    }

    proptest! {
        #[test]
        fn whatever_parses_is_its_own_host(text in r"[a-z0-9./:@#%\\-]{0,12}(\.myshopify\.com)?") {
            if let Ok(shop) = text.parse::<Shop>() {
                let url = shop.url(&["x"]);
                prop_assert_eq!(url.host_str(), Some(text.as_str()));
                prop_assert_eq!((url.scheme(), url.port(), url.path()), ("https", None, "/x"));
                prop_assert_eq!((url.username(), url.password()), ("", None));
            }
        }
    }
}
