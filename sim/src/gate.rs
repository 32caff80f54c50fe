//! The outermost service: names and logs each call, lets faults strike, and
//! closes connections. Only here can a call go unanswered.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::answer::{answer, status_fault, throttled};
use crate::faults::FaultKind;
use crate::operation::Call;
use crate::shopify::Shopify;

const REQUEST_LIMIT: usize = 1024 * 1024;

/// The call ends without an answer: hyper closes the connection (HTTP/1) or
/// resets the stream (HTTP/2).
#[derive(Debug, thiserror::Error)]
#[error("cut off")]
pub(crate) struct Cut;

/// The domain that a request was sent to.
#[derive(Clone, Debug)]
pub(crate) struct Domain(pub(crate) String);

#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) shopify: Shopify,
    pub(crate) shops: Router,
    pub(crate) control: Router,
    pub(crate) stopping: CancellationToken,
}

impl Gate {
    pub(crate) async fn call(self, request: Request<Incoming>) -> Result<Response, Cut> {
        let (mut parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_LIMIT).collect().await.map_err(|_| Cut)?.to_bytes();
        let domain = domain(&parts);
        parts.extensions.insert(Domain(domain.clone()));
        if domain == "localhost" {
            return Ok(route(self.control, parts, body).await);
        }

        let call = Call::of(&domain, &parts, &body);
        let (number, fault) = self.shopify.begin(&call);
        let shopify = self.shopify.clone();
        let mut response = self.strike(fault, &call, parts, body).await?;
        sign(&mut response, shopify.now().timestamp());
        shopify.answered(number, &call, response.status());
        Ok(response)
    }

    /// Carries the call out, or not, as the fault has it.
    async fn strike(self, fault: Option<FaultKind>, call: &Call, parts: Parts, body: Bytes) -> Result<Response, Cut> {
        let commit = |after| self.commit(after, parts, body);
        let Some(fault) = fault else {
            return commit(Duration::ZERO).await;
        };
        match fault {
            FaultKind::RefuseBefore => Err(Cut),
            FaultKind::CommitThenDrop => {
                commit(Duration::ZERO).await?;
                Err(Cut)
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
            FaultKind::Throttled => Ok(throttled(call.surface)),
            FaultKind::Garbage => {
                commit(Duration::ZERO).await?;
                let body = b"\x00\x01{\"data\": oops".to_vec();
                Ok(answer(StatusCode::OK, "application/json", body))
            }
            FaultKind::Truncated => truncated(commit(Duration::ZERO).await?).await,
            FaultKind::Endless => {
                let mut response = commit(Duration::ZERO).await?;
                response.headers_mut().remove(CONTENT_LENGTH);
                Ok(response.map(|_| endless()))
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
            Ok(response) => response.ok_or(Cut),
            Err(error) => {
                tracing::error!(%error, "a call failed inside the simulator");
                Err(Cut)
            }
        }
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
fn domain(parts: &Parts) -> String {
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

async fn truncated(response: Response) -> Result<Response, Cut> {
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let half = body.slice(..body.len() / 2);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let cut = stream::iter([Ok(half)]).chain(stream::once(async {
        // What hyper has not yet sent would be lost with the connection.
        sleep(Duration::from_millis(50)).await;
        Err(Cut)
    }));
    Ok(Response::from_parts(parts, Body::from_stream(cut)))
}

fn endless() -> Body {
    let chunk = Bytes::from_static(&[b' '; 16 * 1024]);
    Body::from_stream(stream::unfold(chunk, |chunk| async {
        // Slow enough to leave the machine to others.
        sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, Cut>(chunk.clone()), chunk))
    }))
}
