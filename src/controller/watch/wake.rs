//! Requests to reconcile an object now, from wherever they come.

use futures::Stream;
use kube::runtime::reflector::ObjectRef;
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
    apps: UnboundedSender<ObjectRef<ShopifyApp>>,
}

/// The other end of a route.
pub struct Woken {
    /// Tokens to reconcile.
    pub tokens: UnboundedReceiver<ObjectRef<ShopifyToken>>,
    /// Apps to reconcile.
    pub apps: UnboundedReceiver<ObjectRef<ShopifyApp>>,
}

impl Wakes {
    /// Adds the route of a namespace, or of all.
    pub fn route(&mut self, namespace: Option<String>) -> Woken {
        let (tokens, woken_tokens) = unbounded_channel();
        let (apps, woken_apps) = unbounded_channel();
        self.routes.push(Route { namespace, tokens, apps });
        Woken { tokens: woken_tokens, apps: woken_apps }
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
