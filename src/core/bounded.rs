//! Names and texts that Kubernetes bounds, made of names and texts that a user chose.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Most bytes in the name of an object (DNS subdomain).
pub const NAME: usize = 253;
/// Most bytes in the note of an event (`events.k8s.io/v1`).
pub const NOTE: usize = 1024;
/// Most bytes that are kept of a text which asks for something once, as of `spec.rotation.trigger`.
pub const REQUEST: usize = 256;
/// Most characters in the message of a condition (`metav1.Condition`).
pub const MESSAGE: usize = 32_768;

const ELLIPSIS: &str = "…";

/// The text in at most `limit` bytes (3 at least), cut at a character and marked where it was cut.
#[must_use]
pub fn text(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end]).into()
}

/// So many of the names, and how many more there are.
#[must_use]
pub fn list(names: &[impl AsRef<str>], most: usize) -> String {
    let first: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let more = names.len() - first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// The text in at most `limit` bytes (33 at least). One that is cut ends in a hash of the whole, so that another text has
/// another.
#[must_use]
pub fn unique(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let hash = hex::encode(&Sha256::digest(text)[..16]);
    let end = text.floor_char_boundary(limit.saturating_sub(hash.len()));
    format!("{}{hash}", &text[..end]).into()
}

/// The name of an event about an object: the object's, cut where it has to be, then a number that no other event of
/// such an object has (the nanoseconds of its time). A DNS subdomain, as the object's is.
#[must_use]
pub fn event_name(object: &str, number: i64) -> String {
    let number = format!(".{number:x}");
    let end = object.floor_char_boundary(NAME - number.len());
    format!("{}{number}", object[..end].trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_marked() {
        assert_eq!(text("brief", 5), "brief");
        assert_eq!(text("longer", 5), "lo…");
        assert_eq!(text("ééé", 4), "…", "cut at a character");
        assert_eq!(event_name("web", 255), "web.ff");
        assert_eq!(event_name(&"a".repeat(253), i64::MAX), format!("{}.7fffffffffffffff", "a".repeat(236)));
    }

    #[test]
    fn of_many_names_the_first_are_told_and_how_many_more() {
        let names = ["a", "b", "c"];
        assert_eq!((list(&names, 3), list(&names, 2)), ("a, b, c".to_owned(), "a, b and 1 more".to_owned()));
        // Ten ids of Shopify's fit into a note, with its words and the shop's name.
        let ids: Vec<String> =
            (0..100).map(|n| format!("gid://shopify/StorefrontAccessToken/1234567890123{n:03}")).collect();
        let told = list(&ids, 10);
        assert!(told.ends_with("/1234567890123009 and 90 more") && told.len() < NOTE - 300, "{}", told.len());
    }

    proptest! {
        #[test]
        fn a_text_is_bounded_and_begins_as_the_whole(whole in "\\PC{0,600}", limit in 3usize..2000) {
            let cut = text(&whole, limit);
            prop_assert!(cut.len() <= limit);
            prop_assert!(cut == whole || whole.starts_with(cut.strip_suffix(ELLIPSIS).unwrap()));
        }

        #[test]
        fn a_unique_text_is_bounded_and_tells_others_apart(begins in "\\PC{0,200}", ends in "\\PC{1,200}", limit in 33usize..300) {
            let (one, other) = (begins.clone() + &ends, begins.clone() + "x" + &ends);
            let (short, other) = (unique(&one, limit), unique(&other, limit));
            prop_assert!(short.len() <= limit && other.len() <= limit);
            prop_assert_ne!(&short, &other);
            prop_assert!(short == one || one.len() > limit);
        }

        #[test]
        fn every_object_has_an_event_name(
            object in prop_oneof![
                "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}",
                "[a-z0-9][a-z0-9-]{45,60}[a-z0-9](\\.[a-z0-9][a-z0-9-]{45,60}[a-z0-9]){3}",
            ],
            number in 0i64..,
        ) {
            prop_assume!(object.len() <= NAME);
            let event = event_name(&object, number);
            prop_assert!(event.len() <= NAME, "{}", event.len());
            for label in event.split('.') {
                prop_assert!(!label.is_empty() && !label.starts_with('-') && !label.ends_with('-'), "{event}");
            }
            prop_assert!(event_name(&object, number ^ 1) != event);
        }
    }
}
