//! Stories: what a user does, told against a real API server, a simulated Shopify over real HTTPS,
//! and the operator under exactly the rights that `deploy/` gives it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a story that goes wrong should end there")]

mod bad_input;
mod bad_spec;
mod issue;
mod renew;
mod specs;
mod world;
