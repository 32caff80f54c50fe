//! Errors of the token endpoint: an HTML page, or JSON for those who ask.

use axum::response::Response;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::answer::{html_page, json_answer};
use crate::switches::OauthErrorFormat;

/// A refused grant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OauthError {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl OauthError {
    pub(crate) fn bad_request(code: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description: description.into() }
    }

    pub(crate) fn unauthorized(code: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::bad_request(code, description) }
    }

    pub(crate) fn unsupported_grant() -> Self {
        Self::bad_request("invalid_request", "The grant type is not supported")
    }

    /// In the format that the switch or the request's `Accept` decides.
    pub(crate) fn into_response(self, format: OauthErrorFormat, headers: &HeaderMap) -> Response {
        let accepts_json = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("application/json"));
        let as_json = match format {
            OauthErrorFormat::ByAccept => accepts_json,
            OauthErrorFormat::Json => true,
            OauthErrorFormat::Html => false,
        };
        let Self { status, code, description } = self;
        if as_json {
            let body = json!({ "error": code, "error_description": description });
            return json_answer(status, &body);
        }
        let reason = match status {
            StatusCode::UNAUTHORIZED => "unauthorized".to_owned(),
            status => status.as_str().to_owned(),
        };
        html_page(status, &format!("{reason} - Oauth error {code}"), &format!("Oauth error {code}: {description}"))
    }
}
