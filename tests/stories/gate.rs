//! A gate in front of the API server: closed, no write of a Secret comes through.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::future::{BoxFuture, FutureExt};
use http::{Method, Request};
use kube::client::Body;
use shopify_token_operator::{
    controller::Setup,
    kubernetes::{Answer, Transport, client_with_layer},
};
use tower::{BoxError, Service};

use crate::world::World;

/// Open at first.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn stops(&self, request: &Request<Body>) -> bool {
        let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        self.0.load(Ordering::SeqCst) && writes && request.uri().path().contains("/secrets")
    }
}

impl World {
    /// The operator's setup, with its calls to the API server going through the gate.
    pub(crate) async fn setup_behind(&self, gate: &Gate) -> Setup {
        let gate = gate.clone();
        let layer = tower::layer::layer_fn(move |inner: Transport| Guarded { inner, gate: gate.clone() });
        let config = self.operator_config().await;
        let client = client_with_layer(config, Arc::clone(&self.metrics), 16, &layer).unwrap();
        Setup { client, ..self.setup().await }
    }
}

struct Guarded {
    inner: Transport,
    gate: Gate,
}

impl Service<Request<Body>> for Guarded {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.gate.stops(&request) {
            return async { Err("the gate is closed".into()) }.boxed();
        }
        self.inner.call(request).boxed()
    }
}
