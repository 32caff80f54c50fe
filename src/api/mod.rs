//! The custom resources: what users write and see, with every rule the API server checks.

#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats each struct in a scope of its own"
)]

pub mod app;
pub mod crd;
mod schema;
pub mod source;
pub mod status;
pub mod token;

pub use app::{ShopifyApp, ShopifyAppSpec, ShopifyAppStatus};
pub use source::{Source, SourceKind, SourceRef};
pub use status::{ShopifyTokenStatus, TokenSecretStatus};
pub use token::{ShopifyToken, ShopifyTokenSpec};

/// API group of both kinds.
pub const GROUP: &str = "tokens.shopify-operator.dev";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
