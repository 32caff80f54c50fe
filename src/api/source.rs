//! `spec.source`: where a credential comes from. Exactly one of six.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use crate::time::{self, Duration};

/// Where the credential comes from: exactly one of the six.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.clientCredentials), has(self.offline), has(self.storefront), has(self.delegate), has(self.custom), has(self.customerAccount)].filter(x, x).size() == 1")
        .message("exactly one of clientCredentials, offline, storefront, delegate, custom, customerAccount"),
    validation = Rule::new("has(self.clientCredentials) == has(oldSelf.clientCredentials) && has(self.offline) == has(oldSelf.offline) && has(self.storefront) == has(oldSelf.storefront) && has(self.delegate) == has(oldSelf.delegate) && has(self.custom) == has(oldSelf.custom) && has(self.customerAccount) == has(oldSelf.customerAccount)")
        .message("the kind of source is immutable: make a new ShopifyToken"),
)]
pub struct Source {
    /// OAuth client-credentials grant: an Admin API token of about 24 hours, for apps of your own organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<Box<ClientCredentials>>,
    /// Admin API token of an app that a merchant approves once, in a browser; refreshed for as long as the app stays installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<Box<Offline>>,
    /// Storefront API token, created and revoked with an Admin API token. It never expires; `rotation` replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storefront: Option<Box<Storefront>>,
    /// A short-lived token with no more scopes than the admin token it is made of, and made anew with that: for the Admin API,
    /// or the Storefront API from servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<Box<Delegate>>,
    /// A permanent Admin API token that a person put in a Secret; verified and republished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Box<Custom>>,
    /// A client of the Customer Account API, which a person makes in the Headless or Hydrogen channel; published with the
    /// endpoints that the shop tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_account: Option<Box<CustomerAccount>>,
}

/// Reference to a ShopifyApp.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRef {
    /// Name of the ShopifyApp.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Its namespace, if it is another one; the app's grants must allow it. Default: this one.
    #[schemars(schema_with = "schema::namespace_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Reference to an object of this namespace.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Reference to one key of a Secret of this namespace.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Key of its data.
    #[schemars(schema_with = "schema::data_key")]
    pub key: String,
}

/// `clientCredentials`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    /// The app whose client id and secret are used.
    pub app_ref: AppRef,
}

/// `offline`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.migrate) && self.migrate && has(self.expiring) && !self.expiring)")
        .message("migrate turns a non-expiring token into an expiring one: leave expiring out, or set it to true"),
)]
pub struct Offline {
    /// The app whose client id and secret are used.
    pub app_ref: AppRef,
    /// Whether an approval asks for a token of an hour with a refresh token. False asks for one that never ends, which Shopify
    /// doesn't take of every app. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiring: Option<bool>,
    /// Secret to begin with, instead of an approval: `refresh_token`, and where known `access_token`, `expires_at`, `issued_at` and
    /// `refresh_token_expires_at` (times as in `2026-11-22T12:00:00Z`); or `access_token` alone. It is never written; another
    /// refresh token there is a new beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_ref: Option<LocalRef>,
    /// Whether a token that never expires is exchanged, once, for one that does, with a refresh token. That revokes it, and
    /// can't be undone. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<bool>,
}

/// `storefront`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storefront {
    /// The ShopifyToken, of the same shop, whose Admin API token creates and revokes this one.
    pub admin_token_ref: LocalRef,
    /// Title shown in Shopify's admin, before the operator's marker. Default: the object's name.
    #[schemars(schema_with = "schema::title")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// `delegate`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delegate {
    /// The ShopifyToken, of the same shop, whose Admin API token this one is made of.
    pub admin_token_ref: LocalRef,
    /// Its scopes, such as `read_products`: some of those of the admin token. One that begins with `unauthenticated_` is of the
    /// Storefront API.
    #[schemars(schema_with = "schema::some_scopes")]
    pub scopes: Vec<String>,
    /// How long it lives, such as `30m`; it ends a minute before its admin token at the latest. Default 1h.
    #[schemars(schema_with = "schema::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Duration>,
}

impl Delegate {
    /// How long it lives, if its parent lives longer.
    #[must_use]
    pub fn lifetime(&self) -> chrono::TimeDelta {
        self.lifetime.map_or(chrono::TimeDelta::hours(1), time::to_delta)
    }
}

/// `custom`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Custom {
    /// The Secret and key that hold the token. Another value there is published as soon as it was verified.
    pub token_ref: SecretKeyRef,
}

/// `customerAccount`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.session) || self.clientType == 'Confidential'")
        .message("a session takes a Confidential client: its secret proves who began the sign-in, and a Public one has none"),
    validation = Rule::new("!has(self.session) || self.session.scopes.exists(s, s == 'openid')")
        .message("session.scopes must contain openid: without it nobody says who signed in")
)]
pub struct CustomerAccount {
    /// Secret with `client_id` and, of a Confidential client, `client_secret`. Another pair there is published, the one before
    /// beside it for `rotation.overlap`.
    pub credentials_ref: LocalRef,
    /// Kind of the client: Confidential has a client secret, for applications with a server; Public has none.
    pub client_type: ClientType,
    /// Publishes, beside the client, the session of one customer, who signs in once at `status.installURL`. For a Confidential
    /// client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<CustomerSession>,
}

