//! Texts that Kubernetes bounds, made of names and texts that a user chose.

use std::borrow::Cow;

/// Most bytes in the note of an event (`events.k8s.io/v1`).
pub const NOTE: usize = 1024;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_marked() {
        assert_eq!(text("brief", 5), "brief");
        assert_eq!(text("longer", 5), "lo…");
        assert_eq!(text("ééé", 4), "…", "cut at a character");
    }

    proptest! {
        #[test]
        fn a_text_is_bounded_and_begins_as_the_whole(whole in "\\PC{0,600}", limit in 3usize..2000) {
            let cut = text(&whole, limit);
            prop_assert!(cut.len() <= limit);
            prop_assert!(cut == whole || whole.starts_with(cut.strip_suffix(ELLIPSIS).unwrap()));
        }
    }
}
