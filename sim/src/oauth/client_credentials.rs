//! The client-credentials grant
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant>).

use axum::response::Response;
use http::StatusCode;

use super::{OauthError, client};
use crate::answer::{internal_error, json_answer};
use crate::grant::Parameters;
use crate::shopify::Shopify;
use crate::state::Owner;
use crate::switches::NotInstalled;

pub(super) fn grant(shopify: &Shopify, shop: &str, parameters: &Parameters) -> Result<Response, OauthError> {
    let client_id = parameters.get("client_id");
    let secret = parameters.get("client_secret");
    let owner = Owner::new(shop, client_id);
    let now = shopify.now();
    let mut state = shopify.state();

    let app = client::known(&state, client_id)?;
    let lifetime = i64::try_from(app.token_lifetime.as_secs()).unwrap_or(i64::MAX);
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
    client::authenticate(&mut state, client_id, secret)?;
    let granted = state
        .mint_client_credentials(&owner, secret, now)
        .and_then(|token| client::granted(&mut state, &token, Some(lifetime)));
    Ok(match granted {
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(error) => internal_error(&error),
    })
}

fn not_installed(switch: NotInstalled) -> OauthError {
    let code = match switch {
        NotInstalled::AppNotInstalled => "app_not_installed",
        NotInstalled::InvalidRequest => "invalid_request",
    };
    OauthError::bad_request(code, "The app is not installed on this shop")
}
