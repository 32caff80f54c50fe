//! Bodies of answers that several APIs share.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::fault::StatusFault;
use crate::operation::Dialect;
use crate::state::ThrottleStatus;

/// A JSON answer.
pub(crate) fn json_answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => answer(status, "application/json; charset=utf-8", body),
        Err(error) => {
            tracing::error!(%error, "can't serialize an answer");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Vec::new())
        }
    }
}

/// `{"errors": …}`.
pub(crate) fn errors(status: StatusCode, errors: impl Serialize) -> Response {
    json_answer(status, &json!({ "errors": errors }))
}

/// An HTML page, of which clients can use the title at most.
pub(crate) fn html_page(status: StatusCode, title: &str, text: &str) -> Response {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>{title}</title></head>\n\
         <body><h1>{title}</h1><p>{text}</p></body>\n</html>\n"
    );
    answer(status, "text/html; charset=utf-8", page.into_bytes())
}

/// A shop that was closed or never there.
pub(crate) fn store_unavailable() -> Response {
    html_page(StatusCode::NOT_FOUND, "Store unavailable", "This store is unavailable")
}

/// <https://shopify.dev/docs/api/usage/response-codes>.
pub(crate) fn not_found() -> Response {
    errors(StatusCode::NOT_FOUND, "Not Found")
}

/// The simulator is at fault, as Shopify words it
/// (<https://shopify.dev/docs/api/usage/response-codes>).
pub(crate) fn internal_error(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "a call failed inside the simulator");
    errors(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
}

/// 429 with `Retry-After`.
pub(crate) fn too_many_requests(calls_per_second: u32) -> Response {
    let mut response = errors(
        StatusCode::TOO_MANY_REQUESTS,
        format!(
            "Exceeded {calls_per_second} calls per second for api client. \
             Reduce request rates to resume uninterrupted service."
        ),
    );
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2.0"));
    response
}

/// What a throttled call is answered: GraphQL says so in a 200.
pub(crate) fn throttled(dialect: Dialect) -> Response {
    match dialect {
        Dialect::AdminGraphql => {
            let status = ThrottleStatus { maximum_available: 2000.0, currently_available: 0, restore_rate: 100.0 };
            let cost = json!({
                "requestedQueryCost": 10, "actualQueryCost": null, "throttleStatus": status,
            });
            let body = json!({ "errors": [throttled_error()], "extensions": { "cost": cost } });
            json_answer(StatusCode::OK, &body)
        }
        Dialect::Storefront => json_answer(StatusCode::OK, &json!({ "errors": [throttled_error()] })),
        Dialect::Oauth | Dialect::AdminRest | Dialect::Customer | Dialect::Other => too_many_requests(2),
    }
}

fn throttled_error() -> serde_json::Value {
    json!({ "message": "Throttled", "extensions": {
        "code": "THROTTLED", "documentation": "https://shopify.dev/api/usage/rate-limits",
    }})
}

/// The answer of a [`StatusFault`].
pub(crate) fn status_fault(fault: &StatusFault) -> Response {
    let status = StatusCode::from_u16(fault.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match &fault.body {
        Some(body) => answer(status, content_type(body), body.clone().into_bytes()),
        None => errors(status, "An unexpected error occurred"),
    };
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a body given in a fault looks like.
fn content_type(body: &str) -> &'static str {
    match body.as_bytes().first() {
        Some(b'{' | b'[') => "application/json; charset=utf-8",
        Some(b'<') => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
