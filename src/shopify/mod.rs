//! The only code that knows Shopify's wire: https in, [`Failure`](crate::core::failure::Failure)s and credentials out.

mod admin;
mod answer;
mod approval;
mod authorities;
mod connect_to;
mod customer;
mod encoding;
mod failure;
mod form;
mod graphql;
mod graphql_delegates;
mod graphql_tokens;
mod limits;
mod oauth;
mod outage;
mod place;
mod refusal;
mod resolver;
mod rest;
mod shop;
mod storefront;
mod surface;
mod token_scopes;
mod transport;
mod turns;

#[cfg(test)]
mod stub;

pub use admin::{AdminAccess, Deleted, Granted, ListedTokens};
pub use approval::{Approval, Callback, InvalidCallback};
pub use authorities::authorities;
pub use connect_to::{ConnectTo, parse_connect_to};
pub use customer::{Code, CustomerSession, Expected, IssuerKeys, OidcClient, SignIn, code_challenge, code_verifier};
pub use failure::{ApiError, unsigned};
pub use graphql_delegates::{Delegate, Destroyed};
pub use oauth::{Grant, GrantError};
pub use outage::{Admission, Outages};
pub use place::Place;
pub use shop::{InvalidShop, Shop};
pub use surface::{Heard, Surface, Word};
pub use transport::{ApiCall, Client, Observer, Options};
