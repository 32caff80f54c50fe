//! Clients of the Customer Account API, as a shop's Headless or Hydrogen channel
//! has them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ExpiresIn;

/// A client of a shop's Customer Account API
/// (<https://shopify.dev/docs/storefronts/headless/building-with-the-customer-account-api/getting-started>).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerClientConfig {
    /// A UUID, or `shp_` and one, at Shopify; any text here.
    pub client_id: String,
    /// Client secrets, oldest first; several may be live. A client without any is
    /// a public one.
    #[serde(default)]
    pub client_secrets: Vec<String>,
    /// Where a sign-in may come back to.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where requests of a public client may come from: `https://shop.example.com`.
    #[serde(default)]
    pub javascript_origins: Vec<String>,
    /// Where a sign-out may lead to.
    #[serde(default)]
    pub logout_uris: Vec<String>,
    /// How long access tokens live. Undocumented; Hydrogen's own tests have an hour.
    #[serde(default = "default_lifetime", with = "crate::duration")]
    pub token_lifetime: Duration,
    /// What the token endpoint says about that.
    #[serde(default)]
    pub expires_in: ExpiresIn,
}

impl CustomerClientConfig {
    /// A confidential client.
    #[must_use]
    pub fn confidential(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self { client_secrets: vec![client_secret.into()], ..Self::public(client_id) }
    }

    /// A public client.
    #[must_use]
    pub fn public(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secrets: Vec::new(),
            redirect_uris: Vec::new(),
            javascript_origins: Vec::new(),
            logout_uris: Vec::new(),
            token_lifetime: default_lifetime(),
            expires_in: ExpiresIn::default(),
        }
    }

    /// A sign-in may come back here.
    #[must_use]
    pub fn redirects_to(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// Requests may come from here.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.javascript_origins.push(origin.into());
        self
    }
}

fn default_lifetime() -> Duration {
    Duration::from_hours(1)
}
