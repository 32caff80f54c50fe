//! API versions, which fall forward
//! (<https://shopify.dev/docs/api/usage/versioning>).

use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;

use crate::answer::not_found;
use crate::shopify::Shopify;
use crate::switches::FutureVersion;

/// The version that answers.
#[derive(Clone, Debug)]
pub(crate) struct Served(pub(crate) String);

/// Answers with the version asked for or, if that was retired or the path names
/// none, the oldest supported one, and says which in `X-Shopify-API-Version`.
/// What a version to come is answered is a switch.
pub(crate) async fn fall_forward(
    State(shopify): State<Shopify>,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = parameters.iter().find_map(|(name, value)| (name == "version").then_some(value));
    let served = {
        let state = shopify.state();
        match asked {
            Some(asked) => served(&state.api_versions, state.switches.future_version, asked),
            None => state.api_versions.first().cloned(),
        }
    };
    let Some(served) = served else {
        return not_found();
    };
    request.extensions_mut().insert(Served(served.clone()));
    let mut response = next.run(request).await;
    if let Ok(served) = HeaderValue::from_str(&served) {
        response.headers_mut().insert("x-shopify-api-version", served);
    }
    response
}

fn served(supported: &[String], future: FutureVersion, asked: &str) -> Option<String> {
    let is_date = asked.len() == 7
        && asked.char_indices().all(|(at, char)| match at {
            4 => char == '-',
            _ => char.is_ascii_digit(),
        });
    if asked == "unstable" || supported.iter().any(|version| version == asked) {
        Some(asked.to_owned())
    } else if !is_date {
        None
    } else if supported.last().is_some_and(|newest| asked > newest.as_str()) {
        match future {
            FutureVersion::NotFound => None,
            FutureVersion::Oldest => supported.first().cloned(),
        }
    } else {
        supported.first().cloned()
    }
}
