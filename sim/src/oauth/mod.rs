//! The OAuth token endpoint: one path, told apart by grant.

mod client_credentials;
mod error;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use crate::gate::Domain;
use crate::grant::Grant;
use crate::shopify::Shopify;

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
        Grant::RefreshToken | Grant::TokenExchange | Grant::AuthorizationCode | Grant::Unknown => {
            Err(OauthError::unsupported_grant())
        }
    };
    answer.unwrap_or_else(|error| {
        let format = shopify.state().switches.oauth_error_format;
        error.into_response(format, &headers)
    })
}
