//! Names for calls: which operation a request is, told from its route and body.

use async_graphql::Request;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use http::Method;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::grant::{Grant, Parameters};

/// A part of Shopify, which may be out of order for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Where tokens are granted.
    TokenEndpoint,
    /// The Admin API, GraphQL and REST.
    Admin,
    /// The Storefront API.
    Storefront,
    /// Customer accounts, discovery included.
    CustomerAccounts,
}

/// The language a call is answered in: each has its own way to say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Oauth,
    AdminGraphql,
    AdminRest,
    Storefront,
    Customer,
    Other,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) shop: String,
    pub(crate) operation: String,
    pub(crate) dialect: Dialect,
    /// The client id of the app that calls, if it is known.
    pub(crate) app: Option<String>,
}

impl Call {
    pub(crate) fn of(shop: &str, parts: &Parts, body: &[u8]) -> Self {
        let segments: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (dialect, operation) = match (&parts.method, segments.as_slice()) {
            (&Method::POST, ["admin", "oauth", "access_token"]) => {
                (Dialect::Oauth, format!("oauth.{}", Grant::of(&parts.headers, body).operation()))
            }
            (&Method::GET, ["admin", "oauth", "authorize"]) => (Dialect::Other, "oauth.authorize".to_owned()),
            (&Method::POST, ["admin", "oauth", "authorize"]) => (Dialect::Other, "oauth.consent".to_owned()),
            (_, ["admin", "oauth", "access_scopes.json"]) => (Dialect::AdminRest, "rest.accessScopes".to_owned()),
            (&Method::POST, ["admin", "api", _, "graphql.json"]) => {
                (Dialect::AdminGraphql, format!("admin.{}", graphql_operation(body)))
            }
            (&Method::DELETE, ["admin", "api_permissions", "current.json"]) => {
                (Dialect::AdminRest, "rest.uninstall".to_owned())
            }
            (
                method,
                ["admin", "api", _, "storefront_access_tokens.json"] | ["admin", "storefront_access_tokens.json"],
            ) => {
                let verb = if method == Method::POST { "create" } else { "list" };
                (Dialect::AdminRest, format!("rest.storefrontTokens.{verb}"))
            }
            (
                &Method::DELETE,
                ["admin", "api", _, "storefront_access_tokens", _] | ["admin", "storefront_access_tokens", _],
            ) => (Dialect::AdminRest, "rest.storefrontTokens.delete".to_owned()),
            (&Method::POST, ["api", _, "graphql.json"]) => (Dialect::Storefront, "storefront.probe".to_owned()),
            (_, [".well-known", "openid-configuration"]) => (Dialect::Customer, "customer.discovery".to_owned()),
            (_, [".well-known", "customer-account-api"]) => (Dialect::Customer, "customer.discoveryApi".to_owned()),
            (method, ["authentication", rest @ ..]) => match customer_operation(method, rest) {
                Some(operation) => (Dialect::Customer, operation.to_owned()),
                None if rest.ends_with(&["oauth", "token"]) => {
                    let grant = match Parameters::of(&parts.headers, body).get("grant_type") {
                        "authorization_code" => "code",
                        "refresh_token" => "refresh",
                        _ => "unknown",
                    };
                    (Dialect::Customer, format!("customer.token.{grant}"))
                }
                None => (Dialect::Other, "unknown".to_owned()),
            },
            (&Method::POST, ["customer", "api", _, "graphql"]) => (Dialect::Customer, "customer.graphql".to_owned()),
            _ => (Dialect::Other, "unknown".to_owned()),
        };
        Self { shop: shop.to_owned(), operation, dialect, app: None }
    }

    pub(crate) fn surface(&self) -> Option<Surface> {
        match self.dialect {
            Dialect::Oauth => Some(Surface::TokenEndpoint),
            Dialect::AdminGraphql | Dialect::AdminRest => Some(Surface::Admin),
            Dialect::Storefront => Some(Surface::Storefront),
            Dialect::Customer => Some(Surface::CustomerAccounts),
            Dialect::Other => None,
        }
    }

    pub(crate) fn is(&self, pattern: &str) -> bool {
        matches(pattern, &self.operation)
    }
}

/// Of the endpoints of customers' accounts, all but the token endpoint.
fn customer_operation(method: &Method, path: &[&str]) -> Option<&'static str> {
    Some(match path {
        [.., "oauth", "authorize"] if method == Method::POST => "customer.authorize.decide",
        [.., "oauth", "authorize"] => "customer.authorize.page",
        [.., ".well-known", "jwks.json"] => "customer.jwks",
        [.., "logout"] => "customer.logout",
        _ => return None,
    })
}

/// Whether a pattern (`*`, `admin.*`, or a full name) means this operation.
pub(crate) fn matches(pattern: &str, operation: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => operation.starts_with(prefix),
        None => pattern == operation,
    }
}

/// The first root field, or the list of tokens where it is asked of the shop.
fn graphql_operation(body: &[u8]) -> String {
    let operation = serde_json::from_slice::<Request>(body).ok().and_then(|request| {
        let document = parse_query(&request.query).ok()?;
        let operation = chosen(&document, request.operation_name.as_deref())?;
        let field = first_field(&document, &operation.selection_set.node)?;
        let lists_tokens = operation.ty == OperationType::Query
            && field.name.node == "shop"
            && fields(&document, &field.selection_set.node)
                .iter()
                .any(|field| field.name.node == "storefrontAccessTokens");
        Some(if lists_tokens { "storefrontAccessTokens".to_owned() } else { field.name.node.to_string() })
    });
    operation.unwrap_or_else(|| "invalid".to_owned())
}

fn chosen<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    document
        .operations
        .iter()
        .find(|(candidate, _)| name.is_none() || candidate.map(async_graphql::Name::as_str) == name)
        .map(|(_, operation)| &operation.node)
}

fn first_field<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Option<&'a Field> {
    fields(document, set).into_iter().next()
}

/// The fields of a selection, those in its fragments included.
pub(crate) fn fields<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Vec<&'a Field> {
    let mut found = Vec::new();
    collect(document, set, &mut found, 0);
    found
}

fn collect<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet, found: &mut Vec<&'a Field>, depth: u8) {
    // Fragments may name each other in a circle; validation says so later.
    if depth > 8 {
        return;
    }
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => found.push(&field.node),
            Selection::InlineFragment(fragment) => {
                collect(document, &fragment.node.selection_set.node, found, depth + 1);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    collect(document, &fragment.node.selection_set.node, found, depth + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_is_named_by_its_first_root_field() {
        let cases = [
            ("{ shop { name } }", "shop"),
            ("{ shop { name ...F } } fragment F on Shop { storefrontAccessTokens { id } }", "storefrontAccessTokens"),
            ("mutation { x: storefrontAccessTokenDelete { y } z }", "storefrontAccessTokenDelete"),
            ("query A { b } query B { c }", "c"),
            ("{ ...F } fragment F on QueryRoot { ...F }", "invalid"),
            ("{", "invalid"),
        ];
        for (query, name) in cases {
            let operation_name = query.contains("query B").then_some("B");
            let body = json!({ "query": query, "operationName": operation_name }).to_string();
            assert_eq!(graphql_operation(body.as_bytes()), name, "{query}");
        }
    }

    #[test]
    fn patterns_mean_families() {
        assert!(matches("*", "unknown"));
        assert!(matches("admin.*", "admin.shop"));
        assert!(!matches("admin.*", "oauth.clientCredentials"));
        assert!(!matches("admin.shop", "admin.shops"));
    }
}
