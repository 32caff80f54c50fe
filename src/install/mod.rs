//! Install pages: where a merchant's browser begins an approval, comes back with it, and sees what became of it.
//!
//! Every replica serves them. They keep nothing in memory, ask nothing of Shopify, and write nothing but the record
//! Secret: the leader's reconcile exchanges what is stored there, as any other step.

mod check;
mod cookie;
mod limit;
mod outcome;
mod page;
mod pages;
mod refused;

use std::sync::Arc;

use aws_lc_rs::rand;
use axum::{
    Router,
    extract::{Path, RawQuery, Request, State as Shared, rejection::PathRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded::byte_serialize;

use self::{
    check::Refusal,
    page::Page,
    pages::{Pages, Taken},
    refused::{REFUSED, Why},
};
use crate::{
    controller::consent::Consent,
    core::{
        approval::{Claimed, InvalidState},
        identity::Identity,
        public_url::{CALLBACK, PublicUrl},
        vocabulary::labels::{InstallPage, Told},
    },
    shopify::Callback,
};

/// Where an approval begins.
const INSTALL: &str = "/oauth/install/";
/// Where an outcome is looked at.
const RESULT: &str = "/oauth/result";

/// The pages of an instance. Pages that wait end when `stop` is cancelled.
pub fn router(consent: Consent, public: PublicUrl, stop: CancellationToken) -> Router {
    let pages = Arc::new(Pages::new(consent, public, stop, Instant::now()));
    Router::new()
        .route(&format!("{INSTALL}{{namespace}}/{{name}}"), get(begin))
        .route(CALLBACK, get(callback))
        .route(RESULT, get(result))
        .route(REFUSED, get(refused))
        .fallback(async || outcome::nothing_here())
        .with_state(Arc::clone(&pages))
        .layer(map_response(page::guarded))
        .layer(from_fn_with_state(pages, counted))
}

/// Counts an answer, by its page and what it tells.
async fn counted(Shared(pages): Asked, request: Request, next: Next) -> Response {
    let page = match request.uri().path() {
        CALLBACK => InstallPage::Callback,
        RESULT => InstallPage::Result,
        REFUSED => InstallPage::Refused,
        path if path.starts_with(INSTALL) => InstallPage::Install,
        _ => InstallPage::Other,
    };
    let response = next.run(request).await;
    let told = response.extensions().get().copied().unwrap_or(Told::Other);
    pages.consent.setup().metrics.install_page(page, told);
    response
}

type Asked = Shared<Arc<Pages>>;

/// Sends a browser to Shopify. Nothing is written: what comes back says itself what it is of.
async fn begin(
    Shared(pages): Asked,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((namespace, name))) = path else { return outcome::nothing_here().into_response() };
    if !is_name(&namespace, 63) || !is_name(&name, 253) {
        return outcome::nothing_here().into_response();
    }
    if !pages.begins.take(Instant::now()) {
        return outcome::busy().into_response();
    }
    let found = pages.asking(pages.consent.approvable(&namespace, &name)).await;
    match found {
        // Nobody is sent to approve what may turn out to be in another's way.
        Ok(Some(found)) if !found.is_observed() => outcome::nothing_here().into_response(),
        Ok(Some(found)) => {
            pages.sent_to_shopify(&found, &headers).unwrap_or_else(|| outcome::unavailable().into_response())
        }
        Ok(None) => outcome::nothing_here().into_response(),
        Err(page) => page.into_response(),
    }
}

/// Takes what a browser came back with. Its cookie and state are compared before anything is read.
async fn callback(Shared(pages): Asked, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let refused = |refusal: Refusal| {
        tracing::info!(why = %refusal, "a callback was refused");
        turned_away(Why::of(refusal), None, None)
    };
    let callback = match Callback::parse(query.as_deref().unwrap_or_default()) {
        Ok(callback) => callback,
        Err(invalid) => return refused(invalid.into()),
    };
    let text = callback.state().unwrap_or_default();
    let Some(claimed) = Claimed::read(text) else { return refused(InvalidState::Forged.into()) };
    let browser = cookie::read(&headers, pages.public.is_secure());
    // Whatever else is wrong with it: it costs nobody a read.
    if !browser.as_ref().is_some_and(|browser| claimed.is_of(browser)) {
        return refused(InvalidState::OtherBrowser.into());
    }
    if !pages.returns.take(Instant::now()) {
        return outcome::busy().into_response();
    }
    match pages.asking(pages.taken(&callback, &claimed, browser.as_ref())).await {
        Ok(Taken::Noted) => redirect(&seen(text), None, Told::Noted),
        Ok(Taken::Nothing) => turned_away(Why::NothingHere, None, None),
        Ok(Taken::Refused(refusal)) => {
            let object = &claimed.state.object;
            tracing::info!(namespace = object.namespace, name = object.name, why = %refusal, "a callback was refused");
            turned_away(Why::of(refusal), Some(object), Some(text))
        }
        // Loaded again, it may still be taken: the code stays in the address for that.
        Ok(Taken::Crowded) => outcome::busy().into_response(),
        Err(page) => page.into_response(),
    }
}

/// Sends a browser whose callback changes nothing to the page that says so: no code stays in its address.
fn turned_away(why: Why, object: Option<&Identity>, state: Option<&str>) -> Response {
    redirect(&refused::address(why, object, state), None, why.told())
}

/// Shows why a callback changed nothing. It costs no read.
async fn refused(Shared(pages): Asked, RawQuery(query): RawQuery) -> Page {
    refused::page(query.as_deref().unwrap_or_default(), &pages.public)
}

/// Shows what became of an approval, in the browser that began it: as soon as it is known, or that it isn't yet.
async fn result(Shared(pages): Asked, RawQuery(query): RawQuery, headers: HeaderMap) -> Page {
    let asked = Callback::parse(query.as_deref().unwrap_or_default()).ok();
    let claimed = asked.as_ref().and_then(|asked| Claimed::read(asked.state()?));
    let browser = cookie::read(&headers, pages.public.is_secure());
    let (Some(claimed), Some(browser)) = (claimed, browser) else { return outcome::nothing_here() };
    if !claimed.is_of(&browser) {
        return outcome::nothing_here();
    }
    if !pages.returns.take(Instant::now()) {
        return outcome::busy();
    }
    pages.shown(&claimed, &browser).await.unwrap_or_else(|page| page)
}

/// Where an outcome is looked at: the state says of what, and is of no other use any more.
fn seen(state: &str) -> String {
    format!("{RESULT}?state={}", byte_serialize(state.as_bytes()).collect::<String>())
}

fn redirect(to: &str, cookie: Option<HeaderValue>, told: Told) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else { return outcome::unavailable().into_response() };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response.extensions_mut().insert(told);
    response
}

/// Whether a namespace or object could have this name: nothing else is asked for.
fn is_name(text: &str, longest: usize) -> bool {
    let ordinary = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(ordinary) && text.bytes().next_back().is_some_and(ordinary);
    ends && text.len() <= longest && text.bytes().all(|c| ordinary(c) || matches!(c, b'-' | b'.'))
}

/// Random bytes of the system's.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}
