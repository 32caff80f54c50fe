//! A tower layer that fails or cuts the n-th call to the API server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request};
use kube::client::Body;
use shopify_token_operator::kubernetes::{Answer, Transport};
use tower::{BoxError, Layer, Service};

/// Which side of a call is cut off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// It never arrives.
    Before,
    /// It takes effect, and its answer never arrives.
    After,
}

/// Which calls are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counted {
    All,
    Writes,
}

/// What is cut, and what happened so far.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    plan: std::sync::Mutex<Option<(u64, Side, Counted)>>,
    calls: AtomicU64,
    writes: AtomicU64,
    hit: AtomicBool,
}

impl Cuts {
    /// Cuts the n-th call since the mark; the first is 0.
    pub(crate) fn arm(&self, n: u64, side: Side, counted: Counted) {
        *self.plan.lock().unwrap() = Some((n, side, counted));
    }

    /// Counts from zero again, and takes back a cut.
    pub(crate) fn mark(&self) {
        *self.plan.lock().unwrap() = None;
        self.calls.store(0, Ordering::SeqCst);
        self.writes.store(0, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn hit(&self) -> bool {
        self.hit.load(Ordering::SeqCst)
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Counts a call, and says whether it is the one to cut.
    fn count(&self, method: &Method) -> Option<Side> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let write = (*method != Method::GET).then(|| self.writes.fetch_add(1, Ordering::SeqCst));
        let (n, side, counted) = (*self.plan.lock().unwrap())?;
        let this = match counted {
            Counted::All => Some(call),
            Counted::Writes => write,
        };
        (this == Some(n)).then(|| {
            self.hit.store(true, Ordering::SeqCst);
            side
        })
    }
}

/// The layer.
#[derive(Clone)]
pub(crate) struct Cutting(pub(crate) Arc<Cuts>);

impl Layer<Transport> for Cutting {
    type Service = CuttingService;

    fn layer(&self, inner: Transport) -> CuttingService {
        CuttingService { inner, cuts: Arc::clone(&self.0) }
    }
}

pub(crate) struct CuttingService {
    inner: Transport,
    cuts: Arc<Cuts>,
}

impl Service<Request<Body>> for CuttingService {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.cuts.count(request.method()) {
            None => self.inner.call(request),
            Some(Side::Before) => async { Err("cut before it arrived".into()) }.boxed(),
            Some(Side::After) => {
                let call = self.inner.call(request);
                async move {
                    drop(call.await?);
                    Err("cut before its answer arrived".into())
                }
                .boxed()
            }
        }
    }
}
