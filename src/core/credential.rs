//! A credential's value: how it is held, checked and compared.

use secrecy::{ExposeSecret, SecretString};

use super::{failure::Failure, vocabulary::Reason};
use crate::time::Timestamp;

/// A credential as Shopify issued it, or as a person supplied it.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its value. `Debug` prints `[REDACTED]`.
    pub value: SecretString,
    /// Shopify's id of it, where it has one.
    pub token_id: Option<String>,
    /// Its scopes, sorted.
    pub scopes: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires; `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// Something to warn of, such as a lifetime that can't be believed.
    pub warning: Option<String>,
}

/// Checks a value that a person put into a Secret. The message names place and shape, never the value.
///
/// # Errors
/// `InvalidCredential` for an empty value, one that isn't UTF-8, or one with white space or control characters.
pub fn check(bytes: &[u8], place: &str) -> Result<SecretString, Failure> {
    let invalid = |what: &str| {
        Err(Failure::new(
            Reason::InvalidCredential,
            format!(
                "{place} {what}; write the value alone, without quotes or a trailing newline (echo -n, or stringData)"
            ),
        ))
    };
    if bytes.is_empty() {
        return invalid("is empty");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return invalid("isn't text (UTF-8)");
    };
    if text.ends_with('\n') {
        return invalid(&format!("ends in a newline ({} bytes)", bytes.len()));
    }
    if let Some(at) = text.chars().position(char::is_control) {
        return invalid(&format!("has a control character at position {at} of {}", text.chars().count()));
    }
    if let Some(at) = text.chars().position(char::is_whitespace) {
        return invalid(&format!("has white space at position {at} of {}", text.chars().count()));
    }
    if !text.is_ascii() {
        return invalid("has characters outside ASCII");
    }
    if text.len() > 4096 {
        return invalid(&format!("has {} characters, more than 4096", text.len()));
    }
    Ok(SecretString::from(text))
}

/// Whether two values are the same.
#[must_use]
pub fn same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret() == b.expose_secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_a_token_and_never_shows_it() {
        let values: [&[u8]; 7] =
            [b"", b"canary\n", b"can ary", b"can\x07ary", b"\xffcanary", "cänary".as_bytes(), &[b'x'; 5000]];
        for value in values {
            let failure = check(value, "key \"token\" of Secret \"shop\"").unwrap_err();
            assert_eq!(failure.reason, Reason::InvalidCredential);
            assert!(failure.message.starts_with("key \"token\" of Secret \"shop\""), "{}", failure.message);
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
        assert_eq!(check(b"shpat_1", "x").unwrap().expose_secret(), "shpat_1");
    }

    #[test]
    fn debug_hides_the_value() {
        let credential = Credential {
            value: SecretString::from("canary"),
            token_id: None,
            scopes: vec![],
            issued_at: Timestamp::default(),
            expires_at: None,
            warning: None,
        };
        assert!(!format!("{credential:?}").contains("canary"));
    }
}
