//! Requests to reconcile an object now, from wherever they come.

use futures::Stream;
use kube::{Resource, runtime::reflector::ObjectRef};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::api::{ShopifyApp, ShopifyToken};

/// Requests to reconcile an object now: one route for each watched namespace, or one for all.
#[derive(Clone, Default)]
pub struct Wakes {
    routes: Vec<Route>,
}

#[derive(Clone)]
struct Route {
    namespace: Option<String>,
    tokens: UnboundedSender<ObjectRef<ShopifyToken>>,
    /// Those for which a worker or a slot is held meanwhile.
    at_once: UnboundedSender<ObjectRef<ShopifyToken>>,
    apps: UnboundedSender<ObjectRef<ShopifyApp>>,
}

/// Both ends of a route.
pub struct Woken {
    /// Tokens to reconcile.
    pub tokens: Queue<ShopifyToken>,
    /// Tokens to reconcile without a pause in which their other events might come.
    pub at_once: UnboundedReceiver<ObjectRef<ShopifyToken>>,
    /// Apps to reconcile.
    pub apps: Queue<ShopifyApp>,
}

/// Requests to reconcile objects of a kind.
pub struct Queue<K: Resource<DynamicType = ()>> {
    /// Where they come from.
    pub sender: UnboundedSender<ObjectRef<K>>,
    /// Where they go.
    pub receiver: UnboundedReceiver<ObjectRef<K>>,
}

impl<K: Resource<DynamicType = ()>> Queue<K> {
    fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver }
    }
}

impl Wakes {
    /// Adds the route of a namespace, or of all.
    pub fn route(&mut self, namespace: Option<String>) -> Woken {
        let (at_once, receiver) = unbounded_channel();
        let woken = Woken { tokens: Queue::new(), at_once: receiver, apps: Queue::new() };
        let (tokens, apps) = (woken.tokens.sender.clone(), woken.apps.sender.clone());
        self.routes.push(Route { namespace, tokens, at_once, apps });
        woken
    }

    fn to(&self, namespace: Option<&str>) -> Option<&Route> {
        self.routes.iter().find(|r| r.namespace.is_none() || r.namespace.as_deref() == namespace)
    }

    /// Reconcile a token now.
    pub fn token(&self, token: ObjectRef<ShopifyToken>) {
        if let Some(route) = self.to(token.namespace.as_deref()) {
            // The receiver is gone only when the controller has ended.
            drop(route.tokens.send(token));
        }
    }

    /// Reconcile a token now, without a pause in which its other events might come.
    pub fn at_once(&self, token: ObjectRef<ShopifyToken>) {
        if let Some(route) = self.to(token.namespace.as_deref()) {
            drop(route.at_once.send(token));
        }
    }

    /// Reconcile an app now.
    pub fn app(&self, app: ObjectRef<ShopifyApp>) {
        if let Some(route) = self.to(app.namespace.as_deref()) {
            drop(route.apps.send(app));
        }
    }
}

/// A receiver as a stream.
pub fn stream<T: Send + 'static>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> + Send {
    futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) })
}
