//! How customer accounts refuse
//! (<https://shopify.dev/docs/api/customer>, "Troubleshooting").

use axum::response::{IntoResponse, Response};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::answer::{errors, html_page, json_answer};

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no `User-Agent`.
    Nameless,
    /// A public client's `Origin` is missing, or isn't one of its JavaScript origins.
    Origin,
    /// No such client, or it isn't proven.
    Client,
    /// The code or the refresh token is unknown or used, or doesn't fit.
    Grant,
    /// Another grant than a code or a refresh token.
    GrantType,
    /// No such access token.
    Token,
    /// The simulator is at fault.
    Internal,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Nameless => {
                html_page(StatusCode::FORBIDDEN, "403 Forbidden", "You do not have permission to access this website")
            }
            Self::Origin => {
                let mut response = oauth(StatusCode::UNAUTHORIZED, "invalid_token");
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            Self::Client => oauth(StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::Grant => oauth(StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::GrantType => oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::Token => errors(StatusCode::UNAUTHORIZED, "User does not have access"),
            Self::Internal => errors(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred"),
        }
    }
}

/// The descriptions aren't documented, nor is the body of the refused origin.
fn oauth(status: StatusCode, code: &str) -> Response {
    json_answer(status, &json!({ "error": code, "error_description": "Refused by the simulation" }))
}
