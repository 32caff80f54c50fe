//! OAuth: the page where a merchant approves an app, and the token endpoint, whose one path is told apart by grant.

mod authorize;
mod callback;
mod client;
mod client_credentials;
mod error;
mod offline;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use crate::gate::Domain;
use crate::grant::Grant;
use crate::shopify::Shopify;

pub(crate) use authorize::{decision, page};
use error::OauthError;

/// `POST /admin/oauth/access_token`.
pub(crate) async fn access_token(
    State(shopify): State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match Grant::of(&headers, &body) {
        Grant::ClientCredentials(parameters) => client_credentials::grant(&shopify, &shop, &parameters),
        Grant::Code(parameters) => offline::code(&shopify, &shop, &parameters),
        Grant::Refresh(parameters) => offline::refresh(&shopify, &shop, &parameters),
        Grant::Migrate(parameters) => offline::migrate(&shopify, &shop, &parameters),
        Grant::TokenExchange | Grant::Unknown => Err(OauthError::unsupported_grant()),
    };
    answer.unwrap_or_else(|error| {
        let format = shopify.state().switches.oauth_error_format;
        error.into_response(format, &headers)
    })
}
