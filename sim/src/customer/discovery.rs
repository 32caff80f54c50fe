//! Discovery: two documents at the shop's own domain, with the shape of real
//! ones, and each way in which they can be of no use.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode, Uri};
use serde_json::{Value, json};

use crate::answer::{answer, html_page, json_answer, store_unavailable};
use crate::gate::{Domain, Host};
use crate::shopify::Shopify;
use crate::state::Shop;
use crate::switches::CustomerDiscovery;

/// `GET /.well-known/openid-configuration`.
pub(crate) async fn openid(
    shopify: State<Shopify>,
    domain: Extension<Domain>,
    host: Extension<Host>,
    uri: Uri,
) -> Response {
    document(&shopify, &domain, &host, uri.path(), |shop, _| openid_of(shop))
}

/// `GET /.well-known/customer-account-api`.
pub(crate) async fn api(
    shopify: State<Shopify>,
    domain: Extension<Domain>,
    host: Extension<Host>,
    uri: Uri,
) -> Response {
    document(&shopify, &domain, &host, uri.path(), |shop, version| {
        let site = shop.site();
        json!({
            "graphql_api": format!("https://{site}/customer/api/{version}/graphql"),
            "mcp_api": format!("https://{site}/customer/api/mcp"),
        })
    })
}

/// `GET /password`, where a store that isn't public yet sends everybody.
pub(crate) async fn password() -> Response {
    html_page(StatusCode::OK, "Opening soon", "Enter store using password")
}

fn document(
    shopify: &Shopify,
    Domain(domain): &Domain,
    Host(host): &Host,
    path: &str,
    body: impl FnOnce(&Shop, &str) -> Value,
) -> Response {
    let state = shopify.state();
    let Ok(shop) = state.shop(domain) else {
        return store_unavailable();
    };
    let site = shop.site();
    if host != site {
        return redirect(StatusCode::MOVED_PERMANENTLY, &format!("https://{site}{path}"));
    }
    let version = state.api_versions.last().map(String::as_str).unwrap_or_default();
    let good = body(shop, version);
    match state.switches.customer_discovery {
        CustomerDiscovery::Good => json_answer(StatusCode::OK, &good),
        CustomerDiscovery::NotFound => html_page(StatusCode::NOT_FOUND, "404 Not Found", "Page not found"),
        CustomerDiscovery::Page => html_page(StatusCode::OK, "Acme", "Welcome to our store"),
        CustomerDiscovery::Password => redirect(StatusCode::FOUND, "/password"),
        CustomerDiscovery::Malformed => answer(StatusCode::OK, "application/json", good.to_string()[1..].into()),
        CustomerDiscovery::Huge => json_answer(StatusCode::OK, &padded(good)),
        CustomerDiscovery::MissingField => json_answer(StatusCode::OK, &without_endpoint(good)),
        CustomerDiscovery::HttpUrls => {
            let body = good.to_string().replace("https://", "http://");
            answer(StatusCode::OK, "application/json", body.into())
        }
        CustomerDiscovery::TwoRedirects => redirect(StatusCode::FOUND, &format!("https://{site}{path}?again")),
        CustomerDiscovery::RedirectToHttp => redirect(StatusCode::FOUND, &format!("http://{site}{path}")),
        CustomerDiscovery::RedirectToPort => redirect(StatusCode::FOUND, &format!("https://{site}:8443{path}")),
        CustomerDiscovery::RedirectToAddress => redirect(StatusCode::FOUND, &format!("https://10.0.0.1{path}")),
    }
}

/// As a real shop served it (`well-known/backbone-openid-configuration.json` of
/// <https://github.com/api-evangelist/backbone>).
fn openid_of(shop: &Shop) -> Value {
    let accounts = shop.accounts();
    json!({
        "issuer": accounts,
        "token_endpoint": format!("{accounts}/oauth/token"),
        "authorization_endpoint": format!("{accounts}/oauth/authorize"),
        "end_session_endpoint": format!("{accounts}/logout"),
        "jwks_uri": format!("{accounts}/.well-known/jwks.json"),
        "scopes_supported": ["openid", "email", "customer-account-api:full", "customer-account-mcp-api:full"],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "sid", "email", "email_verified"],
        "code_challenge_methods_supported": ["S256"],
        "grant_types_supported":
            ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "ui_locales_supported": ["de", "en", "fr"],
        "op_policy_uri": "https://www.shopify.com/legal/privacy",
        "op_tos_uri": "https://www.shopify.com/legal/terms",
    })
}

fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = html_page(status, "Moved", "You are being redirected.");
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// 10 MB.
fn padded(mut body: Value) -> Value {
    body["padding"] = Value::from(" ".repeat(10_000_000));
    body
}

/// Without the token endpoint, or the API.
fn without_endpoint(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.remove("token_endpoint");
        fields.remove("graphql_api");
    }
    body
}
