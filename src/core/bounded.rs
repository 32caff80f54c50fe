//! Names and texts that Kubernetes bounds, made of names and texts that a user chose.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Most bytes in the name of an object (DNS subdomain).
pub const NAME: usize = 253;
/// Most bytes in the note of an event (`events.k8s.io/v1`).
pub const NOTE: usize = 1024;
/// Most characters in the message of a condition (`metav1.Condition`).
pub const MESSAGE: usize = 32_768;

const ELLIPSIS: &str = "…";
/// Hexadecimal digits of the hash in a name that was cut.
const DIGITS: usize = 10;

/// The text in at most `limit` bytes (3 at least), cut at a character and marked where it was cut.
#[must_use]
pub fn text(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end]).into()
}

/// The name in at most `limit` bytes (12 at least). One that is cut ends in a hash of the whole: it stays
/// unique, and a DNS subdomain where it was one.
#[must_use]
pub fn name(name: &str, limit: usize) -> Cow<'_, str> {
    if name.len() <= limit {
        return name.into();
    }
    let digest = Sha256::digest(name.as_bytes());
    let hash = format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|i| digest[i])));
    let end = name.floor_char_boundary(limit.saturating_sub(DIGITS + 1));
    format!("{}-{}", name[..end].trim_end_matches(['.', '-']), &hash[..DIGITS]).into()
}

/// The name of an event about an object: the object's, then a number (nanoseconds of its time).
#[must_use]
pub fn event_name(object: &str, number: u64) -> String {
    let suffix = format!(".{number:x}");
    format!("{}{suffix}", name(object, NAME - suffix.len()))
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
        assert_eq!(name("web", 12), "web");
        assert_eq!(event_name("web", 255), "web.ff");
    }

    proptest! {
        #[test]
        fn a_text_is_bounded_and_begins_as_the_whole(whole in "\\PC{0,600}", limit in 3usize..2000) {
            let cut = text(&whole, limit);
            prop_assert!(cut.len() <= limit);
            prop_assert!(cut == whole || whole.starts_with(cut.strip_suffix(ELLIPSIS).unwrap()));
        }

        #[test]
        fn every_object_has_an_event_name(
            object in prop_oneof![
                "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}",
                "[a-z0-9][a-z0-9-]{45,60}[a-z0-9](\\.[a-z0-9]([a-z0-9-]{45,60}[a-z0-9])){3}",
            ],
            number: u64,
        ) {
            prop_assume!(object.len() <= NAME);
            let event = event_name(&object, number);
            prop_assert!(event.len() <= NAME, "{}", event.len());
            for label in event.split('.') {
                prop_assert!(!label.is_empty() && !label.starts_with('-') && !label.ends_with('-'), "{event}");
            }
            // Another object of the same beginning has another.
            let other = format!("{}0", &object[..object.len().min(NAME - 1)]);
            prop_assert!(other == object || event_name(&other, number) != event);
        }
    }
}
