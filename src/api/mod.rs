//! The custom resources: what users write and see, with every rule the API server checks.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct in a scope of its own")]
#![allow(clippy::doc_markdown, reason = "`kubectl explain` prints the comments as they are")]
#![allow(clippy::duplicated_attributes, reason = "it compares arguments of different columns")]

pub mod app;
pub mod crd;
mod schema;
pub mod secret;
pub mod source;
pub mod status;
#[cfg(test)]
mod tests;
pub mod token;

pub use app::{AdminApi, ShopifyApp, ShopifyAppSpec, ShopifyAppStatus};
pub use schema::{CLIENT_KEYS, DEFAULT_KEYS};
pub use source::{Approves, Source, SourceKind, SourceRef};
pub use status::{ShopifyTokenStatus, TokenSecretStatus};
pub use token::{ShopifyToken, ShopifyTokenSpec};

/// API group of both kinds.
pub const GROUP: &str = "tokens.shopify-operator.dev";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
