//! The Storefront API, as far as a probe of a token goes
//! (<https://shopify.dev/docs/api/storefront>).

use std::sync::LazyLock;

use async_graphql::{Context, EmptyMutation, EmptySubscription, ID, Object, Request, Result, Schema, SimpleObject};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, json};

use crate::answer::{errors, internal_error, json_answer};
use crate::gate::Domain;
use crate::origin::{PRIVATE_TOKEN, STOREFRONT_TOKEN, header};
use crate::shopify::Shopify;

static SCHEMA: LazyLock<Schema<QueryRoot, EmptyMutation, EmptySubscription>> =
    LazyLock::new(|| Schema::new(QueryRoot, EmptyMutation, EmptySubscription));

#[derive(SimpleObject)]
struct Shop {
    id: ID,
    name: String,
}

struct QueryRoot;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl QueryRoot {
    async fn shop(&self, ctx: &Context<'_>) -> Result<Shop> {
        let Domain(domain) = ctx.data::<Domain>()?;
        let state = ctx.data::<Shopify>()?.state();
        let shop = state.shop(domain)?;
        Ok(Shop { id: shop.gid().into(), name: shop.name.clone() })
    }
}

/// `POST /api/{version}/graphql.json`.
pub(crate) async fn answer(
    State(shopify): State<Shopify>,
    Extension(domain): Extension<Domain>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = shopify.now();
    let valid = {
        let state = shopify.state();
        state.is_valid_storefront(&domain.0, header(&headers, STOREFRONT_TOKEN), now)
            || state.is_valid_private(&domain.0, header(&headers, PRIVATE_TOKEN), now)
    };
    if !valid {
        let error = json!({ "message": "", "extensions": { "code": "UNAUTHORIZED" } });
        return errors(StatusCode::UNAUTHORIZED, [error]);
    }
    let Ok(request) = serde_json::from_slice::<Request>(&body) else {
        let missing = json!({ "query": "Required parameter missing or invalid" });
        return errors(StatusCode::BAD_REQUEST, missing);
    };
    let response = SCHEMA.execute(request.data(domain).data(shopify)).await;
    let mut body = Map::new();
    if response.is_err() {
        body.insert("errors".to_owned(), json!(response.errors));
    } else {
        match response.data.into_json() {
            Ok(data) => body.insert("data".to_owned(), data),
            Err(error) => return internal_error(&error),
        };
    }
    // There is no throttle status here.
    let extensions = json!({ "cost": { "requestedQueryCost": 1 } });
    body.insert("extensions".to_owned(), extensions);
    json_answer(StatusCode::OK, &body)
}
