//! Stories: what a user does, told against a real API server, a simulated Shopify over real HTTPS,
//! and the operator under exactly the rights that `deploy/` gives it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a story that goes wrong should end there")]

mod argo_rollouts;
mod bad_input;
mod bad_input_sources;
mod bad_spec;
mod browser;
mod conflict;
mod counts;
mod customer_account;
mod customer_session;
mod delegate;
mod delegate_parent;
mod events;
mod gate;
mod gitops;
mod grants;
mod grants_end;
mod install;
mod install_chromium;
mod issue;
mod looks;
mod namespace;
mod odd_shopify;
mod odd_shopify_pages;
mod odd_shopify_transport;
mod odd_shopify_versions;
mod offline;
mod offline_answers;
mod offline_change;
mod older;
mod order;
mod outage;
mod phases;
mod protection;
mod quiet;
mod refused;
mod renew;
mod repair;
mod revoke;
mod rollout;
mod rotate;
mod scale;
mod secret_rotation;
mod specs;
mod suspend;
mod uninstall;
mod verify;
mod webhook;
mod whose;
mod world;
