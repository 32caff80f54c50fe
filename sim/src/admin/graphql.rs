//! `POST /admin/api/{version}/graphql.json`.

use std::sync::Arc;

use async_graphql::Request;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Caller;
use super::cost::Meter;
use super::graphql_error::{self, Phase};
use super::schema::SCHEMA;
use crate::answer::{errors, internal_error, json_answer};
use crate::shopify::Shopify;
use crate::versions::Served;

pub(crate) async fn answer(
    State(shopify): State<Shopify>,
    Extension(served): Extension<Served>,
    caller: Caller,
    body: Bytes,
) -> Response {
    let request = match serde_json::from_slice::<Request>(&body) {
        Ok(request) if !request.query.is_empty() => request,
        _ => {
            let errors_ = json!({ "query": "Required parameter missing or invalid" });
            return errors(StatusCode::BAD_REQUEST, errors_);
        }
    };
    let query = request.query.clone();
    let meter = Arc::new(Meter::new(shopify.clone(), caller.owner.clone()));
    let request = request.data(shopify).data(served).data(caller).data(Arc::clone(&meter));
    let response = SCHEMA.execute(request).await;

    let mut body = Map::new();
    let phase = if meter.charged() { Phase::Execution } else { Phase::Validation };
    if !response.errors.is_empty() {
        let errors = graphql_error::translate(&query, phase, response.errors);
        body.insert("errors".to_owned(), Value::from(errors));
    }
    if phase == Phase::Execution {
        match response.data.into_json() {
            Ok(data) => body.insert("data".to_owned(), data),
            Err(error) => return internal_error(&error),
        };
    }
    match meter.settle() {
        Ok(cost) => body.insert("extensions".to_owned(), json!({ "cost": cost })),
        Err(error) => return internal_error(&error),
    };
    json_answer(StatusCode::OK, &body)
}
