//! The Customer Account API itself, as far as a probe of a session goes
//! (<https://shopify.dev/docs/api/customer>).

use std::sync::LazyLock;

use async_graphql::{EmptyMutation, EmptySubscription, ID, Object, Request, Schema, SimpleObject};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, json};

use super::caller;
use super::refused::Refused;
use crate::answer::{errors, internal_error, json_answer};
use crate::gate::Domain;
use crate::origin::header;
use crate::shopify::Shopify;

static SCHEMA: LazyLock<Schema<QueryRoot, EmptyMutation, EmptySubscription>> =
    LazyLock::new(|| Schema::new(QueryRoot, EmptyMutation, EmptySubscription));

#[derive(SimpleObject)]
struct Customer {
    id: ID,
}

struct QueryRoot;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl QueryRoot {
    async fn customer(&self) -> Customer {
        Customer { id: "gid://shopify/Customer/6780000000001".into() }
    }
}

/// `POST /customer/api/{version}/graphql`, with the token alone in
/// `Authorization`: no `Bearer`.
pub(crate) async fn answer(
    State(shopify): State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refused) = may_ask(&shopify, &shop, &headers) {
        return refused.into_response();
    }
    let Ok(request) = serde_json::from_slice::<Request>(&body) else {
        return errors(StatusCode::BAD_REQUEST, "Bad Request");
    };
    let response = SCHEMA.execute(request).await;
    let mut body = Map::new();
    if response.is_err() {
        body.insert("errors".to_owned(), json!(response.errors));
    } else {
        match response.data.into_json() {
            Ok(data) => body.insert("data".to_owned(), data),
            Err(error) => return internal_error(&error),
        };
    }
    json_answer(StatusCode::OK, &body)
}

fn may_ask(shopify: &Shopify, shop: &str, headers: &HeaderMap) -> Result<(), Refused> {
    caller::names_itself(headers)?;
    let now = shopify.now();
    let state = shopify.state();
    let session = state.customer_session(shop, header(headers, AUTHORIZATION.as_str()), now);
    let session = session.ok_or(Refused::Token)?;
    state.customer_clients.get(&session.owner).map_or(Ok(()), |client| caller::comes_from_its_origin(client, headers))
}
