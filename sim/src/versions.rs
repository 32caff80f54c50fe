//! API versions, which fall forward
//! (<https://shopify.dev/docs/api/usage/versioning>).

use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;

use crate::answer::not_found;
use crate::shopify::Shopify;

/// Answers with the version asked for or, if that isn't supported, the oldest
/// that is, and says which in `X-Shopify-API-Version`.
pub(crate) async fn fall_forward(
    State(shopify): State<Shopify>,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let asked = parameters.iter().find_map(|(name, value)| (name == "version").then_some(value)).unwrap_or_default();
    let Some(served) = served(&shopify.state().api_versions, asked) else {
        return not_found();
    };
    let mut response = next.run(request).await;
    if let Ok(served) = HeaderValue::from_str(&served) {
        response.headers_mut().insert("x-shopify-api-version", served);
    }
    response
}

fn served(supported: &[String], asked: &str) -> Option<String> {
    let is_date = asked.len() == 7
        && asked.char_indices().all(|(at, char)| match at {
            4 => char == '-',
            _ => char.is_ascii_digit(),
        });
    if asked == "unstable" || supported.iter().any(|version| version == asked) {
        Some(asked.to_owned())
    } else if is_date {
        supported.first().cloned()
    } else {
        None
    }
}
