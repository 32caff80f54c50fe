//! GraphQL errors in the shape of Shopify's, which is graphql-ruby's.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{OperationType, Selection, SelectionSet};
use async_graphql::{Error, ErrorExtensionValues, ErrorExtensions, Pos, ServerError};
use serde_json::{Map, Value, json};

/// How far a query got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Validation,
    Execution,
}

/// `Access denied for {field} field.`
/// (<https://shopify.dev/docs/api/admin-graphql#status_and_error_codes>)
pub(super) fn access_denied(field: &str) -> Error {
    Error::new(format!("Access denied for {field} field.")).extend_with(|_, extensions| {
        extensions.set("code", "ACCESS_DENIED");
        extensions.set("documentation", "https://shopify.dev/api/usage/access-scopes");
    })
}

/// A gid of another type, or none at all.
pub(super) fn invalid_id() -> Error {
    Error::new("invalid id").extend_with(|_, extensions| extensions.set("code", "RESOURCE_NOT_FOUND"))
}

/// Pagination arguments that contradict each other or the limits.
pub(super) fn bad_request(message: &str) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", "BAD_REQUEST"))
}

pub(super) fn throttled() -> ServerError {
    coded("Throttled", |extensions| {
        extensions.set("code", "THROTTLED");
        extensions.set("documentation", "https://shopify.dev/api/usage/rate-limits");
    })
}

pub(super) fn max_cost_exceeded(cost: u32, maximum: u32) -> ServerError {
    let message = format!("Query cost is {cost}, which exceeds the single query max cost limit ({maximum}).");
    coded(message, |extensions| {
        extensions.set("code", "MAX_COST_EXCEEDED");
        extensions.set("cost", cost);
        extensions.set("maxCost", maximum);
    })
}

fn coded(message: impl Into<String>, set: impl FnOnce(&mut ErrorExtensionValues)) -> ServerError {
    let mut error = ServerError::new(message, None);
    set(error.extensions.get_or_insert_default());
    error
}

/// Errors as they stand in an answer.
pub(super) fn translate(query: &str, phase: Phase, errors: Vec<ServerError>) -> Vec<Value> {
    errors
        .into_iter()
        .map(|error| {
            if phase == Phase::Validation && error.extensions.is_none() { invalid(query, &error) } else { json!(error) }
        })
        .collect()
}

/// An error of validation: reworded, coded, and with a path from the operation.
fn invalid(query: &str, error: &ServerError) -> Value {
    let (message, extensions) = reworded(&error.message);
    let mut translated = Map::new();
    translated.insert("message".to_owned(), Value::from(message));
    translated.insert("locations".to_owned(), json!(error.locations));
    if let Some(path) = error.locations.first().and_then(|pos| path(query, *pos)) {
        translated.insert("path".to_owned(), json!(path));
    }
    if !extensions.is_null() {
        translated.insert("extensions".to_owned(), extensions);
    }
    Value::Object(translated)
}

/// The names stand in quotes, in a fixed order.
fn reworded(message: &str) -> (String, Value) {
    let parts: Vec<&str> = message.split('"').collect();
    match parts.as_slice() {
        ["Unknown field ", field, " on type ", type_, ..] => (
            format!("Field '{field}' doesn't exist on type '{type_}'"),
            json!({ "code": "undefinedField", "typeName": type_, "fieldName": field }),
        ),
        ["Unknown argument ", argument, " on field ", field, ..] => (
            format!("Field '{field}' doesn't accept argument '{argument}'"),
            json!({ "code": "argumentNotAccepted", "name": field, "typeName": "Field",
                    "argumentName": argument }),
        ),
        ["Field ", field, " argument ", argument, ..] => (
            format!("Field '{field}' is missing required arguments: {argument}"),
            json!({ "code": "missingRequiredArguments", "className": "Field", "name": field,
                    "arguments": argument }),
        ),
        _ => (message.to_owned(), Value::Null),
    }
}

/// `["mutation", "storefrontAccessTokenCreate", "userErrors", "code"]`.
fn path(query: &str, pos: Pos) -> Option<Vec<String>> {
    let document = parse_query(query).ok()?;
    document.operations.iter().find_map(|(name, operation)| {
        let kind = match operation.node.ty {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        };
        let root = match name {
            Some(name) => format!("{kind} {name}"),
            None => kind.to_owned(),
        };
        let mut path = vec![root];
        descend(&operation.node.selection_set.node, pos, &mut path).then_some(path)
    })
}

fn descend(set: &SelectionSet, pos: Pos, path: &mut Vec<String>) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => {
            path.push(field.node.response_key().node.to_string());
            let found = field.pos == pos || descend(&field.node.selection_set.node, pos, path);
            if !found {
                path.pop();
            }
            found
        }
        Selection::InlineFragment(fragment) => descend(&fragment.node.selection_set.node, pos, path),
        Selection::FragmentSpread(_) => false,
    })
}
