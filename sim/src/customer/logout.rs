//! Where a customer signs out.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode, Uri};
use url::form_urlencoded;

use crate::answer::html_page;
use crate::gate::Domain;
use crate::shopify::Shopify;

/// `GET {accounts}/logout`: ends the session that the ID token in
/// `id_token_hint` began.
pub(crate) async fn answer(
    State(shopify): State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    uri: Uri,
) -> Response {
    let parameters: HashMap<_, _> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
    let hint = parameters.get("id_token_hint").map(AsRef::as_ref);
    let mut state = shopify.state();
    let session = state
        .customer_sessions
        .iter()
        .position(|session| session.owner.shop == shop && hint.is_some() && session.id_token.as_deref() == hint);
    let Some(session) = session.map(|at| state.customer_sessions.remove(at)) else {
        return html_page(StatusCode::BAD_REQUEST, "Bad request", "The id_token_hint is invalid");
    };
    let to = parameters.get("post_logout_redirect_uri").map_or("", AsRef::as_ref);
    let client = state.customer_clients.get(&session.owner);
    let allowed = client.is_some_and(|client| client.logout_uris.iter().any(|uri| uri == to));
    let mut response = html_page(StatusCode::OK, "Signed out", "You are signed out.");
    if let (true, Ok(to)) = (allowed, HeaderValue::from_str(to)) {
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(LOCATION, to);
    }
    response
}
