//! The cookie by which a browser is known: it begins an approval, and only it can end it.

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use secrecy::ExposeSecret;

use crate::core::approval::{Browser, SHOWN};

/// Kept to the host that set it, and to https (<https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes>).
const SECURE: &str = "__Host-shopify-install";
/// On a loopback address without https a browser takes no such name.
const PLAIN: &str = "shopify-install";

/// The browser that sent these headers, if it has our cookie.
pub(super) fn read(headers: &HeaderMap, secure: bool) -> Option<Browser> {
    let name = if secure { SECURE } else { PLAIN };
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
    values.next().and_then(|(_, value)| Browser::parse(value))
}

/// What sets it, for as long as the outcome can be looked at.
pub(super) fn set(browser: &Browser, secure: bool) -> Option<HeaderValue> {
    let (name, secured) = if secure { (SECURE, "; Secure") } else { (PLAIN, "") };
    let value = browser.value().expose_secret();
    let seconds = SHOWN.num_seconds();
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secured}");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|text| (COOKIE, HeaderValue::from_str(text).unwrap())).collect()
    }

    #[test]
    fn a_cookie_is_read_as_it_was_set() {
        let browser = Browser::new([3; 32]);
        for secure in [true, false] {
            let text = set(&browser, secure).unwrap().to_str().unwrap().to_owned();
            assert_eq!(text.starts_with("__Host-"), secure);
            assert_eq!(text.contains("; Secure"), secure);
            assert!(
                text.contains("; Path=/;") && text.contains("; HttpOnly; SameSite=Lax") && !text.contains("Domain")
            );
            let sent = text.split(';').next().unwrap();
            let found = read(&headers(&["a=1", &format!("b=2; {sent}; c=3")]), secure).unwrap();
            assert_eq!(found.value().expose_secret(), browser.value().expose_secret());
            assert!(read(&headers(&[sent]), !secure).is_none(), "another name is another cookie");
        }
        for text in [
            "",
            "__Host-shopify-install",
            "__Host-shopify-install=",
            "__Host-shopify-install=x",
            "x__Host-shopify-install=a",
        ] {
            assert!(read(&headers(&[text]), true).is_none(), "{text}");
        }
    }
}
