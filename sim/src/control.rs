//! `https://localhost/_sim/…`: inspection and steering over the wire, as JSON.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::{errors, json_answer, not_found};
use crate::config::{AppConfig, CustomerClientConfig, Distribution, ExpiresIn, ShopConfig};
use crate::error::Unknown;
use crate::fault::{CutMode, Fault};
use crate::faults::FaultId;
use crate::shopify::Shopify;
use crate::state::ShopState;
use crate::switches::Switches;

pub(crate) fn routes(shopify: Shopify) -> Router {
    let routes = Router::new()
        .route("/calls", get(calls))
        .route("/clock", get(clock).put(set_clock))
        .route("/clock/advance", post(advance))
        .route("/switches", get(switches).put(set_switches))
        .route("/api-versions", put(set_api_versions))
        .route("/faults", get(faults).post(inject).delete(clear_faults))
        .route("/faults/{id}", delete(clear_fault))
        .route("/cut", put(cut))
        .route("/shops", post(add_shop))
        .route("/shops/{shop}/state", put(set_shop_state))
        .route("/shops/{shop}/access-tokens", get(access_tokens).delete(revoke_access_token))
        .route("/shops/{shop}/apps/{app}", put(install).delete(uninstall))
        .route("/shops/{shop}/apps/{app}/access-tokens", post(create_access_token))
        .route("/shops/{shop}/apps/{app}/delegates", get(delegates))
        .route("/shops/{shop}/delegates", delete(destroy_delegate))
        .route("/shops/{shop}/apps/{app}/storefront-tokens", get(storefront_tokens).post(create_storefront_token))
        .route("/shops/{shop}/apps/{app}/authorization-codes", post(create_authorization_code))
        .route("/shops/{shop}/apps/{app}/offline-tokens", post(create_offline_token))
        .route("/shops/{shop}/apps/{app}/offline-counts", get(offline_counts))
        .route("/shops/{shop}/refresh-tokens", get(refresh_tokens).delete(retire_refresh_token))
        .route("/shops/{shop}/storefront-tokens", delete(delete_storefront_token))
        .route("/shops/{shop}/customer-clients", post(add_customer_client))
        .route("/shops/{shop}/customer-clients/{client}", delete(remove_customer_client))
        .route(
            "/shops/{shop}/customer-clients/{client}/secrets",
            post(add_customer_secret).delete(revoke_customer_secret),
        )
        .route("/shops/{shop}/customer-sessions", get(customer_sessions).delete(end_customer_sessions))
        .route("/apps", post(add_app))
        .route("/apps/{app}/grants", get(grants))
        .route("/apps/{app}/secrets", post(add_secret).delete(revoke_secret))
        .route("/apps/{app}/distribution", put(set_distribution))
        .route("/apps/{app}/expires-in", put(set_expires_in));
    Router::new().nest("/_sim", routes).fallback(async || not_found()).with_state(shopify)
}

/// What a body couldn't be read as, or what isn't known.
fn refused(error: &dyn std::error::Error) -> Response {
    errors(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
}

/// Reads a body, does something with it, and answers with what came of it.
fn with<B: DeserializeOwned, T: Serialize>(body: &Bytes, act: impl FnOnce(B) -> Result<T, Unknown>) -> Response {
    match serde_json::from_slice(body) {
        Ok(body) => done(act(body)),
        Err(error) => refused(&error),
    }
}

fn done(result: Result<impl Serialize, Unknown>) -> Response {
    match result {
        Ok(result) => json_answer(StatusCode::OK, &result),
        Err(error) => refused(&error),
    }
}

fn shown(value: &impl Serialize) -> Response {
    json_answer(StatusCode::OK, value)
}

type OnApp = Path<(String, String)>;

async fn calls(State(shopify): State<Shopify>) -> Response {
    shown(&shopify.call_log())
}

async fn clock(State(shopify): State<Shopify>) -> Response {
    let offset = shopify.clock().offset().num_seconds();
    shown(&json!({ "now": shopify.now(), "offset_seconds": offset }))
}

#[derive(Deserialize)]
struct SetClock {
    now: DateTime<Utc>,
}

async fn set_clock(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |SetClock { now }| {
        let clock = shopify.clock();
        clock.set_offset(clock.offset() + (now - clock.now()));
        Ok(clock.now())
    })
}

#[derive(Deserialize)]
struct Advance {
    #[serde(with = "crate::duration")]
    by: std::time::Duration,
}

async fn advance(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |Advance { by }| {
        shopify.clock().advance(by);
        Ok(shopify.now())
    })
}

async fn switches(State(shopify): State<Shopify>) -> Response {
    shown(&shopify.switches())
}

async fn set_switches(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |switches: Switches| {
        shopify.set_switches(switches);
        Ok(())
    })
}

async fn set_api_versions(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |versions: Vec<String>| {
        shopify.set_api_versions(versions);
        Ok(())
    })
}

async fn faults(State(shopify): State<Shopify>) -> Response {
    shown(&shopify.armed_faults())
}

async fn inject(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |fault: Fault| Ok(shopify.inject(fault)))
}

async fn clear_faults(State(shopify): State<Shopify>) -> Response {
    shopify.clear_faults();
    shown(&())
}

async fn clear_fault(State(shopify): State<Shopify>, Path(id): Path<FaultId>) -> Response {
    shopify.clear_fault(id);
    shown(&())
}

#[derive(Deserialize)]
struct Cut {
    nth: u64,
    mode: CutMode,
}

