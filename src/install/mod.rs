//! Install pages: where a merchant's browser begins an approval, comes back with it, and sees what became of it.
//!
//! Every replica serves them. They keep nothing in memory, ask nothing of Shopify, and write nothing but the record
//! Secret: the leader's reconcile exchanges what is stored there, as any other step.

mod check;
mod cookie;
mod limit;
mod outcome;
mod page;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use axum::{
    Router,
    extract::{Path, RawQuery, State as Shared, rejection::PathRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded::byte_serialize;

use self::{
    check::{Answer, Facts, Refusal, check},
    limit::Limit,
    outcome::{Progress, progress},
    page::Page,
};
use crate::{
    controller::{
        consent::{Approvable, Consent, Noted},
        error::Error,
    },
    core::{
        approval::{Browser, Claimed, InvalidState, SHOWN, State},
        approvals::{self, Approvals, Code},
        public_url::{CALLBACK, PublicUrl},
    },
    shopify::{Approval, Callback},
    time::Timestamp,
};

/// Requests at a time that read from Kubernetes.
const AT_A_TIME: usize = 16;
/// Pages at a time that wait for an outcome.
const WAITING: usize = 16;
/// Time for all that a request asks of Kubernetes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a page waits for an outcome before its last look: with that, not over 30 s.
const LONGEST: Duration = Duration::from_secs(19);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a write is tried that others come before.
const TRIES: usize = 4;

const RESULT: &str = "/oauth/result";

/// What the pages are made of.
struct Pages {
    consent: Consent,
    public: PublicUrl,
    /// Beginnings: anybody can make them. Each is at most six reads.
    begins: Limit,
    /// Callbacks and looks at an outcome, with a cookie that fits.
    returns: Limit,
    at_a_time: Semaphore,
    waiting: Semaphore,
    stop: CancellationToken,
}

/// The pages of an instance. Pages that wait end when `stop` is cancelled.
pub fn router(consent: Consent, public: PublicUrl, stop: CancellationToken) -> Router {
    let now = Instant::now();
    let pages = Arc::new(Pages {
        consent,
        public,
        begins: Limit::new(10, 20, now),
        returns: Limit::new(20, 40, now),
        at_a_time: Semaphore::new(AT_A_TIME),
        waiting: Semaphore::new(WAITING),
        stop,
    });
    Router::new()
        .route("/oauth/install/{namespace}/{name}", get(begin))
        .route(CALLBACK, get(callback))
        .route(RESULT, get(result))
        .fallback(async || outcome::nothing_here())
        .with_state(pages)
        .layer(map_response(page::guarded))
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
        outcome::rejected(refusal, None, None).into_response()
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
        Ok(Taken::Noted) => redirect(&seen(text), None),
        Ok(Taken::Nothing) => outcome::nothing_here().into_response(),
        Ok(Taken::Refused(refusal)) => {
            let object = &claimed.state.object;
            tracing::info!(namespace = object.namespace, name = object.name, why = %refusal, "a callback was refused");
            let again = pages.public.install(&object.namespace, &object.name);
            outcome::rejected(refusal, Some(again), Some(seen(text))).into_response()
        }
        Err(page) => page.into_response(),
    }
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

/// What became of a callback.
enum Taken {
    /// It counts.
    Noted,
    /// There is nothing to approve.
    Nothing,
    /// It changes nothing.
    Refused(Refusal),
}

impl Pages {
    fn now(&self) -> Timestamp {
        self.consent.setup().clock.now()
    }

    /// Asks something of Kubernetes: so many at a time, and not for long.
    async fn asking<T>(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T, Page> {
        let Ok(_permit) = self.at_a_time.try_acquire() else { return Err(outcome::busy()) };
        match timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(%error, "an install page can't be served");
                Err(outcome::unavailable())
            }
            Err(_elapsed) => {
                tracing::warn!(after = ?PATIENCE, "an install page can't be served: Kubernetes doesn't answer");
                Err(outcome::unavailable())
            }
        }
    }

    fn sent_to_shopify(&self, found: &Approvable, headers: &HeaderMap) -> Option<Response> {
        let secure = self.public.is_secure();
        // Who opens two pages finishes both.
        let browser = match cookie::read(headers, secure) {
            Some(browser) => browser,
            None => Browser::new(random()?),
        };
        let state = State::begin(found.object.clone(), &browser, random()?, self.now());
        let redirect_uri = self.public.callback();
        let approval = Approval {
            client_id: &found.app.client_id,
            scopes: &found.token.spec.required_scopes,
            redirect_uri: &redirect_uri,
            state: &state.sign(&found.app.client_secret)?,
        };
        Some(redirect(approval.url(&found.shop).as_str(), cookie::set(&browser, secure)))
    }

    /// Checks a callback against its object and, if it counts, writes what it says.
    async fn taken(&self, callback: &Callback, claimed: &Claimed, browser: Option<&Browser>) -> Result<Taken, Error> {
        let object = &claimed.state.object;
        for _ in 0..TRIES {
            let Some(found) = self.consent.approvable(&object.namespace, &object.name).await? else {
                return Ok(Taken::Nothing);
            };
            // Another object of that name was approved by nobody.
            if found.object != *object {
                return Ok(Taken::Nothing);
            }
            let (now, none) = (self.now(), Approvals::default());
            let facts = Facts {
                shop: &found.shop,
                client_secrets: &found.client_secrets(),
                browser,
                approvals: found.recorded.as_ref().map_or(&none, |recorded| &recorded.approvals),
                now,
            };
            let answer = match check(callback, claimed, facts) {
                Ok(answer) => answer,
                Err(refusal) => return Ok(Taken::Refused(refusal)),
            };
            let (state, begun_at) = (claimed.fingerprint(), claimed.state.begun_at);
            let declined = matches!(answer, Answer::Declined);
            let noted = self
                .consent
                .note(&found, |secret| match answer {
                    Answer::Approved(value) => approvals::approve(secret, &Code { value, state }, begun_at, now),
                    Answer::Declined => approvals::decline(secret, &state, begun_at, now),
                })
                .await?;
            match noted {
                Noted::Written => {
                    tracing::info!(namespace = object.namespace, name = object.name, declined, "an approval came back");
                    return Ok(Taken::Noted);
                }
                Noted::Overtaken => {}
            }
        }
        Err(Error::TimedOut(PATIENCE))
    }

    /// Looks until the outcome is known, or the wait is over.
    async fn shown(&self, claimed: &Claimed, browser: &Browser) -> Result<Page, Page> {
        let until = Instant::now() + LONGEST;
        let object = &claimed.state.object;
        let found = self.asking(self.consent.approvable(&object.namespace, &object.name)).await?;
        let Some(found) = found.filter(|found| found.object == *object) else { return Ok(outcome::nothing_here()) };
        if claimed.check(&found.client_secrets(), Some(browser), SHOWN, self.now()).is_err() {
            return Ok(outcome::nothing_here());
        }
        let again = self.public.install(&object.namespace, &object.name);
        let state = claimed.fingerprint();
        let mut page = progress(&found.token, found.recorded.as_deref(), &state, &again);
        // Without a place to wait the answer is what is known now.
        let waits = self.waiting.try_acquire();
        while let (Progress::UnderWay, Ok(_)) = (&page, &waits)
            && Instant::now() < until
            && self.stop.run_until_cancelled(sleep(PAUSE)).await.is_some()
        {
            let Some((token, recorded)) = self.asking(self.consent.again(&found)).await? else {
                return Ok(outcome::nothing_here());
            };
            page = progress(&token, recorded.as_deref(), &state, &again);
        }
        Ok(match page {
            Progress::Ended(page) => page,
            Progress::UnderWay => outcome::still_working(&found.token, &seen(&claimed.text())),
        })
    }
}

/// Where an outcome is looked at: the state says of what, and is of no other use any more.
fn seen(state: &str) -> String {
    format!("{RESULT}?state={}", byte_serialize(state.as_bytes()).collect::<String>())
}

fn redirect(to: &str, cookie: Option<HeaderValue>) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else { return outcome::unavailable().into_response() };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
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
