//! Requests to look at an object now, from wherever they come.

use std::sync::Arc;

use crate::{controller::key::ObjectKey, queue::Queue};

/// The objects of a kind, in one namespace or in all, that are to be looked at.
pub type Objects = Arc<Queue<ObjectKey>>;

/// Requests to look at an object now: one route for each watched namespace, or one for all.
#[derive(Clone, Default)]
pub struct Wakes {
    routes: Vec<Route>,
}

/// Where those of a namespace, or of all, go.
#[derive(Clone, Default)]
pub struct Route {
    namespace: Option<String>,
    /// ShopifyTokens to look at.
    pub tokens: Objects,
    /// ShopifyApps to look at.
    pub apps: Objects,
}

impl Wakes {
    /// Adds the route of a namespace, or of all.
    pub fn route(&mut self, namespace: Option<String>) -> Route {
        let route = Route { namespace, ..Route::default() };
        self.routes.push(route.clone());
        route
    }

    fn to(&self, namespace: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.namespace.as_deref().is_none_or(|it| it == namespace))
    }

    /// Look at a token.
    pub fn token(&self, token: impl Into<ObjectKey>) {
        let token = token.into();
        if let Some(route) = self.to(token.namespace()) {
            route.tokens.changed(token);
        }
    }

    /// Look at a token without a pause in which its other events might come.
    pub fn at_once(&self, token: ObjectKey) {
        if let Some(route) = self.to(token.namespace()) {
            route.tokens.at_once(token);
        }
    }

    /// Look at an app.
    pub fn app(&self, app: impl Into<ObjectKey>) {
        let app = app.into();
        if let Some(route) = self.to(app.namespace()) {
            route.apps.changed(app);
        }
    }
}
