//! Which app a call comes from, told from its credentials.

use http::HeaderMap;

use crate::grant::Parameters;
use crate::operation::{Call, Dialect};
use crate::state::{Owner, State};

/// The header of the Admin API's token.
pub(crate) const ADMIN_TOKEN: &str = "x-shopify-access-token";

/// The header of the Storefront API's public token.
pub(crate) const STOREFRONT_TOKEN: &str = "x-shopify-storefront-access-token";

/// The value of a header; empty if absent or no text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The client id of the app, if there is such an app. A dead token tells as well.
pub(crate) fn app(state: &State, call: &Call, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    match call.dialect {
        Dialect::Oauth => {
            let parameters = Parameters::of(headers, body);
            state.app(parameters.get("client_id")).ok().map(|app| app.client_id.clone())
        }
        Dialect::AdminGraphql | Dialect::AdminRest => {
            let token = state.access_tokens.get(header(headers, ADMIN_TOKEN))?;
            (token.owner.shop == call.shop).then(|| token.owner.client_id.clone())
        }
        Dialect::Storefront => {
            let owner = state.storefront_owner(&call.shop, header(headers, STOREFRONT_TOKEN))?;
            Some(owner.client_id.clone())
        }
        Dialect::Customer => {
            let owner = Owner::new(&call.shop, Parameters::of(headers, body).get("client_id"));
            let by_token = || {
                state.customer_sessions.iter().find(|session| session.access_token == header(headers, "authorization"))
            };
            let owner = if state.customer_clients.contains_key(&owner) { owner } else { by_token()?.owner.clone() };
            Some(owner.client_id)
        }
        Dialect::Other => None,
    }
}
