//! The client-credentials grant
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant>).

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value};

use super::OauthError;
use crate::answer::{internal_error, json_answer};
use crate::config::ExpiresIn;
use crate::grant::Parameters;
use crate::shopify::Shopify;
use crate::state::{App, Owner, collapse};
use crate::switches::{NotInstalled, WrongSecret};

pub(super) fn grant(shopify: &Shopify, shop: &str, parameters: &Parameters) -> Result<Response, OauthError> {
    let client_id = parameters.get("client_id");
    let secret = parameters.get("client_secret");
    let owner = Owner::new(shop, client_id);
    let now = shopify.now();
    let mut state = shopify.state();

    let Ok(app) = state.app(client_id) else {
        return Err(OauthError::bad_request(
            "application_cannot_be_found",
            format!("Could not find Shopify API application with api_key {client_id}"),
        ));
    };
    let in_organization = state.shop(shop).is_ok_and(|shop| shop.organization == app.organization);
    if !in_organization {
        return Err(OauthError::bad_request(
            "shop_not_permitted",
            "Client credentials cannot be performed on this shop.",
        ));
    }
    // Measured: refused before the secret is even checked.
    if !state.installations.contains_key(&owner) {
        return Err(not_installed(state.switches.cc_not_installed));
    }
    if !app.has_live_secret(secret) {
        if let Ok(app) = state.app_mut(client_id) {
            app.secrets_rejected += 1;
        }
        return Err(wrong_secret(state.switches.cc_wrong_secret));
    }
    let expires_in = expires_in(app);

    let token = match state.mint_client_credentials(&owner, secret, now) {
        Ok(token) => token,
        Err(error) => return Ok(internal_error(&error)),
    };
    let mut body = Map::new();
    body.insert("access_token".to_owned(), Value::from(token.value));
    body.insert("scope".to_owned(), Value::from(collapse(&token.scopes)));
    if let Some(expires_in) = expires_in {
        body.insert("expires_in".to_owned(), expires_in);
    }
    Ok(json_answer(StatusCode::OK, &body))
}

fn expires_in(app: &App) -> Option<Value> {
    match &app.expires_in {
        ExpiresIn::Lifetime => Some(Value::from(app.token_lifetime.as_secs())),
        ExpiresIn::Absent => None,
        ExpiresIn::Value(value) => Some(value.clone()),
    }
}

fn not_installed(switch: NotInstalled) -> OauthError {
    let code = match switch {
        NotInstalled::AppNotInstalled => "app_not_installed",
        NotInstalled::InvalidRequest => "invalid_request",
    };
    OauthError::bad_request(code, "The app is not installed on this shop")
}

fn wrong_secret(switch: WrongSecret) -> OauthError {
    let description = "The client secret is invalid";
    match switch {
        WrongSecret::InvalidRequest => OauthError::bad_request("invalid_request", description),
        WrongSecret::InvalidClient400 => OauthError::bad_request("invalid_client", description),
        WrongSecret::InvalidClient401 => OauthError::unauthorized("invalid_client", description),
    }
}
