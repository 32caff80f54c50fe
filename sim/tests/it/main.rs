//! The simulation over the wire, as a client sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

mod admin_graphql;
mod admin_rest;
mod client;
mod clock;
mod connections;
mod control;
mod customer;
mod discovery;
mod faults;
mod limits;
mod oauth;
mod odd;
mod propagation;
mod start;
mod storefront;
mod titles;
