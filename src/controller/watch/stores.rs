//! What the watches hold, and who depends on whom in it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{FutureExt, future::join_all};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::reflector::{ObjectRef, Store},
};
use tokio::time::timeout;

use crate::{
    api::{ShopifyApp, ShopifyToken},
    core::{
        finalizer::keeps_issuer,
        grant::{Labels, is_granted},
    },
};

/// What is kept of a namespace: its name and labels.
pub(in crate::controller) type Labelled = PartialObjectMeta<Namespace>;

/// What the watches hold: one scope a namespace, or one for all.
#[derive(Clone, Default)]
pub struct Stores {
    scopes: Vec<Scope>,
    /// The labels of namespaces, where one may grant an app to another.
    namespaces: Option<Store<Labelled>>,
}

#[derive(Clone)]
struct Scope {
    namespace: Option<String>,
    tokens: Store<DeserializeGuard<ShopifyToken>>,
    apps: Store<DeserializeGuard<ShopifyApp>>,
}

impl Stores {
    /// Adds the stores of a namespace, or of all.
    pub fn add(
        &mut self,
        namespace: Option<String>,
        tokens: Store<DeserializeGuard<ShopifyToken>>,
        apps: Store<DeserializeGuard<ShopifyApp>>,
    ) {
        self.scopes.push(Scope { namespace, tokens, apps });
    }

    /// Adds the store of namespaces, if one may grant an app to another.
    pub(in crate::controller) fn know(&mut self, namespaces: Option<Store<Labelled>>) {
        self.namespaces = namespaces;
    }

