//! Authentication of the Admin API: `X-Shopify-Access-Token` and nothing else.

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;

use crate::answer::{errors, internal_error};
use crate::config::Distribution;
use crate::gate::Domain;
use crate::origin::{ADMIN_TOKEN, header};
use crate::shopify::Shopify;
use crate::state::{Owner, TokenKind};

const UNAUTHORIZED: &str = "[API] Invalid API key or access token (unrecognized login or wrong password)";

/// As seen at live shops: the answer to a non-expiring token of a public app.
const NON_EXPIRING: &str = "[API] Non-expiring access tokens are no longer accepted for the Admin API. Start using expiring offline tokens: https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens#expiring-vs-non-expiring-offline-tokens";

/// The app that calls, the shop it calls, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) owner: Owner,
    /// The value of its token, an admin token or a delegate.
    pub(crate) token: String,
}

impl FromRequestParts<Shopify> for Caller {
    type Rejection = Response;

    /// The same 401 for a wrong, a revoked and an expired token, and for
    /// `Authorization: Bearer`, measured at live shops; and, by switch, for one
    /// granted a moment ago.
    async fn from_request_parts(parts: &mut Parts, shopify: &Shopify) -> Result<Self, Response> {
        let Extension(Domain(shop)) =
            Extension::<Domain>::from_request_parts(parts, shopify).await.map_err(|error| internal_error(&error))?;
        let value = header(&parts.headers, ADMIN_TOKEN);
        let now = shopify.now();
        let state = shopify.state();
        let as_app = |owner: &Owner| Self { owner: owner.clone(), token: value.to_owned() };
        if let Some(delegate) = state.accepted_delegate(&shop, value, now) {
            return Ok(as_app(&delegate.owner));
        }
        let Some(token) = state.accepted_token(&shop, value, now) else {
            return Err(errors(StatusCode::UNAUTHORIZED, UNAUTHORIZED));
        };
        let is_public = state.app(&token.owner.client_id).is_ok_and(|app| app.distribution == Distribution::Public);
        if is_public && token.kind == TokenKind::Offline {
            return Err(errors(StatusCode::FORBIDDEN, NON_EXPIRING));
        }
        Ok(as_app(&token.owner))
    }
}
