//! Whose credentials come to the token endpoint, and what it grants them.

use serde_json::{Map, Value};

use super::OauthError;
use crate::config::ExpiresIn;
use crate::error::Unknown;
use crate::state::{AccessToken, App, State, collapse};
use crate::switches::WrongSecret;

/// The app of a client id.
pub(super) fn known<'a>(state: &'a State, client_id: &str) -> Result<&'a App, OauthError> {
    state.app(client_id).map_err(|_| {
        OauthError::bad_request(
            "application_cannot_be_found",
            format!("Could not find Shopify API application with api_key {client_id}"),
        )
    })
}

/// Refuses a client secret that isn't a live one of the app, and counts that.
pub(super) fn authenticate(state: &mut State, client_id: &str, secret: &str) -> Result<(), OauthError> {
    if known(state, client_id)?.has_live_secret(secret) {
        return Ok(());
    }
    if let Ok(app) = state.app_mut(client_id) {
        app.secrets_rejected += 1;
    }
    Err(wrong_secret(state.switches.cc_wrong_secret))
}

fn wrong_secret(switch: WrongSecret) -> OauthError {
    let description = "The client secret is invalid";
    match switch {
        WrongSecret::InvalidRequest => OauthError::bad_request("invalid_request", description),
        WrongSecret::InvalidClient400 => OauthError::bad_request("invalid_client", description),
        WrongSecret::InvalidClient401 => OauthError::unauthorized("invalid_client", description),
    }
}

/// The members of an answer with a token, which is counted. `seconds` is how long it lives, if not for ever; the app's
/// configuration decides what is said of that.
pub(super) fn granted(
    state: &mut State,
    token: &AccessToken,
    seconds: Option<i64>,
) -> Result<Map<String, Value>, Unknown> {
    let app = state.app_mut(&token.owner.client_id)?;
    app.granted += 1;
    let mut body = Map::new();
    body.insert("access_token".to_owned(), Value::from(token.value.clone()));
    body.insert("scope".to_owned(), Value::from(collapse(&token.scopes)));
    let said = seconds.and_then(|seconds| match &app.expires_in {
        ExpiresIn::Lifetime => Some(Value::from(seconds)),
        ExpiresIn::Absent => None,
        ExpiresIn::Value(value) => Some(value.clone()),
    });
    if let Some(said) = said {
        body.insert("expires_in".to_owned(), said);
    }
    Ok(body)
}
