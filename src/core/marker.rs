//! The marker at the end of a storefront token's title: whose it is, and which revision.
//!
//! A create is not idempotent at Shopify and its answer may be lost. The title is the only free
//! field, and listing returns the token's value, so the marker is the way back to it.

/// Whose storefront token it is, and which revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Marker {
    /// `metadata.uid` of the ShopifyToken.
    pub uid: String,
    /// Revision of the credential.
    pub revision: i64,
}

const SIGN: &str = "#stok:";

impl Marker {
    /// The title of a storefront token: what the user wants to read, then the marker.
    #[must_use]
    pub fn title(&self, readable: &str) -> String {
        format!("{readable} {SIGN}{}:{}", self.uid, self.revision)
    }

    /// The marker in a title, if it has one.
    #[must_use]
    pub fn parse(title: &str) -> Option<Self> {
        let (_, marker) = title.rsplit_once(SIGN)?;
        let (uid, revision) = marker.split_once(':')?;
        let revision = revision.parse().ok().filter(|r| *r > 0)?;
        (!uid.is_empty()).then(|| Self { uid: uid.to_owned(), revision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_and_marker_are_inverse() {
        let marker = Marker { uid: "0a1b".into(), revision: 12 };
        assert_eq!(marker.title("web #stok: x"), "web #stok: x #stok:0a1b:12");
        assert_eq!(Marker::parse(&marker.title("web #stok: x")), Some(marker));
    }

    #[test]
    fn other_titles_are_not_ours() {
        for title in [
            "web",
            "web #stok:",
            "web #stok:uid",
            "web #stok:uid:0",
            "web #stok:uid:x",
            "#stok::1",
            "web #stok:uid:1 copy",
        ] {
            assert_eq!(Marker::parse(title), None, "{title}");
        }
    }
}
