//! The values a Secret is made of: the default keys, which templates can name too.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    core::{previous::PreviousValues, record::Record},
    time::{self, Timestamp},
};

/// Key of the credential.
pub const ACCESS_TOKEN: &str = "access_token";
/// Key of the newest older credential, during an overlap.
pub const PREVIOUS_ACCESS_TOKEN: &str = "previous_access_token";

/// Key of older credentials that are kept to be revoked by their value: one a line, newest first. No template sees it.
pub const OLDER_ACCESS_TOKENS: &str = "older_access_tokens";

/// Key of the time at which it expires.
pub const EXPIRES_AT: &str = "expires_at";

/// What templates can name. Has no `Debug`: it holds credentials.
pub struct Values<'a> {
    /// The credential.
    pub access_token: &'a SecretString,
    /// The newest older credential, during an overlap.
    pub previous_access_token: Option<&'a SecretString>,
    /// Older ones that are kept to be revoked by their value, newest first.
    pub older_access_tokens: &'a [SecretString],
    /// Domain of the shop.
    pub shop_domain: &'a str,
    /// API version to use it with.
    pub api_version: &'a str,
    /// Its scopes.
    pub scopes: &'a [String],
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl<'a> Values<'a> {
    /// Those of a credential, as its record tells them.
    #[must_use]
    pub fn of(shop: &'a str, record: &'a Record, value: &'a SecretString, previous: &'a PreviousValues) -> Self {
        Self {
            access_token: value,
            previous_access_token: previous.newest.as_ref(),
            older_access_tokens: &previous.kept,
            shop_domain: shop,
            api_version: &record.api_version,
            scopes: &record.scopes,
            expires_at: record.expires_at,
        }
    }

    /// Every default key that has a value.
    pub(super) fn defaults(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            (ACCESS_TOKEN, self.access_token.expose_secret().to_owned()),
            ("shop_domain", self.shop_domain.to_owned()),
            ("api_version", self.api_version.to_owned()),
            ("scopes", self.scopes.join(",")),
        ]);
        if let Some(at) = self.expires_at {
            all.insert(EXPIRES_AT, time::print(at));
        }
        if let Some(previous) = self.previous_access_token {
            all.insert(PREVIOUS_ACCESS_TOKEN, previous.expose_secret().to_owned());
        }
        if !self.older_access_tokens.is_empty() {
            let lines: Vec<&str> = self.older_access_tokens.iter().map(ExposeSecret::expose_secret).collect();
            all.insert(OLDER_ACCESS_TOKENS, lines.join("\n"));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DEFAULT_KEYS;

    #[test]
    fn the_default_keys_are_those_the_schema_keeps_from_templates() {
        let token = SecretString::from("x");
        let values = Values {
            access_token: &token,
            previous_access_token: Some(&token),
            older_access_tokens: std::slice::from_ref(&token),
            shop_domain: "",
            api_version: "",
            scopes: &[],
            expires_at: Some(Timestamp::default()),
        };
        assert!(values.defaults().into_keys().eq(DEFAULT_KEYS));
    }
}
