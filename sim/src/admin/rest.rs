//! The REST Admin API: storefront tokens and access scopes
//! (<https://shopify.dev/docs/api/admin-rest/latest/resources/storefrontaccesstoken>).

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{FixedOffset, SecondsFormat};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Caller;
use crate::answer::{errors, internal_error, json_answer, not_found, too_many_requests};
use crate::error::Unknown;
use crate::shopify::Shopify;
use crate::state::{Api, CreateRefused, STOREFRONT_TOKEN_LIMIT, State as Shops, StorefrontToken, TITLE_LIMIT};

/// Shops tell the time of their zone; this one is in New York's winter.
const UTC_OFFSET_SECONDS: i32 = -5 * 3600;

#[derive(Deserialize)]
struct Create {
    storefront_access_token: CreateTitle,
}

#[derive(Deserialize)]
struct CreateTitle {
    #[serde(default)]
    title: String,
}

/// `{id}.json` at the end of a path, whether that names a version or not.
#[derive(Deserialize)]
pub(crate) struct File {
    file: String,
}

/// `POST /admin/api/{version}/storefront_access_tokens.json`.
pub(crate) async fn create(State(shopify): State<Shopify>, caller: Caller, body: Bytes) -> Response {
    limited(&shopify, &caller, |state| {
        let Ok(body) = serde_json::from_slice::<Create>(&body) else {
            let missing = json!({
                "storefront_access_token": "Required parameter missing or invalid",
            });
            return Ok(errors(StatusCode::BAD_REQUEST, missing));
        };
        let title = body.storefront_access_token.title;
        let created = state.create_storefront_token(&caller.owner, &caller.token, &title, shopify.now())?;
        let scopes = state.installation(&caller.owner)?.unauthenticated_scopes();
        Ok(match created {
            Ok(token) => {
                let token = json!({ "storefront_access_token": resource(&token, &scopes) });
                json_answer(StatusCode::OK, &token)
            }
            Err(CreateRefused::NoUnauthenticatedScope) => {
                errors(StatusCode::FORBIDDEN, "Token must be eligible to manage storefront tokens.")
            }
            Err(CreateRefused::BlankTitle) => {
                errors(StatusCode::UNPROCESSABLE_ENTITY, json!({ "title": ["can't be blank"] }))
            }
            Err(CreateRefused::LongTitle) => {
                let message = format!("is too long (maximum is {TITLE_LIMIT} characters)");
                errors(StatusCode::UNPROCESSABLE_ENTITY, json!({ "title": [message] }))
            }
            Err(CreateRefused::LimitReached) => errors(
                StatusCode::BAD_REQUEST,
                [format!("Api permission exceeds public access token limit of: {STOREFRONT_TOKEN_LIMIT}")],
            ),
        })
    })
}

/// `GET /admin/api/{version}/storefront_access_tokens.json`.
pub(crate) async fn list(State(shopify): State<Shopify>, caller: Caller) -> Response {
    limited(&shopify, &caller, |state| {
        let scopes = state.installation(&caller.owner)?.unauthenticated_scopes();
        let tokens: Vec<Value> = state
            .listed_storefront_tokens(&caller.owner, shopify.now())
            .map(|token| resource(token, &scopes))
            .collect();
        let body = json!({ "storefront_access_tokens": tokens });
        Ok(json_answer(StatusCode::OK, &body))
    })
}

/// `DELETE /admin/api/{version}/storefront_access_tokens/{id}.json`.
pub(crate) async fn remove(
    State(shopify): State<Shopify>,
    caller: Caller,
    Path(File { file }): Path<File>,
) -> Response {
    limited(&shopify, &caller, |state| {
        let id = file.strip_suffix(".json").and_then(|id| id.parse().ok());
        let deleted = id.is_some_and(|id| state.delete_own_storefront_token(&caller.owner, id, shopify.now()));
        Ok(if deleted { json_answer(StatusCode::OK, &json!({})) } else { not_found() })
    })
}

/// `GET /admin/oauth/access_scopes.json`: those of the token that asks.
pub(crate) async fn access_scopes(State(shopify): State<Shopify>, caller: Caller) -> Response {
    limited(&shopify, &caller, |state| {
        let scopes = state.scopes_of_caller(&caller.owner, &caller.token)?;
        let scopes: Vec<Value> = scopes.iter().map(|handle| json!({ "handle": handle })).collect();
        let body = json!({ "access_scopes": scopes });
        Ok(json_answer(StatusCode::OK, &body))
    })
}

/// `DELETE /admin/api_permissions/current.json`: the calling app is uninstalled. The body is a guess.
pub(crate) async fn uninstall(State(shopify): State<Shopify>, caller: Caller) -> Response {
    limited(&shopify, &caller, |state| {
        state.uninstall(&caller.owner)?;
        Ok(json_answer(StatusCode::OK, &json!({})))
    })
}

/// Counts the call, says so in `X-Shopify-Shop-Api-Call-Limit`, and refuses
/// it over the limit (<https://shopify.dev/docs/api/admin-rest/usage/rate-limits>).
fn limited(shopify: &Shopify, caller: &Caller, call: impl FnOnce(&mut Shops) -> Result<Response, Unknown>) -> Response {
    let now = shopify.now();
    let mut state = shopify.state();
    let answered = state.charge(&caller.owner, Api::Rest, 1, now).and_then(|charged| match charged {
        Ok(status) => Ok((call(&mut state)?, status)),
        Err(status) => {
            let rate = state.shop(&caller.owner.shop)?.plan.calls_per_second();
            Ok((too_many_requests(rate), status))
        }
    });
    let (mut response, status) = match answered {
        Ok(answered) => answered,
        Err(error) => return internal_error(&error),
    };
    let maximum = status.maximum_available;
    let used = maximum - f64::from(status.currently_available);
    if let Ok(limit) = HeaderValue::from_str(&format!("{used}/{maximum}")) {
        response.headers_mut().insert("x-shopify-shop-api-call-limit", limit);
    }
    response
}

fn resource(token: &StorefrontToken, scopes: &[String]) -> Value {
    let created_at = match FixedOffset::east_opt(UTC_OFFSET_SECONDS) {
        Some(zone) => token.created_at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true),
        None => token.created_at.to_rfc3339(),
    };
    json!({
        "access_token": token.value,
        "access_scope": scopes.join(","),
        "created_at": created_at,
        "id": token.id,
        "admin_graphql_api_id": token.gid(),
        "title": token.title,
    })
}