async fn cut(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |Cut { nth, mode }| {
        shopify.cut_nth(nth, mode);
        Ok(())
    })
}

async fn add_shop(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |shop: ShopConfig| {
        shopify.add_shop(shop);
        Ok(())
    })
}

async fn set_shop_state(State(shopify): State<Shopify>, Path(shop): Path<String>, body: Bytes) -> Response {
    with(&body, |state: ShopState| shopify.set_shop_state(&shop, state))
}

async fn access_tokens(State(shopify): State<Shopify>, Path(shop): Path<String>) -> Response {
    shown(&shopify.live_access_tokens(&shop))
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

/// Values are in bodies, for paths end up in logs.
async fn revoke_access_token(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.revoke_admin_token(&value))
}

#[derive(Deserialize)]
struct Scopes {
    scopes: BTreeSet<String>,
}

async fn install(State(shopify): State<Shopify>, Path((shop, app)): OnApp, body: Bytes) -> Response {
    with(&body, |Scopes { scopes }| shopify.install(&shop, &app, scopes))
}

async fn uninstall(State(shopify): State<Shopify>, Path((shop, app)): OnApp) -> Response {
    done(shopify.uninstall(&shop, &app))
}

async fn create_access_token(State(shopify): State<Shopify>, Path((shop, app)): OnApp) -> Response {
    let created = shopify.create_admin_token(&shop, &app);
    done(created.map(|value| json!({ "value": value })))
}

async fn delegates(State(shopify): State<Shopify>, Path((shop, app)): OnApp) -> Response {
    shown(&shopify.live_delegates(&shop, &app))
}

async fn destroy_delegate(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.destroy_delegate(&value))
}

async fn create_authorization_code(State(shopify): State<Shopify>, Path((shop, app)): OnApp) -> Response {
    let created = shopify.create_authorization_code(&shop, &app);
    done(created.map(|code| json!({ "code": code })))
}

#[derive(Deserialize)]
struct Expiring {
    expiring: bool,
}

async fn create_offline_token(State(shopify): State<Shopify>, Path((shop, app)): OnApp, body: Bytes) -> Response {
    with(&body, |Expiring { expiring }| {
        Ok(if expiring {
            json!(shopify.create_offline_pair(&shop, &app)?)
        } else {
            json!({ "access_token": shopify.create_offline_token(&shop, &app)? })
        })
    })
}

async fn offline_counts(State(shopify): State<Shopify>, Path((shop, app)): OnApp) -> Response {
    shown(&shopify.offline_counts(&shop, &app))
}

async fn refresh_tokens(State(shopify): State<Shopify>, Path(shop): Path<String>) -> Response {
    shown(&shopify.live_refresh_tokens(&shop))
}

async fn retire_refresh_token(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.retire_refresh_token(&value))
}

async fn storefront_tokens(State(shopify): State<Shopify>, Path((shop, app)): OnApp) -> Response {
    shown(&shopify.live_storefront_tokens(&shop, &app))
}

#[derive(Deserialize)]
struct Title {
    title: String,
}

async fn create_storefront_token(State(shopify): State<Shopify>, Path((shop, app)): OnApp, body: Bytes) -> Response {
    with(&body, |Title { title }| shopify.create_storefront_token(&shop, &app, &title))
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

async fn delete_storefront_token(State(shopify): State<Shopify>, Path(shop): Path<String>, body: Bytes) -> Response {
    with(&body, |Id { id }| shopify.delete_storefront_token(&shop, &id))
}

async fn add_customer_client(State(shopify): State<Shopify>, Path(shop): Path<String>, body: Bytes) -> Response {
    with(&body, |client: CustomerClientConfig| shopify.add_customer_client(&shop, client))
}

async fn remove_customer_client(State(shopify): State<Shopify>, Path((shop, client)): OnApp) -> Response {
    done(shopify.remove_customer_client(&shop, &client))
}

async fn add_customer_secret(State(shopify): State<Shopify>, Path((shop, client)): OnApp, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.add_customer_secret(&shop, &client, value))
}

async fn revoke_customer_secret(State(shopify): State<Shopify>, Path((shop, client)): OnApp, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.revoke_customer_secret(&shop, &client, &value))
}

async fn customer_sessions(State(shopify): State<Shopify>, Path(shop): Path<String>) -> Response {
    shown(&shopify.live_customer_sessions(&shop))
}

async fn end_customer_sessions(State(shopify): State<Shopify>, Path(shop): Path<String>) -> Response {
    shopify.end_customer_sessions(&shop);
    shown(&())
}

async fn add_app(State(shopify): State<Shopify>, body: Bytes) -> Response {
    with(&body, |app: AppConfig| shopify.add_app(app))
}

async fn grants(State(shopify): State<Shopify>, Path(app): Path<String>) -> Response {
    done(shopify.grant_counts(&app))
}

async fn add_secret(State(shopify): State<Shopify>, Path(app): Path<String>, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.add_secret(&app, value))
}

async fn revoke_secret(State(shopify): State<Shopify>, Path(app): Path<String>, body: Bytes) -> Response {
    with(&body, |Value { value }| shopify.revoke_secret(&app, &value))
}

async fn set_distribution(State(shopify): State<Shopify>, Path(app): Path<String>, body: Bytes) -> Response {
    with(&body, |distribution: Distribution| shopify.set_distribution(&app, distribution))
}

async fn set_expires_in(State(shopify): State<Shopify>, Path(app): Path<String>, body: Bytes) -> Response {
    with(&body, |expires_in: ExpiresIn| shopify.set_expires_in(&app, expires_in))
}
