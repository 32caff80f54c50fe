//! The hash of several texts: which of them a byte belongs to counts.

use sha2::{Digest, Sha256};

/// Hex digits of a hash that tells one thing from others of its kind.
const DIGITS: usize = 32;

/// Hash of texts, each with its length before it, in 32 hex digits.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_from_one_text_to_the_next() {
        let all = [digest(&["ab", "c"]), digest(&["a", "bc"]), digest(&["abc"]), digest(&["ab", "c", ""])];
        for (n, one) in all.iter().enumerate() {
            assert_eq!(one.len(), DIGITS);
            assert!(!all[n + 1..].contains(one), "{n}");
        }
        // What is written down is compared by a later version.
        assert_eq!(digest(&["a", "b"]), "3c9d591045bc8876f9d0399bbfb05c6a");
    }
}
