//! Offline tokens: the exchange of a code, the refresh of a pair, the migration of a token that never expires
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens>).

use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde_json::{Map, Value};

use super::{OauthError, client};
use crate::answer::{internal_error, json_answer};
use crate::error::Unknown;
use crate::grant::{OFFLINE_TOKEN, Parameters};
use crate::shopify::Shopify;
use crate::state::{Owner, Pair, State};
use crate::switches::{MigrateDead, RefreshDead, RefreshReplay};

/// The exchange of an authorization code, `expiring` or not
/// (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant>).
pub(super) fn code(shopify: &Shopify, shop: &str, parameters: &Parameters) -> Result<Response, OauthError> {
    let (owner, secret) = credentials(shop, parameters);
    let now = shopify.now();
    let mut state = shopify.state();
    client::authenticate(&mut state, &owner.client_id, secret)?;
    if !state.redeem_code(&owner, parameters.get("code")) {
        let description = "The authorization code was not found or was already used";
        return Err(OauthError::bad_request("invalid_request", description));
    }
    let granted = if is_expiring(parameters) {
        state.acquire_pair(&owner, secret, now).and_then(|pair| pair_body(&mut state, &pair, now))
    } else {
        let token = state.acquire_non_expiring(&owner, secret, now);
        token.and_then(|token| client::granted(&mut state, &token, None))
    };
    Ok(answer(granted))
}

/// The refresh-token grant.
pub(super) fn refresh(shopify: &Shopify, shop: &str, parameters: &Parameters) -> Result<Response, OauthError> {
    let (owner, secret) = credentials(shop, parameters);
    let now = shopify.now();
    let mut state = shopify.state();
    client::authenticate(&mut state, &owner.client_id, secret)?;
    match state.refresh(&owner, parameters.get("refresh_token"), secret, now) {
        Ok(Some(pair)) => Ok(answer(pair_body(&mut state, &pair, now))),
        Ok(None) => Err(dead(state.switches.refresh_dead)),
        Err(error) => Ok(internal_error(&error)),
    }
}

/// The token exchange of a non-expiring token
/// (<https://shopify.dev/docs/apps/build/authentication-authorization/migrate-to-expiring-offline-access-tokens>).
pub(super) fn migrate(shopify: &Shopify, shop: &str, parameters: &Parameters) -> Result<Response, OauthError> {
    let (owner, secret) = credentials(shop, parameters);
    let now = shopify.now();
    let mut state = shopify.state();
    client::authenticate(&mut state, &owner.client_id, secret)?;
    if parameters.get("requested_token_type") != OFFLINE_TOKEN || !is_expiring(parameters) {
        return Err(OauthError::unsupported_grant());
    }
    match state.migrate(&owner, parameters.get("subject_token"), secret, now) {
        Ok(Some(pair)) => Ok(answer(pair_body(&mut state, &pair, now))),
        Ok(None) => Err(dead_subject(state.switches.migrate_dead)),
        Err(error) => Ok(internal_error(&error)),
    }
}

fn credentials<'a>(shop: &str, parameters: &'a Parameters) -> (Owner, &'a str) {
    (Owner::new(shop, parameters.get("client_id")), parameters.get("client_secret"))
}

/// `0` is the default.
fn is_expiring(parameters: &Parameters) -> bool {
    matches!(parameters.get("expiring"), "1" | "true")
}

fn pair_body(state: &mut State, pair: &Pair, now: DateTime<Utc>) -> Result<Map<String, Value>, Unknown> {
    let as_new = state.switches.refresh_replay == RefreshReplay::SameAnswer;
    let seconds = |issued_at, expires_at: DateTime<Utc>| {
        let from = if as_new { issued_at } else { now };
        (expires_at - from).num_seconds()
    };
    let (access, refresh) = (&pair.access, &pair.refresh);
    let lifetime = access.expires_at.map(|expires_at| seconds(access.issued_at, expires_at));
    let mut body = client::granted(state, access, lifetime)?;
    body.insert("refresh_token".to_owned(), Value::from(refresh.value.clone()));
    let lifetime = seconds(refresh.issued_at, refresh.expires_at);
    body.insert("refresh_token_expires_in".to_owned(), Value::from(lifetime));
    Ok(body)
}

fn answer(granted: Result<Map<String, Value>, Unknown>) -> Response {
    match granted {
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(error) => internal_error(&error),
    }
}

fn dead(switch: RefreshDead) -> OauthError {
    let description = "This request requires an active refresh_token";
    match switch {
        RefreshDead::InvalidRequest401 => OauthError::unauthorized("invalid_request", description),
        RefreshDead::InvalidGrant400 => OauthError::bad_request("invalid_grant", description),
    }
}

fn dead_subject(switch: MigrateDead) -> OauthError {
    let code = match switch {
        MigrateDead::InvalidRequest => "invalid_request",
        MigrateDead::InvalidSubjectToken => "invalid_subject_token",
    };
    OauthError::bad_request(code, "The subject token is invalid")
}
