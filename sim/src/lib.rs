//! A faithful local Shopify: OAuth, Admin and Storefront APIs for many shops
//! on one https listener, with faults and a virtual clock.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use shopify_sim::{AppConfig, Config, ShopConfig, Sim};
//!
//! let config = Config::default()
//!     .shop(ShopConfig::new("acme.myshopify.com"))
//!     .app(AppConfig::new("app", "shpss_secret").installed(
//!         "acme.myshopify.com",
//!         ["read_products", "unauthenticated_read_product_listings"],
//!     ));
//! let sim = Sim::start(config).await?;
//! // Every name resolves to sim.address(), and sim.ca_pem() is trusted …
//! assert_eq!(sim.calls("oauth.clientCredentials"), 0);
//! sim.stop().await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod answer;
mod calls;
mod change;
mod clock;
mod config;
mod control;
mod customer;
mod cut;
mod distort;
mod duration;
mod error;
mod fault;
mod faults;
mod gate;
mod grant;
mod inspect;
mod listener;
mod oauth;
mod offline;
mod operation;
mod origin;
mod pages;
mod routes;
mod shopify;
mod sim;
mod state;
mod storefront;
mod switches;
mod tls;
mod versions;

pub use calls::LoggedCall;
pub use clock::Clock;
pub use config::{
    API_VERSIONS, AppConfig, CLIENT_CREDENTIALS_LIFETIME, Config, CustomerClientConfig, Distribution, ExpiresIn,
    InstallationConfig, OFFLINE_LIFETIME, REFRESH_LIFETIME, ShopConfig,
};
pub use error::{ConfigError, StartError, Unknown};
pub use fault::{CutMode, Edit, Fault, FaultKind, Page, PageFault, StatusFault};
pub use faults::FaultId;
pub use inspect::{GrantCounts, LiveAccessToken, LiveCustomerSession, LiveDelegate, LiveStorefrontToken};
pub use offline::{LiveRefreshToken, OfflinePair};
pub use operation::Surface;
pub use shopify::Shopify;
pub use sim::Sim;
pub use state::{OfflineCounts, Plan, ShopState, TokenKind};
pub use switches::{
    CallbackSecret, CustomerDiscovery, DelegateParents, DeleteUnknown, DeleteUnlisted, DestroyedBy, FutureVersion,
    IdToken, LimitMessage, LongTitle, MigrateDead, NotInstalled, OauthErrorFormat, RefreshDead, RefreshGrace,
    RefreshReplay, RetiredAccessToken, Switches, UngrantedScope, WrongSecret,
};
