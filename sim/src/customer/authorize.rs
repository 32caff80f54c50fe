//! Where a customer signs in: a page to approve or deny, by a form or by a
//! script that posts `decision`.

use std::collections::HashMap;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode, Uri};
use url::{Url, form_urlencoded};

use crate::answer::html_page;
use crate::gate::Domain;
use crate::shopify::Shopify;
use crate::state::{CustomerCode, Owner};

type Parameters = HashMap<String, String>;

/// `GET {accounts}/oauth/authorize`.
pub(crate) async fn page(shopify: State<Shopify>, Extension(Domain(shop)): Extension<Domain>, uri: Uri) -> Response {
    let parameters = parse(uri.query().unwrap_or_default().as_bytes());
    match begun(&shopify, &shop, &parameters) {
        Err(refused) => refused.into_response(&parameters),
        // Nobody is signed in here.
        Ok(_) if get(&parameters, "prompt") == "none" => Refused::Code("login_required").into_response(&parameters),
        Ok(_) => html_page(StatusCode::OK, "Sign in", &form(&parameters)),
    }
}

/// `POST {accounts}/oauth/authorize`: the same parameters, and `decision`, which
/// is `approve` or `deny`.
pub(crate) async fn decide(
    shopify: State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    body: Bytes,
) -> Response {
    let parameters = parse(&body);
    let code = match begun(&shopify, &shop, &parameters) {
        Ok(code) if get(&parameters, "decision") == "approve" => code,
        Ok(_) => return Refused::Code("access_denied").into_response(&parameters),
        Err(refused) => return refused.into_response(&parameters),
    };
    let value = shopify.state().mint_customer_code(code);
    back(&parameters, "code", &value)
}

enum Refused {
    /// The browser isn't sent anywhere: nobody known has asked.
    Page(&'static str),
    /// It is sent back with this (RFC 6749, section 4.1.2.1).
    Code(&'static str),
}

impl Refused {
    fn into_response(self, parameters: &Parameters) -> Response {
        match self {
            Self::Page(text) => html_page(StatusCode::BAD_REQUEST, "Bad request", text),
            Self::Code(code) => back(parameters, "error", code),
        }
    }
}

/// What a code for this sign-in stands for, if it is one.
fn begun(shopify: &Shopify, shop: &str, parameters: &Parameters) -> Result<CustomerCode, Refused> {
    let made_at = shopify.now();
    let state = shopify.state();
    let owner = Owner::new(shop, get(parameters, "client_id"));
    let redirect_uri = get(parameters, "redirect_uri").to_owned();
    let client = state.customer_clients.get(&owner).ok_or(Refused::Page("There is no such client_id"))?;
    if !client.redirect_uris.contains(&redirect_uri) {
        return Err(Refused::Page("The redirect_uri isn't one of the client's"));
    }
    if get(parameters, "response_type") != "code" {
        return Err(Refused::Code("unsupported_response_type"));
    }
    let scopes: Vec<&str> = get(parameters, "scope").split(' ').collect();
    if !scopes.contains(&"openid") {
        return Err(Refused::Code("invalid_scope"));
    }
    let challenge = parameters.get("code_challenge").filter(|_| get(parameters, "code_challenge_method") == "S256");
    if challenge.is_none() && (client.is_public || parameters.contains_key("code_challenge")) {
        return Err(Refused::Code("invalid_request"));
    }
    Ok(CustomerCode {
        owner,
        redirect_uri,
        scopes: scopes.into_iter().map(str::to_owned).collect(),
        nonce: parameters.get("nonce").cloned(),
        challenge: challenge.cloned(),
        made_at,
    })
}

fn back(parameters: &Parameters, name: &str, value: &str) -> Response {
    let mut response = html_page(StatusCode::FOUND, "Signed in", "You are being redirected.");
    if let Ok(mut to) = Url::parse(get(parameters, "redirect_uri")) {
        to.query_pairs_mut().append_pair(name, value).append_pair("state", get(parameters, "state"));
        if let Ok(to) = HeaderValue::from_str(to.as_str()) {
            response.headers_mut().insert(LOCATION, to);
        }
    }
    response
}

fn form(parameters: &Parameters) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let hidden = |(name, value): (&String, &String)| {
        format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value))
    };
    let fields: String = parameters.iter().map(hidden).collect();
    let button = |decision| format!("<button name=\"decision\" value=\"{decision}\">{decision}</button>");
    format!("<form method=\"post\">{fields}{}{}</form>", button("approve"), button("deny"))
}

fn parse(text: &[u8]) -> Parameters {
    form_urlencoded::parse(text).into_owned().collect()
}

fn get<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.get(name).map_or("", String::as_str)
}
