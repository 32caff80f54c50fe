//! The Customer Account API: its endpoints, found out at the shop's own domain.
//!
//! <https://shopify.dev/docs/api/customer>

mod discovery;
mod endpoint;

pub use discovery::Discovery;
pub use endpoint::{Endpoint, InvalidEndpoint};
