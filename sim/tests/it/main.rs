//! The simulation over the wire, as a client sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

mod admin_graphql;
mod admin_rest;
mod authorize;
mod client;
mod clock;
mod connections;
mod control;
mod customer;
mod delegates;
mod discovery;
mod faults;
mod limits;
mod oauth;
mod odd;
mod offline;
mod propagation;
mod start;
mod storefront;
mod titles;
