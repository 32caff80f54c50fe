//! The outermost service: names and logs each call, lets faults strike, and
//! closes connections. Only here can a call go unanswered.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::answer::{answer, status_fault, throttled};
use crate::cut::{Cut, Ending};
use crate::fault::FaultKind;
use crate::operation::Call;
use crate::shopify::Shopify;
use crate::{distort, origin, pages};

const REQUEST_LIMIT: usize = 1024 * 1024;

/// The permanent domain of the shop that a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Domain(pub(crate) String);

/// The domain that a request was sent to.
#[derive(Clone, Debug)]
pub(crate) struct Host(pub(crate) String);

#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) shopify: Shopify,
    pub(crate) shops: Router,
    pub(crate) control: Router,
    pub(crate) stopping: CancellationToken,
}

impl Gate {
    /// Answers a call; `end` ends the connection that it came on.
    pub(crate) async fn call(self, request: Request<Incoming>, end: UnboundedSender<Ending>) -> Result<Response, Cut> {
        let (mut parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_LIMIT).collect().await.map_err(|_| Cut::Off)?.to_bytes();
        let host = host(&parts);
        if host == "localhost" {
            return Ok(route(self.control, parts, body).await);
        }
        let domain = self.shopify.state().shop_of(&host, parts.uri.path());
        parts.extensions.insert(Domain(domain.clone()));
        parts.extensions.insert(Host(host));

        let mut call = Call::of(&domain, &parts, &body);
        call.app = origin::app(&self.shopify.state(), &call, &parts.headers, &body);
        let (number, fault) = self.shopify.begin(&call);
        let shopify = self.shopify.clone();
        let mut response = self.strike(fault, &call, parts, body, &end).await?;
        sign(&mut response, shopify.now().timestamp());
        shopify.answered(number, &call, response.status());
        Ok(response)
    }

    /// Carries the call out, or not, as the fault has it.
    async fn strike(
        self,
        fault: Option<FaultKind>,
        call: &Call,
        parts: Parts,
        body: Bytes,
        end: &UnboundedSender<Ending>,
    ) -> Result<Response, Cut> {
        let commit = |after| self.commit(after, parts, body);
        let Some(fault) = fault else {
            return commit(Duration::ZERO).await;
        };
        match fault {
            FaultKind::RefuseBefore => Err(Cut::Off),
            FaultKind::CommitThenDrop => {
                commit(Duration::ZERO).await?;
                Err(Cut::Off)
            }
            FaultKind::Delay(delay) => {
                let response = commit(Duration::ZERO).await?;
                sleep(delay).await;
                Ok(response)
            }
            FaultKind::DelayBefore(delay) => commit(delay).await,
            FaultKind::Status(status) => Ok(status_fault(&status)),
            FaultKind::StatusAfterCommit(status) => {
                commit(Duration::ZERO).await?;
                Ok(status_fault(&status))
            }
            FaultKind::Throttled => Ok(throttled(call.dialect)),
            FaultKind::Garbage => {
                commit(Duration::ZERO).await?;
                let body = b"\x00\x01{\"data\": oops".to_vec();
                Ok(answer(StatusCode::OK, "application/json", body))
            }
            FaultKind::Truncated => distort::truncated(commit(Duration::ZERO).await?).await,
            FaultKind::Endless => Ok(distort::endless(commit(Duration::ZERO).await?)),
            FaultKind::Edited(edits) => distort::edited(commit(Duration::ZERO).await?, &edits).await,
            FaultKind::Gzip => distort::gzip(commit(Duration::ZERO).await?).await,
            FaultKind::Bom => distort::with_bom(commit(Duration::ZERO).await?).await,
            FaultKind::Page(page) => Ok(pages::page(page)),
            FaultKind::RefusedStream => Err(Cut::refused()),
            FaultKind::GoAway => {
                send(end, Ending::GoAway).await;
                Err(Cut::refused())
            }
            FaultKind::Reset => {
                send(end, Ending::Reset).await;
                Err(Cut::Off)
            }
            FaultKind::Hang => std::future::pending().await,
            FaultKind::CommitThenHang => {
                commit(Duration::ZERO).await?;
                std::future::pending().await
            }
        }
    }

    /// Carries the call out to its end, even if the client goes away.
    async fn commit(&self, after: Duration, parts: Parts, body: Bytes) -> Result<Response, Cut> {
        let shops = self.shops.clone();
        let call = async move {
            // Even a sleep of nothing waits for the timer's next tick.
            if !after.is_zero() {
                sleep(after).await;
            }
            route(shops, parts, body).await
        };
        let call = self.stopping.clone().run_until_cancelled_owned(call);
        match tokio::spawn(call).await {
            Ok(response) => response.ok_or(Cut::Off),
            Err(error) => {
                tracing::error!(%error, "a call failed inside the simulator");
                Err(Cut::Off)
            }
        }
    }
}

/// Tells the connection, and leaves it a moment to do so before the call ends.
async fn send(end: &UnboundedSender<Ending>, ending: Ending) {
    if end.send(ending).is_ok() {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn route(router: Router, parts: Parts, body: Bytes) -> Response {
    let request = Request::from_parts(parts, Body::from(body));
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The name in `:authority` or `Host`, without a port.
fn host(parts: &Parts) -> String {
    let host = parts.uri.host().or_else(|| {
        let host = parts.headers.get(HOST)?.to_str().ok()?;
        host.split(':').next()
    });
    host.unwrap_or_default().to_ascii_lowercase()
}

/// `x-request-id: <uuid>-<epoch>`, on every answer.
fn sign(response: &mut Response, epoch: i64) {
    let id = format!("{}-{epoch}", Uuid::new_v4());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
}
