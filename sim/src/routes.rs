//! Which path is answered by what, and what a shop's state stops beforehand.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use http::StatusCode;

use crate::answer::{errors, not_found, store_unavailable};
use crate::gate::Domain;
use crate::shopify::Shopify;
use crate::state::ShopState;
use crate::{admin, customer, oauth, storefront, versions};

pub(crate) fn shops(shopify: Shopify) -> Router {
    let versioned = Router::new()
        // Without a version they are those of the oldest one.
        .route("/admin/storefront_access_tokens.json", get(admin::rest::list).post(admin::rest::create))
        .route("/admin/storefront_access_tokens/{file}", delete(admin::rest::remove))
        .route("/admin/api/{version}/graphql.json", post(admin::graphql::answer))
        .route("/admin/api/{version}/storefront_access_tokens.json", get(admin::rest::list).post(admin::rest::create))
        .route("/admin/api/{version}/storefront_access_tokens/{file}", delete(admin::rest::remove))
        .route("/api/{version}/graphql.json", post(storefront::answer))
        .route("/customer/api/{version}/graphql", post(customer::graphql::answer))
        .route_layer(from_fn_with_state(shopify.clone(), versions::fall_forward));
    let accounts = Router::new()
        .route("/oauth/authorize", get(customer::authorize::page).post(customer::authorize::decide))
        .route("/oauth/token", post(customer::token::grant))
        .route("/.well-known/jwks.json", get(customer::keys::jwks))
        .route("/logout", get(customer::logout::answer));
    Router::new()
        .merge(versioned)
        .route("/admin/oauth/authorize", get(oauth::page).post(oauth::decision))
        .nest("/authentication", accounts.clone())
        .nest("/authentication/{shop}", accounts)
        .route("/admin/oauth/access_token", post(oauth::access_token))
        .route("/admin/oauth/access_scopes.json", get(admin::rest::access_scopes))
        .route("/admin/api_permissions/current.json", delete(admin::rest::uninstall))
        .route("/.well-known/openid-configuration", get(customer::discovery::openid))
        .route("/.well-known/customer-account-api", get(customer::discovery::api))
        .route("/password", get(customer::discovery::password))
        .fallback(async || not_found())
        .layer(from_fn_with_state(shopify.clone(), in_business))
        .with_state(shopify)
}

/// Shops that don't answer do so before anything else
/// (<https://shopify.dev/docs/api/usage/response-codes>).
async fn in_business(
    State(shopify): State<Shopify>,
    Extension(Domain(domain)): Extension<Domain>,
    request: Request,
    next: Next,
) -> Response {
    let state = shopify.state().shop(&domain).map_or(ShopState::Closed, |shop| shop.state);
    let is_storefront = request.uri().path().starts_with("/api/");
    match state {
        ShopState::Open => next.run(request).await,
        ShopState::Closed => store_unavailable(),
        ShopState::Locked => errors(StatusCode::LOCKED, "This shop is unavailable"),
        ShopState::Frozen if is_storefront => errors(StatusCode::PAYMENT_REQUIRED, "Unavailable Shop"),
        ShopState::Frozen => {
            errors(StatusCode::PAYMENT_REQUIRED, "This shop's plan does not have access to this feature")
        }
        ShopState::Fraud if is_storefront => errors(StatusCode::FORBIDDEN, "Unavailable Shop"),
        ShopState::Fraud => errors(StatusCode::FORBIDDEN, "User does not have access"),
    }
    .into_response()
}
