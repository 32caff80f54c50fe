//! The Admin API: who calls, and the two ways to call.

mod app;
mod caller;
mod cost;
mod dated;
mod delegate_tokens;
mod graphql_error;
mod schema;
mod shop;
mod storefront_tokens;
mod token_list;
mod types;
mod uninstallation;

pub(crate) mod graphql;
pub(crate) mod rest;

pub(crate) use caller::Caller;
