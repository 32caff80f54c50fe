//! The address that a merchant is sent back to, signed for the app
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant>).

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use chrono::{DateTime, Utc};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::error::Unknown;
use crate::state::{Owner, State};
use crate::switches::CallbackSecret;

/// What the app is told.
pub(super) struct Told<'a> {
    /// `code` or `error`, and its value.
    pub(super) outcome: (&'static str, String),
    /// As the app sent it.
    pub(super) state: Option<&'a str>,
    pub(super) at: DateTime<Utc>,
}

/// The app's address with all of it, and an `hmac` of that.
pub(super) fn address(state: &State, owner: &Owner, mut to: Url, told: &Told<'_>) -> Result<Url, Unknown> {
    let app = state.app(&owner.client_id)?;
    let secret = match state.switches.callback_secret {
        CallbackSecret::Oldest => app.oldest_secret(),
        CallbackSecret::Newest => app.newest_secret(),
    };
    let secret = secret.ok_or_else(|| Unknown::Secret(owner.client_id.clone()))?;
    let name = owner.shop.split('.').next().unwrap_or_default();
    let (outcome, value) = &told.outcome;
    let mut parameters = BTreeMap::from([
        (*outcome, value.clone()),
        ("host", BASE64_STANDARD_NO_PAD.encode(format!("admin.shopify.com/store/{name}"))),
        ("shop", owner.shop.clone()),
        ("timestamp", told.at.timestamp().to_string()),
    ]);
    if let Some(state) = told.state {
        parameters.insert("state", state.to_owned());
    }
    let hmac = signature(secret, &parameters);
    to.query_pairs_mut().extend_pairs(&parameters).append_pair("hmac", &hmac);
    Ok(to)
}

/// Sorted by name, encoded as a form is, joined by `&`.
fn signature(secret: &str, parameters: &BTreeMap<&str, String>) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, pairs.join("&").as_bytes());
    hex::encode(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Shopify's documentation.
    #[test]
    fn signs_as_documented() {
        let parameters = BTreeMap::from([
            ("code", "0907a61c0c8d55e99db179b68161bc00".to_owned()),
            ("shop", "some-shop.myshopify.com".to_owned()),
            ("state", "0.6784241404160823".to_owned()),
            ("timestamp", "1337178173".to_owned()),
        ]);
        let expected = "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf";
        assert_eq!(signature("hush", &parameters), expected);
    }
}
