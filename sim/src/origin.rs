//! Which app a call comes from, told from its credentials.

use http::HeaderMap;

use crate::grant::Parameters;
use crate::operation::{Call, Dialect};
use crate::state::{Owner, State};

/// The header of the Admin API's token.
pub(crate) const ADMIN_TOKEN: &str = "x-shopify-access-token";

/// The header of the Storefront API's public token.
pub(crate) const STOREFRONT_TOKEN: &str = "x-shopify-storefront-access-token";

/// The header of the Storefront API's private token.
pub(crate) const PRIVATE_TOKEN: &str = "shopify-storefront-private-token";

/// The value of a header; empty if absent or no text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The client id of the app, if there is such an app. A dead token tells as well.
pub(crate) fn app(state: &State, call: &Call, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let of_shop = |owner: Option<&Owner>| Some(owner.filter(|owner| owner.shop == call.shop)?.client_id.clone());
    match call.dialect {
        Dialect::Oauth => {
            let parameters = Parameters::of(headers, body);
            state.app(parameters.get("client_id")).ok().map(|app| app.client_id.clone())
        }
        Dialect::AdminGraphql | Dialect::AdminRest => {
            let value = header(headers, ADMIN_TOKEN);
            let admin = state.access_tokens.get(value).map(|token| &token.owner);
            of_shop(admin.or_else(|| delegate(state, value)))
        }
        Dialect::Storefront => {
            let public = state.storefront_owner(&call.shop, header(headers, STOREFRONT_TOKEN));
            of_shop(public.or_else(|| delegate(state, header(headers, PRIVATE_TOKEN))))
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

fn delegate<'a>(state: &'a State, value: &str) -> Option<&'a Owner> {
    state.delegates.get(value).map(|token| &token.owner)
}
