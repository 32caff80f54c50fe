//! Stories: what a user does, told against a real API server, a simulated Shopify over real HTTPS,
//! and the operator under exactly the rights that `deploy/` gives it.

mod issue;
mod world;
