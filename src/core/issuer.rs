//! What a credential is issued with, as observed: an app, an admin token, or a person's Secret.

use secrecy::SecretString;

use crate::api::AdminApi;

/// What a credential is issued with.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// A ShopifyApp's client id and secret.
    App(App),
    /// Another ShopifyToken's Admin API token.
    Admin(Admin),
    /// A value that a person put in a Secret.
    Person(SecretString),
}

/// A ShopifyApp's client id and secret.
#[derive(Clone, Debug)]
pub struct App {
    /// `namespace/name` of the ShopifyApp: one issue at a time for each of these and a shop.
    pub key: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretString,
}

/// Another ShopifyToken's Admin API token, and what a fresh one could be issued with.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Name of the ShopifyToken.
    pub name: String,
    /// The token that applications would use too; `None` only where `app` is set and a deletion can do without.
    pub token: Option<SecretString>,
    /// The app that can issue another one, unless a person supplies it.
    pub app: Option<App>,
    /// The Admin API to use.
    pub api: AdminApi,
    /// Its version.
    pub version: String,
}
