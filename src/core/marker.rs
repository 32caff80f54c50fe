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
/// Longest title. Where Shopify keeps 255 characters it cuts the end, which is the marker; half of that is safe in UTF-16
/// and for titles of which it keeps less.
const LONGEST: usize = 128;

impl Marker {
    /// The title of a storefront token: what the user wants to read, cut where need be, then the marker, whole. At most
    /// 128 UTF-16 units.
    #[must_use]
    pub fn title(&self, readable: &str) -> String {
        let marker = format!(" {SIGN}{}:{}", self.uid, self.revision);
        let mut left = LONGEST.saturating_sub(marker.len());
        let fits = |c: &char| left.checked_sub(c.len_utf16()).map(|rest| left = rest).is_some();
        let readable: String = readable.chars().take_while(fits).collect();
        format!("{readable}{marker}")
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn title_and_marker_are_inverse() {
        let marker = Marker { uid: "0a1b".into(), revision: 12 };
        assert_eq!(marker.title("web #stok: x"), "web #stok: x #stok:0a1b:12");
        assert_eq!(Marker::parse(&marker.title("web #stok: x")), Some(marker));
    }

    proptest! {
        #[test]
        fn a_title_is_short_and_keeps_its_marker(text in ".{0,300}", revision in 1i64..) {
            let marker = Marker { uid: "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f".into(), revision };
            let title = marker.title(&text);
            prop_assert!(title.encode_utf16().count() <= LONGEST, "{title}");
            prop_assert_eq!(Marker::parse(&title), Some(marker));
        }
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
