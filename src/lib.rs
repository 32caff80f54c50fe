//! cert-manager for Shopify tokens: the operator, as a library that its binary and its tests share.

pub mod api;
pub mod clock;
pub mod core;
pub mod duration;