/// A session of one customer.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerSession {
    /// Scopes of the session, `openid` among them, such as `email` and `customer-account-api:full`. Others count from the
    /// next sign-in on.
    #[schemars(schema_with = "schema::session_scopes")]
    pub scopes: Vec<String>,
}

/// Kind of the OAuth client (RFC 6749, section 2.1): Confidential has a client secret; Public has none.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ClientType {
    /// Has a client secret.
    Confidential,
    /// Has none, and allowed origins instead.
    Public,
}

/// Kind of source: ClientCredentials, Offline, Storefront, Delegate, Custom or CustomerAccount.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum SourceKind {
    /// OAuth client-credentials grant.
    ClientCredentials,
    /// Offline token with a rotating refresh token.
    Offline,
    /// Storefront API token.
    Storefront,
    /// Delegate token.
    Delegate,
    /// A permanent token a person put in a Secret.
    Custom,
    /// Customer Account API credentials.
    CustomerAccount,
}

impl SourceKind {
    /// Every source.
    pub const ALL: [Self; 6] =
        [Self::ClientCredentials, Self::Offline, Self::Storefront, Self::Delegate, Self::Custom, Self::CustomerAccount];

    /// The kind as status, columns and metric labels print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "ClientCredentials",
            Self::Offline => "Offline",
            Self::Storefront => "Storefront",
            Self::Delegate => "Delegate",
            Self::Custom => "Custom",
            Self::CustomerAccount => "CustomerAccount",
        }
    }
}

/// The one source that is set.
#[derive(Clone, Copy, Debug)]
pub enum SourceRef<'a> {
    /// `clientCredentials`.
    ClientCredentials(&'a ClientCredentials),
    /// `offline`.
    Offline(&'a Offline),
    /// `storefront`.
    Storefront(&'a Storefront),
    /// `delegate`.
    Delegate(&'a Delegate),
    /// `custom`.
    Custom(&'a Custom),
    /// `customerAccount`.
    CustomerAccount(&'a CustomerAccount),
}

/// Who approves something in a browser, and what.
#[derive(Clone, Copy, Debug)]
pub enum Approves<'a> {
    /// A merchant: an app, on the shop.
    Merchant(&'a Offline),
    /// A customer of the shop: a client, with this session.
    Customer(&'a CustomerAccount, &'a CustomerSession),
}

impl Source {
    /// The one source that is set; `None` for none or several, which the schema doesn't let in.
    #[must_use]
    pub fn one(&self) -> Option<SourceRef<'_>> {
        let mut set = [
            self.client_credentials.as_deref().map(SourceRef::ClientCredentials),
            self.offline.as_deref().map(SourceRef::Offline),
            self.storefront.as_deref().map(SourceRef::Storefront),
            self.delegate.as_deref().map(SourceRef::Delegate),
            self.custom.as_deref().map(SourceRef::Custom),
            self.customer_account.as_deref().map(SourceRef::CustomerAccount),
        ]
        .into_iter()
        .flatten();
        match (set.next(), set.next()) {
            (Some(source), None) => Some(source),
            _ => None,
        }
    }
}

impl<'a> SourceRef<'a> {
    /// Which of the six.
    #[must_use]
    pub const fn kind(self) -> SourceKind {
        match self {
            Self::ClientCredentials(_) => SourceKind::ClientCredentials,
            Self::Offline(_) => SourceKind::Offline,
            Self::Storefront(_) => SourceKind::Storefront,
            Self::Delegate(_) => SourceKind::Delegate,
            Self::Custom(_) => SourceKind::Custom,
            Self::CustomerAccount(_) => SourceKind::CustomerAccount,
        }
    }

    /// The app it is issued with, for the sources that name one.
    #[must_use]
    pub const fn app_ref(self) -> Option<&'a AppRef> {
        match self {
            Self::ClientCredentials(s) => Some(&s.app_ref),
            Self::Offline(s) => Some(&s.app_ref),
            Self::Storefront(_) | Self::Delegate(_) | Self::Custom(_) | Self::CustomerAccount(_) => None,
        }
    }

    /// What a person approves in a browser before it is issued, for the sources that begin so.
    #[must_use]
    pub fn approval(self) -> Option<Approves<'a>> {
        match self {
            Self::Offline(s) => Some(Approves::Merchant(s)),
            Self::CustomerAccount(s) => s.session.as_ref().map(|session| Approves::Customer(s, session)),
            Self::ClientCredentials(_) | Self::Storefront(_) | Self::Delegate(_) | Self::Custom(_) => None,
        }
    }

    /// The admin token it is issued with, for the sources that name one.
    #[must_use]
    pub const fn admin_token_ref(self) -> Option<&'a LocalRef> {
        match self {
            Self::Storefront(s) => Some(&s.admin_token_ref),
            Self::Delegate(s) => Some(&s.admin_token_ref),
            Self::ClientCredentials(_) | Self::Offline(_) | Self::Custom(_) | Self::CustomerAccount(_) => None,
        }
    }

    /// The Secret of this namespace that a person fills for it.
    #[must_use]
    pub fn credentials_secret(self) -> Option<&'a str> {
        match self {
            Self::Custom(s) => Some(&s.token_ref.name),
            Self::CustomerAccount(s) => Some(&s.credentials_ref.name),
            Self::Offline(s) => s.bootstrap_ref.as_ref().map(|r| r.name.as_str()),
            Self::ClientCredentials(_) | Self::Storefront(_) | Self::Delegate(_) => None,
        }
    }
}