    fn scope(&self, namespace: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.namespace.as_deref().is_none_or(|n| n == namespace))
    }

    /// Waits until the tokens of a namespace have been listed once. Says whether they were within `patience`: what is
    /// amiss in another namespace delays nobody.
    pub async fn tokens_listed(&self, namespace: &str, patience: Duration) -> bool {
        let Some(scope) = self.scope(namespace) else { return false };
        matches!(timeout(patience, scope.tokens.wait_until_ready()).await, Ok(Ok(())))
    }

    /// Waits for the tokens of all namespaces and for their labels, `patience` at most: whom apps may be granted to.
    pub(in crate::controller) async fn neighbours_listed(&self, patience: Duration) {
        let tokens = join_all(self.scopes.iter().map(|scope| scope.tokens.wait_until_ready()));
        let labels = join_all(self.namespaces.iter().map(Store::wait_until_ready));
        // What isn't listed by then counts when it is.
        drop(timeout(patience, futures::future::join(tokens, labels)).await);
    }

    /// Whether the tokens of a namespace were listed since the process began.
    #[must_use]
    pub(in crate::controller) fn sees(&self, namespace: &str) -> bool {
        self.scope(namespace).is_some_and(|scope| scope.tokens.wait_until_ready().now_or_never().is_some())
    }

    /// Every token that could be read.
    pub fn tokens(&self) -> impl Iterator<Item = Arc<DeserializeGuard<ShopifyToken>>> {
        self.scopes.iter().flat_map(|scope| scope.tokens.state()).filter(|t| t.0.is_ok())
    }

    /// Every app, those that couldn't be read included.
    pub fn apps(&self) -> impl Iterator<Item = Arc<DeserializeGuard<ShopifyApp>>> {
        self.scopes.iter().flat_map(|scope| scope.apps.state())
    }

    fn tokens_of(&self, namespace: &str) -> Vec<Arc<DeserializeGuard<ShopifyToken>>> {
        self.tokens().filter(|t| t.namespace().as_deref() == Some(namespace)).collect()
    }

    /// Names of the apps whose credentials are in a Secret.
    #[must_use]
    pub fn apps_with_credentials(&self, namespace: &str, secret: &str) -> Vec<String> {
        self.apps_of(namespace)
            .iter()
            .filter(|a| a.0.as_ref().is_ok_and(|a| a.spec.credentials_ref.name == secret))
            .map(|a| a.name_any())
            .collect()
    }

    /// The apps and tokens that read or write a Secret, directly or through an app or admin token.
    #[must_use]
    pub fn dependents_of_secret(
        &self,
        namespace: &str,
        secret: &str,
    ) -> (Vec<ObjectRef<ShopifyApp>>, Vec<ObjectRef<ShopifyToken>>) {
        let apps = self.apps_with_credentials(namespace, secret);
        // Without an app nobody elsewhere has to do with it.
        let tokens = if apps.is_empty() { self.tokens_of(namespace) } else { self.tokens().collect() };
        let direct = |t: &ShopifyToken| {
            let names = t.app().is_some_and(|(place, app)| place == namespace && apps.iter().any(|a| a == app));
            let holds = t.secret_name() == secret
                || t.credentials_secret() == Some(secret)
                || t.record_secret().as_deref() == Some(secret);
            names || (holds && t.metadata.namespace.as_deref() == Some(namespace))
        };
        let tokens = with_those_below(&tokens, direct);
        (apps.iter().map(|a| ObjectRef::new(a).within(namespace)).collect(), tokens)
    }

    /// The tokens that name an app, of whatever namespace, and those whose admin token such a one is.
    #[must_use]
    pub fn dependents_of_app(&self, namespace: &str, app: &str) -> Vec<ObjectRef<ShopifyToken>> {
        with_those_below(&self.tokens().collect::<Vec<_>>(), |t| t.app() == Some((namespace, app)))
    }

    /// The tokens of a namespace that name an app of another one, those below them, and the apps that they name.
    #[must_use]
    pub fn abroad(&self, namespace: &str) -> (Vec<ObjectRef<ShopifyToken>>, Vec<ObjectRef<ShopifyApp>>) {
        let tokens = self.tokens_of(namespace);
        let named = |t: &ShopifyToken| t.app().filter(|(place, _)| *place != namespace).map(app_ref);
        let apps: HashSet<_> = readable(&tokens).filter_map(named).collect();
        (with_those_below(&tokens, |t| named(t).is_some()), apps.into_iter().collect())
    }

    /// The tokens whose admin token this is.
    #[must_use]
    pub fn dependents_of_token(&self, namespace: &str, name: &str) -> Vec<ObjectRef<ShopifyToken>> {
        readable(&self.tokens_of(namespace))
            .filter(|t| t.admin_token() == Some(name))
            .map(ObjectRef::from_obj)
            .collect()
    }

    /// The tokens that name an app and may be issued with it, those of its own namespace first.
    #[must_use]
    pub fn users_of_app(&self, app: &ShopifyApp) -> Vec<Arc<DeserializeGuard<ShopifyToken>>> {
        let (namespace, name) = (app.namespace().unwrap_or_default(), app.name_any());
        let granted = |t: &ShopifyToken| {
            t.app() == Some((&namespace, &name)) && is_granted(app, t, &self.labels(t.metadata.namespace.as_deref()))
        };
        let among = if app.spec.grants.is_empty() { self.tokens_of(&namespace) } else { self.tokens().collect() };
        let mut users: Vec<_> = among.into_iter().filter(|t| t.0.as_ref().is_ok_and(granted)).collect();
        users.sort_by_key(|t| (t.namespace().as_ref() != Some(&namespace), t.namespace(), t.name_any()));
        users
    }

    /// The tokens that name an app, whether it is granted to them or not.
    pub fn tokens_naming(
        &self,
        namespace: &str,
        app: &str,
    ) -> impl Iterator<Item = Arc<DeserializeGuard<ShopifyToken>>> {
        self.tokens().filter(move |t| t.0.as_ref().is_ok_and(|t| t.app() == Some((namespace, app))))
    }

    /// The app that a token is issued with, by its own name or by that of its admin token.
    #[must_use]
    pub fn app_above(&self, namespace: &str, token: &str) -> Option<ObjectRef<ShopifyApp>> {
        let named = |token: &DeserializeGuard<ShopifyToken>| token.0.as_ref().ok()?.app().map(app_ref);
        let token = self.token(namespace, token)?;
        named(&token).or_else(|| named(&*self.token(namespace, token.0.as_ref().ok()?.admin_token()?)?))
    }

    /// The labels of a namespace, as far as the watch knows.
    fn labels(&self, namespace: Option<&str>) -> Labels {
        let kept = self.namespaces.as_ref().zip(namespace).and_then(|(kept, name)| kept.get(&ObjectRef::new(name)));
        kept.and_then(|namespace| namespace.metadata.labels.clone()).unwrap_or_default()
    }

    /// Whether a token needs an admin token for its revocation, as far as the watch knows.
    #[must_use]
    pub fn needs_token(&self, namespace: &str, name: &str) -> bool {
        readable(&self.tokens_of(namespace)).any(|t| keeps_issuer(t) && t.admin_token() == Some(name))
    }

    /// Whether a token needs an app for its revocation, as far as the watch knows.
    #[must_use]
    pub fn needs_app(&self, app: &ShopifyApp) -> bool {
        let users = self.users_of_app(app);
        users.iter().any(|t| self.needs_token(&t.namespace().unwrap_or_default(), &t.name_any()))
    }

    /// A token that could be read.
    #[must_use]
    pub fn token(&self, namespace: &str, name: &str) -> Option<Arc<DeserializeGuard<ShopifyToken>>> {
        let object = ObjectRef::new(name).within(namespace);
        self.scopes.iter().find_map(|scope| scope.tokens.get(&object)).filter(|t| t.0.is_ok())
    }

    /// Every token, for a change that may concern all.
    #[must_use]
    pub fn all_tokens(&self) -> Vec<ObjectRef<ShopifyToken>> {
        self.tokens().map(|t| ObjectRef::new(&t.name_any()).within(&t.namespace().unwrap_or_default())).collect()
    }

    /// Every app.
    #[must_use]
    pub fn all_apps(&self) -> Vec<ObjectRef<ShopifyApp>> {
        self.apps().map(|a| ObjectRef::new(&a.name_any()).within(&a.namespace().unwrap_or_default())).collect()
    }

    /// The apps of a namespace.
    #[must_use]
    pub fn apps_of(&self, namespace: &str) -> Vec<Arc<DeserializeGuard<ShopifyApp>>> {
        self.apps().filter(|a| a.namespace().as_deref() == Some(namespace)).collect()
    }

    /// The apps that tokens of a namespace may be issued with, or may have been: its own, and those that grant something.
    pub fn apps_for(&self, namespace: &str) -> impl Iterator<Item = Arc<DeserializeGuard<ShopifyApp>>> {
        let grants = |a: &DeserializeGuard<ShopifyApp>| a.0.as_ref().is_ok_and(|a| !a.spec.grants.is_empty());
        self.apps().filter(move |a| a.namespace().as_deref() == Some(namespace) || grants(a))
    }

    /// The other offline tokens of a shop: one of them may have waited for this one to go.
    #[must_use]
    pub fn offline_of(&self, shop: &str) -> Vec<ObjectRef<ShopifyToken>> {
        let offline = |t: &ShopifyToken| t.record_secret().is_some() && t.spec.shop == shop;
        self.tokens().filter_map(|t| t.0.as_ref().ok().filter(|t| offline(t)).map(ObjectRef::from_obj)).collect()
    }

    /// An older token of this namespace that names the same Secret.
    #[must_use]
    pub fn rival(&self, token: &ShopifyToken) -> Option<String> {
        let age = |t: &ShopifyToken| (t.metadata.creation_timestamp.clone().map(|c| c.0), t.name_any());
        let tokens = self.tokens_of(&token.namespace().unwrap_or_default());
        readable(&tokens)
            .filter(|t| t.secret_name() == token.secret_name() && t.name_any() != token.name_any())
            .filter(|t| t.metadata.deletion_timestamp.is_none() && age(t) < age(token))
            .map(ResourceExt::name_any)
            .next()
    }
}

fn readable(tokens: &[Arc<DeserializeGuard<ShopifyToken>>]) -> impl Iterator<Item = &ShopifyToken> {
    tokens.iter().filter_map(|t| t.0.as_ref().ok())
}

/// Those tokens that are meant, and those of the same namespace that have one of them as their admin token.
fn with_those_below(
    tokens: &[Arc<DeserializeGuard<ShopifyToken>>],
    meant: impl Fn(&ShopifyToken) -> bool,
) -> Vec<ObjectRef<ShopifyToken>> {
    let place = |t: &ShopifyToken| t.metadata.namespace.clone().unwrap_or_default();
    let direct: HashSet<_> = readable(tokens).filter(|t| meant(t)).map(|t| (place(t), t.name_any())).collect();
    let below = |t: &ShopifyToken| t.admin_token().is_some_and(|a| direct.contains(&(place(t), a.to_owned())));
    let all = readable(tokens).filter(|t| direct.contains(&(place(t), t.name_any())) || below(t));
    all.map(ObjectRef::from_obj).collect()
}

fn app_ref((namespace, name): (&str, &str)) -> ObjectRef<ShopifyApp> {
    ObjectRef::new(name).within(namespace)
}
