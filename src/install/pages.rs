//! What the pages do: look at an object, take a callback, wait for an outcome. Bounded in number and time.

use std::time::Duration;

use axum::{http::HeaderMap, response::Response};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    check::{Answer, Facts, Refusal, check},
    cookie,
    limit::Limit,
    outcome::{self, Progress, progress},
    page::Page,
    random, redirect, seen,
};
use crate::{
    controller::{
        consent::{Approvable, Asked, Consent, Noted},
        error::Error,
    },
    core::{
        approval::{Browser, Claimed, Proof, SHOWN, State},
        approvals::{self, Approvals, Code},
        public_url::PublicUrl,
        vocabulary::labels::Told,
    },
    shopify::{Approval, Callback, SignIn},
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

/// What the pages are made of.
pub(super) struct Pages {
    pub(super) consent: Consent,
    pub(super) public: PublicUrl,
    /// Beginnings: anybody can make them. Each is at most six reads.
    pub(super) begins: Limit,
    /// Callbacks and looks at an outcome, with a cookie that fits.
    pub(super) returns: Limit,
    at_a_time: Semaphore,
    waiting: Semaphore,
    stop: CancellationToken,
}

/// What became of a callback.
pub(super) enum Taken {
    /// It counts.
    Noted,
    /// There is nothing to approve.
    Nothing,
    /// It changes nothing.
    Refused(Refusal),
    /// It changes nothing yet.
    Crowded,
}

impl Pages {
    pub(super) fn new(consent: Consent, public: PublicUrl, stop: CancellationToken, now: Instant) -> Self {
        Self {
            consent,
            public,
            begins: Limit::new(10, 20, now),
            returns: Limit::new(20, 40, now),
            at_a_time: Semaphore::new(AT_A_TIME),
            waiting: Semaphore::new(WAITING),
            stop,
        }
    }

    fn now(&self) -> Timestamp {
        self.consent.setup().clock.now()
    }

    /// Asks something of Kubernetes: so many at a time, and not for long.
    pub(super) async fn asking<T>(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T, Page> {
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

    pub(super) fn sent_to_shopify(&self, found: &Approvable, headers: &HeaderMap) -> Option<Response> {
        let secure = self.public.is_secure();
        // Who opens two pages finishes both.
        let browser = match cookie::read(headers, secure) {
            Some(browser) => browser,
            None => Browser::new(random()?),
        };
        let state = State::begin(found.object.clone(), &browser, random()?, self.now());
        let redirect_uri = self.public.callback();
        let url = match &found.asked {
            Asked::App(app) => {
                let approval = Approval {
                    client_id: &app.client_id,
                    scopes: &found.token.spec.required_scopes,
                    redirect_uri: &redirect_uri,
                    state: &state.sign(&app.client_secret)?,
                };
                approval.url(&found.shop)
            }
            Asked::Session { client_id, client_secret, discovery, scopes } => {
                let state = state.sign(client_secret)?;
                let proof = Proof::of_text(client_secret, &state)?;
                discovery.sign_in(&SignIn {
                    client_id,
                    scopes,
                    redirect_uri: &redirect_uri,
                    state: &state,
                    nonce: &proof.nonce,
                    verifier: &proof.verifier,
                })
            }
        };
        Some(redirect(url.as_str(), cookie::set(&browser, secure), Told::Sent))
    }

    /// Checks a callback against its object and, if it counts, writes what it says.
    pub(super) async fn taken(
        &self,
        callback: &Callback,
        claimed: &Claimed,
        browser: Option<&Browser>,
    ) -> Result<Taken, Error> {
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
                signed_for: match &found.asked {
                    Asked::App(_) => Some(&found.shop),
                    Asked::Session { .. } => None,
                },
                client_secrets: &found.asked.client_secrets(),
                browser,
                approvals: found.recorded.as_ref().map_or(&none, |recorded| &recorded.approvals),
                now,
            };
            let answer = match check(callback, claimed, facts) {
                Ok(answer) => answer,
                Err(Refusal::Crowded) => return Ok(Taken::Crowded),
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
    pub(super) async fn shown(&self, claimed: &Claimed, browser: &Browser) -> Result<Page, Page> {
        let until = Instant::now() + LONGEST;
        let object = &claimed.state.object;
        let found = self.asking(self.consent.approvable(&object.namespace, &object.name)).await?;
        let Some(found) = found.filter(|found| found.object == *object) else { return Ok(outcome::nothing_here()) };
        if claimed.check(&found.asked.client_secrets(), Some(browser), SHOWN, self.now()).is_err() {
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
            page = match self.asking(self.consent.again(&found)).await {
                Ok(Some((token, recorded))) => progress(&token, recorded.as_deref(), &state, &again),
                Ok(None) => Progress::Ended(outcome::nothing_here()),
                // There is time for another look.
                Err(_) => Progress::UnderWay,
            };
        }
        Ok(match page {
            Progress::Ended(page) => page,
            Progress::UnderWay => outcome::still_working(&found.token, &seen(&claimed.text())),
        })
    }
}
