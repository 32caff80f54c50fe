//! A credential's value: how it is held, checked and compared.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
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

/// A refresh token as Shopify issued it, or as a person supplied it.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// Its value. `Debug` prints `[REDACTED]`.
    pub value: SecretString,
    /// When it expires; `None` if nobody said.
    pub expires_at: Option<Timestamp>,
}

/// Checks a value that a person put into a Secret. The message names place and shape, never the value.
///
/// # Errors
/// `InvalidCredential` for an empty value, one that isn't UTF-8, or one with white space or control characters.
pub fn check(bytes: &[u8], place: &str) -> Result<SecretString, Failure> {
    let failed =
        |what: &str, then: &str| Err(Failure::new(Reason::InvalidCredential, format!("{place} {what}; {then}")));
    let invalid = |what: &str| {
        failed(what, "write the value alone, without quotes or a trailing newline (echo -n, or stringData)")
    };
    if bytes.is_empty() {
        return failed("is empty", "put the value there, from the app's Dev Dashboard or wherever Shopify shows it");
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

const QUOTES: [char; 3] = ['"', '\'', '`'];

/// What its shape says went wrong when a person wrote a value that Shopify refuses, and what to do: to be said after
/// what the value is, and never with it.
#[must_use]
pub fn mishap(value: &SecretString) -> Option<&'static str> {
    let text = value.expose_secret();
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        Some("stands in quotes: write it without them")
    } else if decoded(text).is_some_and(|text| is_shopify_s(text.trim().trim_matches(QUOTES))) {
        Some(
            "looks like base64 of a credential, encoded twice: in `data` of a Secret encode it once, in `stringData` never",
        )
    } else {
        None
    }
}

fn decoded(text: &str) -> Option<String> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&alphabet::STANDARD, padding).decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// Whether a value has the form of one of Shopify's: `shpss_…` and the like, or 32 hexadecimal digits. Shopify
/// documents neither as a rule, so nothing but a hint may go by it.
fn is_shopify_s(text: &str) -> bool {
    let prefixed = text.strip_prefix("shp").and_then(|rest| rest.split_once('_')).is_some_and(|(kind, rest)| {
        kind.len() == 2 && rest.len() >= 16 && rest.bytes().all(|c| c.is_ascii_alphanumeric())
    });
    prefixed || (text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit()))
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
            let told = if value.is_empty() { "put the value" } else { "without quotes or a trailing newline" };
            assert!(failure.message.contains(told), "{}", failure.message);
        }
        assert_eq!(check(b"shpat_1", "x").unwrap().expose_secret(), "shpat_1");
    }

    #[test]
    fn a_mishap_is_told_by_the_shape() {
        let mishap = |value: &str| mishap(&SecretString::from(value));
        let secret = "shpss_canaryc0ffee0123456789abcdef012345";
        let id = "0123456789abcdef0123456789abcdef";
        for quoted in [format!("\"{secret}\""), format!("'{id}'"), format!("{secret}\""), format!("`{id}`")] {
            assert!(mishap(&quoted).unwrap().contains("quotes"), "{quoted}");
        }
        let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
        for twice in [secret, id, &format!("{secret}\n"), &format!("{id}\r\n"), &format!("\"{secret}\"")].map(encode) {
            for text in [twice.as_str(), twice.trim_end_matches('=')] {
                let told = mishap(text).unwrap();
                assert!(told.contains("base64") && !told.contains(text), "{text}: {told}");
            }
        }
        // Opaque values of any other kind, these among them that happen to be base64.
        let others =
            [id, secret, "shpat_1", "", "deadbeef", "not base64!", &encode("canary"), &encode(&encode(secret))];
        for value in others {
            assert_eq!(mishap(value), None, "{value}");
        }
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
