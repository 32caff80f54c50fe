//! What a simulation starts with.

mod customer;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::state::{Plan, ShopState};
use crate::switches::Switches;

pub use customer::CustomerClientConfig;

/// The Admin API versions supported on 2026-11-01
/// (<https://shopify.dev/docs/api/usage/versioning>).
pub const API_VERSIONS: [&str; 4] = ["2026-01", "2026-04", "2026-07", "2026-10"];

/// The lifetime of a client-credentials token: "Always 86399 (24 hours)"
/// (<https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant>).
pub const CLIENT_CREDENTIALS_LIFETIME: Duration = Duration::from_secs(86_399);

/// The lifetime of an expiring offline token, and of the refresh token beside it
/// (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens>).
pub const OFFLINE_LIFETIME: Duration = Duration::from_hours(1);

/// See [`OFFLINE_LIFETIME`].
pub const REFRESH_LIFETIME: Duration = Duration::from_hours(90 * 24);

/// The whole configuration, as it stands in the YAML file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A text that every minted value contains, so that a test can search for leaks.
    pub canary: Option<String>,
    /// Supported API versions, oldest first.
    pub api_versions: Vec<String>,
    /// Variants of unknown behaviour.
    pub switches: Switches,
    /// The shops there are.
    pub shops: Vec<ShopConfig>,
    /// The apps there are, with their installations.
    pub apps: Vec<AppConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            canary: None,
            api_versions: API_VERSIONS.map(str::to_owned).to_vec(),
            switches: Switches::default(),
            shops: Vec::new(),
            apps: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a configuration from YAML.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        Ok(serde_saphyr::from_str(yaml)?)
    }

    /// Reads a configuration from a YAML file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        Self::from_yaml(&std::fs::read_to_string(path)?)
    }

    /// Adds a shop.
    #[must_use]
    pub fn shop(mut self, shop: ShopConfig) -> Self {
        self.shops.push(shop);
        self
    }

    /// Adds an app.
    #[must_use]
    pub fn app(mut self, app: AppConfig) -> Self {
        self.apps.push(app);
        self
    }
}

/// A shop.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopConfig {
    /// `acme.myshopify.com`.
    pub domain: String,
    /// The name people see; the domain's first label if empty.
    #[serde(default)]
    pub name: String,
    /// The Dev-Dashboard organization that owns the shop.
    #[serde(default)]
    pub organization: String,
    /// Decides the rate limits.
    #[serde(default)]
    pub plan: Plan,
    /// GraphQL points per second, if not the plan's.
    #[serde(default)]
    pub restore_rate: Option<u32>,
    /// Whether the shop answers.
    #[serde(default)]
    pub state: ShopState,
    /// The domain that its storefront is at, if it isn't the permanent one: `www.acme.example`.
    #[serde(default)]
    pub primary_domain: Option<String>,
    /// The domain that its customers' accounts are at, if it isn't `shopify.com`: `account.acme.example`.
    #[serde(default)]
    pub account_domain: Option<String>,
    /// Clients of its Customer Account API.
    #[serde(default)]
    pub customer_clients: Vec<CustomerClientConfig>,
}

impl ShopConfig {
    /// An open shop on the standard plan.
    #[must_use]
    pub fn new(domain: impl Into<String>) -> Self {
        Self { domain: domain.into(), ..Self::default() }
    }

    /// Adds a client of its Customer Account API.
    #[must_use]
    pub fn customer_client(mut self, client: CustomerClientConfig) -> Self {
        self.customer_clients.push(client);
        self
    }
}

/// An app, its secrets, and where it is installed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// 32 hexadecimal digits at Shopify; any text here.
    pub client_id: String,
    /// Client secrets, oldest first; several may be live.
    #[serde(default)]
    pub client_secrets: Vec<String>,
    /// The name people see.
    #[serde(default = "default_title")]
    pub title: String,
    /// The organization that made the app. The client-credentials grant works
    /// only on shops of the same one.
    #[serde(default)]
    pub organization: String,
    /// Where a merchant may be sent back to after an approval: these addresses and no others.
    #[serde(default)]
    pub redirect_urls: Vec<String>,
    /// The scopes of the app's configuration: asked for where an approval names none.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// How long client-credentials tokens live.
    #[serde(default = "default_lifetime", with = "crate::duration")]
    pub token_lifetime: Duration,
    /// Whom the app is for: decides whether its non-expiring tokens are accepted.
    #[serde(default)]
    pub distribution: Distribution,
    /// How long expiring offline tokens live.
    #[serde(default = "default_offline_lifetime", with = "crate::duration")]
    pub offline_lifetime: Duration,
    /// How long refresh tokens live.
    #[serde(default = "default_refresh_lifetime", with = "crate::duration")]
    pub refresh_lifetime: Duration,
    /// What the token endpoint says about the lifetime of access tokens.
    #[serde(default)]
    pub expires_in: ExpiresIn,
    /// Where the app is installed.
    #[serde(default)]
    pub installations: Vec<InstallationConfig>,
}

impl AppConfig {
    /// An app without installations.
    #[must_use]
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secrets: vec![client_secret.into()],
            title: default_title(),
            organization: String::new(),
            distribution: Distribution::default(),
            redirect_urls: Vec::new(),
            scopes: BTreeSet::new(),
            token_lifetime: default_lifetime(),
            offline_lifetime: default_offline_lifetime(),
            refresh_lifetime: default_refresh_lifetime(),
            expires_in: ExpiresIn::default(),
            installations: Vec::new(),
        }
    }

    /// Lets an approval send the merchant back to this address.
    #[must_use]
    pub fn redirect_url(mut self, url: impl Into<String>) -> Self {
        self.redirect_urls.push(url.into());
        self
    }

    /// Installs the app on a shop with the scopes granted there.
    #[must_use]
    pub fn installed<S: Into<String>>(mut self, shop: impl Into<String>, scopes: impl IntoIterator<Item = S>) -> Self {
        self.installations.push(InstallationConfig {
            shop: shop.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            admin_token: None,
        });
        self
    }
}

/// An installation of an app on a shop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationConfig {
    /// The shop's domain.
    pub shop: String,
    /// The scopes granted.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// A permanent admin token with this value, as of a legacy custom app.
    #[serde(default)]
    pub admin_token: Option<String>,
}

/// Whom an app is for
/// (<https://shopify.dev/docs/apps/launch/distribution/select-distribution-method>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// One merchant.
    #[default]
    Custom,
    /// Anybody: the Admin API no longer accepts non-expiring offline tokens of such apps
    /// (<https://shopify.dev/changelog/expiring-offline-access-tokens-required-for-public-apps-april-1-2026>).
    Public,
}

/// What a token answer says in `expires_in`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresIn {
    /// The real lifetime.
    #[default]
    Lifetime,
    /// Nothing: the member is left out.
    Absent,
    /// Anything else: zero, negative, a string, null.
    Value(serde_json::Value),
}

fn default_title() -> String {
    "Tokens".to_owned()
}

fn default_lifetime() -> Duration {
    CLIENT_CREDENTIALS_LIFETIME
}

fn default_offline_lifetime() -> Duration {
    OFFLINE_LIFETIME
}

fn default_refresh_lifetime() -> Duration {
    REFRESH_LIFETIME
}
