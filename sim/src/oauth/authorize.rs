//! Where a merchant approves an app: the page that asks, and the callback that tells the app
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant>).

use std::collections::BTreeSet;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use super::{OauthError, callback};
use crate::answer::{answer, html_page, internal_error};
use crate::error::Unknown;
use crate::gate::Domain;
use crate::grant::Parameters;
use crate::shopify::Shopify;
use crate::state::{Owner, State as Platform};
use crate::switches::OauthErrorFormat;

/// `GET /admin/oauth/authorize`: the page whose forms go to the same address.
pub(crate) async fn page(
    State(shopify): State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    RawQuery(query): RawQuery,
) -> Response {
    let state = shopify.state();
    let asked = match Asked::of(&state, &shop, query.as_deref()) {
        Ok(asked) => asked,
        Err(error) => return refused(error),
    };
    let app = state.app(&asked.owner.client_id).map_or("", |app| app.title.as_str());
    let scopes: Vec<&str> = asked.scopes.iter().map(String::as_str).collect();
    let form = |decision, label| {
        format!("<form method=\"post\"><button name=\"decision\" value=\"{decision}\">{label}</button></form>")
    };
    let text = format!(
        "Install {} on {shop}, with {}?{}{}",
        escaped(app),
        escaped(&scopes.join(", ")),
        form("approve", "Install"),
        form("deny", "Cancel"),
    );
    html_page(StatusCode::OK, "Install app", &text)
}

/// `POST /admin/oauth/authorize`, the query as before, with `decision=approve` or `decision=deny` in a form.
pub(crate) async fn decision(
    State(shopify): State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = shopify.now();
    let mut state = shopify.state();
    let asked = match Asked::of(&state, &shop, query.as_deref()) {
        Ok(asked) => asked,
        Err(error) => return refused(error),
    };
    let outcome = match Parameters::of(&headers, &body).get("decision") {
        "approve" => asked.approve(&mut state).map(|code| ("code", code)),
        "deny" => Ok(("error", "access_denied".to_owned())),
        _ => return refused(OauthError::bad_request("invalid_request", "The decision is missing")),
    };
    let location = outcome.and_then(|outcome| {
        let told = callback::Told { outcome, state: asked.state.as_deref(), at: now };
        callback::address(&state, &asked.owner, asked.redirect_to.clone(), &told)
    });
    match location.map(|location| HeaderValue::from_str(location.as_str())) {
        Ok(Ok(location)) => {
            let mut response = answer(StatusCode::FOUND, "text/html; charset=utf-8", Vec::new());
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Ok(Err(error)) => internal_error(&error),
        Err(error) => internal_error(&error),
    }
}

/// What an app asks for.
struct Asked {
    owner: Owner,
    scopes: BTreeSet<String>,
    redirect_to: Url,
    state: Option<String>,
}

impl Asked {
    fn of(platform: &Platform, shop: &str, query: Option<&str>) -> Result<Self, OauthError> {
        let parameters = Parameters::of_form(query.unwrap_or_default().as_bytes());
        let app = super::client::known(platform, parameters.get("client_id"))?;
        let redirect_uri = parameters.get("redirect_uri");
        let listed = app.redirect_urls.iter().any(|url| url == redirect_uri);
        let redirect_to = Url::parse(redirect_uri)
            .ok()
            .filter(|_| listed)
            .ok_or_else(|| OauthError::bad_request("invalid_request", "The redirect_uri is not whitelisted"))?;
        // Shopify's library sends it empty for an offline token.
        if !parameters.get("grant_options[]").is_empty() {
            return Err(OauthError::bad_request("invalid_request", "Online access isn't simulated"));
        }
        let asked = parameters.get("scope").split(',').map(str::trim).filter(|scope| !scope.is_empty());
        let asked: BTreeSet<String> = asked.map(str::to_owned).collect();
        Ok(Self {
            owner: Owner::new(shop, &app.client_id),
            scopes: if asked.is_empty() { app.scopes.clone() } else { asked },
            redirect_to,
            state: Some(parameters.get("state")).filter(|state| !state.is_empty()).map(str::to_owned),
        })
    }

    /// Installs the app, or changes what is granted to it. The code for that.
    fn approve(&self, platform: &mut Platform) -> Result<String, Unknown> {
        platform.install(&self.owner.shop, &self.owner.client_id, self.scopes.clone())?;
        platform.grant_code(&self.owner)
    }
}

/// A page is for people, whatever a client accepts.
fn refused(error: OauthError) -> Response {
    error.into_response(OauthErrorFormat::Html, &HeaderMap::new())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
