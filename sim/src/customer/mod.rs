//! The Customer Account API: discovery at a shop's own domain, a customer's
//! sign-in, and the session that it begins
//! (<https://shopify.dev/docs/api/customer>).

pub(crate) mod authorize;
mod caller;
pub(crate) mod discovery;
pub(crate) mod graphql;
pub(crate) mod keys;
pub(crate) mod logout;
mod refused;
pub(crate) mod token;
