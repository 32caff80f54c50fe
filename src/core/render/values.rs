//! The values a Secret is made of: the default keys, which templates can name too.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    api::{CLIENT_KEYS, DEFAULT_KEYS, SourceKind},
    core::{
        customer::{Discovery, secret_of},
        previous::PreviousValues,
        record::Record,
    },
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

/// Key of a client's id.
pub const CLIENT_ID: &str = "client_id";
/// Key of its secret, if it is a confidential one.
pub const CLIENT_SECRET: &str = "client_secret";
/// Key of the id of the newest older client, during an overlap.
pub const PREVIOUS_CLIENT_ID: &str = "previous_client_id";
/// Key of its secret, if it is a confidential one.
pub const PREVIOUS_CLIENT_SECRET: &str = "previous_client_secret";

pub(super) const SHOP_DOMAIN: &str = "shop_domain";

/// The default keys of a source, some of them not always there.
#[must_use]
pub(super) fn default_keys(kind: SourceKind) -> Vec<&'static str> {
    match kind {
        SourceKind::CustomerAccount => CLIENT_KEYS.into_iter().chain([SHOP_DOMAIN, ACCESS_TOKEN, EXPIRES_AT]).collect(),
        SourceKind::ClientCredentials
        | SourceKind::Offline
        | SourceKind::Storefront
        | SourceKind::Delegate
        | SourceKind::Custom => DEFAULT_KEYS.to_vec(),
    }
}

/// What templates can name. Has no `Debug`: it holds credentials.
pub struct Values<'a> {
    /// The credential; of a client its secret, or the id of one that has none.
    pub value: &'a SecretString,
    /// The newest older credential, during an overlap.
    pub previous_value: Option<&'a SecretString>,
    /// Older ones that are kept to be revoked by their value, newest first.
    pub older_values: &'a [SecretString],
    /// Domain of the shop.
    pub shop_domain: &'a str,
    /// API version to use it with.
    pub api_version: &'a str,
    /// Its scopes.
    pub scopes: &'a [String],
    /// When it expires; of a client, when its session does.
    pub expires_at: Option<Timestamp>,
    /// The access token of a customer's session, beside a client.
    pub session: Option<&'a SecretString>,
    /// What else there is of a client of the Customer Account API.
    pub client: Option<ClientValues>,
}

/// What is published of a client of the Customer Account API besides its value. Nothing of it is secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientValues {
    /// Its id.
    pub client_id: String,
    /// The id of the newest older one, during an overlap.
    pub previous_client_id: Option<String>,
    /// Where it is used, by key.
    pub endpoints: BTreeMap<&'static str, String>,
}

impl ClientValues {
    fn of(record: &Record, discovery: &Discovery) -> Self {
        Self {
            client_id: record.issuer.clone().unwrap_or_default(),
            previous_client_id: record.previous.last().and_then(|previous| previous.issuer.clone()),
            endpoints: discovery.by_key().into_iter().map(|(key, endpoint)| (key, endpoint.to_string())).collect(),
        }
    }
}

impl<'a> Values<'a> {
    /// Those of a credential, as its record tells them.
    #[must_use]
    pub fn of(shop: &'a str, record: &'a Record, value: &'a SecretString, previous: &'a PreviousValues) -> Self {
        Self {
            value,
            previous_value: previous.newest.as_ref(),
            older_values: &previous.kept,
            shop_domain: shop,
            api_version: &record.api_version,
            scopes: &record.scopes,
            expires_at: record.expires_at,
            session: None,
            client: record.discovery.as_ref().map(|discovery| ClientValues::of(record, discovery)),
        }
    }

    /// Every default key that has a value.
    pub(super) fn defaults(&self) -> BTreeMap<&'static str, String> {
        let mut all = match &self.client {
            Some(client) => self.of_client(client),
            None => self.of_token(),
        };
        all.insert(SHOP_DOMAIN, self.shop_domain.to_owned());
        all
    }

    fn of_token(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            (ACCESS_TOKEN, self.value.expose_secret().to_owned()),
            ("api_version", self.api_version.to_owned()),
            ("scopes", self.scopes.join(",")),
        ]);
        if let Some(at) = self.expires_at {
            all.insert(EXPIRES_AT, time::print(at));
        }
        if let Some(previous) = self.previous_value {
            all.insert(PREVIOUS_ACCESS_TOKEN, previous.expose_secret().to_owned());
        }
        if !self.older_values.is_empty() {
            let lines: Vec<&str> = self.older_values.iter().map(ExposeSecret::expose_secret).collect();
            all.insert(OLDER_ACCESS_TOKENS, lines.join("\n"));
        }
        all
    }

    fn of_client(&self, client: &ClientValues) -> BTreeMap<&'static str, String> {
        let mut all = client.endpoints.clone();
        let mut pair = |keys: [&'static str; 2], id: &str, value: &SecretString| {
            let secret = secret_of(id, value).map(|secret| (keys[1], secret.to_owned()));
            all.extend([(keys[0], id.to_owned())].into_iter().chain(secret));
        };
        pair([CLIENT_ID, CLIENT_SECRET], &client.client_id, self.value);
        if let (Some(id), Some(value)) = (&client.previous_client_id, self.previous_value) {
            pair([PREVIOUS_CLIENT_ID, PREVIOUS_CLIENT_SECRET], id, value);
        }
        if let (Some(session), Some(at)) = (self.session, self.expires_at) {
            all.insert(ACCESS_TOKEN, session.expose_secret().to_owned());
            all.insert(EXPIRES_AT, time::print(at));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scene::discovery;

    #[test]
    fn the_default_keys_are_those_the_schema_keeps_from_templates() {
        let token = SecretString::from("x");
        let values = Values {
            value: &token,
            previous_value: Some(&token),
            older_values: std::slice::from_ref(&token),
            shop_domain: "",
            api_version: "",
            scopes: &[],
            expires_at: Some(Timestamp::default()),
            session: Some(&token),
            client: None,
        };
        assert!(values.defaults().into_keys().eq(DEFAULT_KEYS));
        let endpoints = discovery().by_key().map(|(key, endpoint)| (key, endpoint.to_string())).into();
        let client = ClientValues { client_id: "i".into(), previous_client_id: Some("i".into()), endpoints };
        let values = Values { client: Some(client), ..values };
        let mut keys = default_keys(SourceKind::CustomerAccount);
        keys.sort_unstable();
        assert!(values.defaults().into_keys().eq(keys));
    }
}
