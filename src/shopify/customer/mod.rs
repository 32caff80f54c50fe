//! The Customer Account API: its endpoints, found out at the shop's own domain, and one customer's session there.
//!
//! <https://shopify.dev/docs/api/customer>

mod authorize;
mod discovery;
mod id_token;
#[cfg(test)]
mod simulated;
mod token;

pub use authorize::{SignIn, code_challenge, code_verifier};
pub use id_token::{Expected, IssuerKeys};
pub use token::{Code, CustomerSession, OidcClient};
