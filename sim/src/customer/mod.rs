//! The Customer Account API: discovery at a shop's own domain, and what it leads to
//! (<https://shopify.dev/docs/api/customer>).

pub(crate) mod discovery;
