//! What the watches hold, and who depends on whom in it.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Resource, ResourceExt,
    runtime::reflector::{self, ObjectRef},
};
use tokio::time::timeout;

use super::{
    relations::Relation,
    store::{Held, Store},
};
use crate::{
    api::{ShopifyApp, ShopifyToken},
    controller::key::ObjectKey,
    core::{
        finalizer::keeps_issuer,
        grant::{Labels, is_granted},
    },
    kubernetes::{Lenient, Metadata},
    time::{self, Timestamp},
};

/// What is kept of a namespace: its name and labels.
pub(in crate::controller) type Labelled = Metadata<Namespace>;

/// What the watches hold: one scope a namespace, or one for all.
#[derive(Clone, Default)]
pub struct Stores {
    scopes: Vec<Scope>,
    /// The labels of namespaces, where one may grant an app to another.
    namespaces: Option<reflector::Store<Labelled>>,
}

#[derive(Clone)]
struct Scope {
    namespace: Option<String>,
    tokens: Store<ShopifyToken>,
    apps: Store<ShopifyApp>,
}

impl Stores {
    /// Adds a namespace, or all: its tokens, and its apps.
    pub(in crate::controller) fn add(&mut self, namespace: Option<String>) -> (Store<ShopifyToken>, Store<ShopifyApp>) {
        let scope = Scope { namespace, tokens: Store::default(), apps: Store::default() };
        let both = (scope.tokens.clone(), scope.apps.clone());
        self.scopes.push(scope);
        both
    }

    /// Adds the store of namespaces, if one may grant an app to another.
    pub(in crate::controller) fn know(&mut self, namespaces: Option<reflector::Store<Labelled>>) {
        self.namespaces = namespaces;
    }

    fn scope(&self, namespace: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.namespace.as_deref().is_none_or(|n| n == namespace))
    }

    /// Waits until the tokens of a namespace have been listed once. Says whether they were within `patience`: what is
    /// amiss in another namespace delays nobody.
    pub async fn tokens_listed(&self, namespace: &str, patience: Duration) -> bool {
        let Some(scope) = self.scope(namespace) else { return false };
        timeout(patience, scope.tokens.listed()).await.is_ok()
    }

    /// Waits for the tokens of all namespaces and for their labels, `patience` at most: whom apps may be granted to.
    pub(in crate::controller) async fn neighbours_listed(&self, patience: Duration) {
        let tokens = join_all(self.scopes.iter().map(|scope| scope.tokens.listed()));
        let labels = join_all(self.namespaces.iter().map(reflector::Store::wait_until_ready));
        // What isn't listed by then counts when it is.
        drop(timeout(patience, futures::future::join(tokens, labels)).await);
    }

    /// Whether the tokens of a namespace were listed since the process began.
    #[must_use]
    pub(in crate::controller) fn sees(&self, namespace: &str) -> bool {
        self.scope(namespace).is_some_and(|scope| scope.tokens.is_listed())
    }

    /// Every token that could be read.
    pub fn tokens(&self) -> impl Iterator<Item = Held<ShopifyToken>> {
        self.scopes.iter().flat_map(|scope| scope.tokens.all()).filter(|t| t.0.is_ok())
    }

    /// Every app, those that couldn't be read included.
    pub fn apps(&self) -> impl Iterator<Item = Held<ShopifyApp>> {
        self.scopes.iter().flat_map(|scope| scope.apps.all())
    }

    /// The tokens that have to do with this, those that could be read.
    fn related(&self, relation: &Relation<'_>) -> Vec<Held<ShopifyToken>> {
        let mut tokens: Vec<_> = self.scopes.iter().flat_map(|scope| scope.tokens.related(relation)).collect();
        tokens.retain(|token| token.0.is_ok());
        tokens
    }

    fn tokens_of(&self, namespace: &str) -> Vec<Held<ShopifyToken>> {
        self.related(&Relation::Namespace(namespace))
    }

    /// The tokens whose admin token this is.
    #[must_use]
    pub fn tokens_with_admin(&self, namespace: &str, name: &str) -> Vec<Held<ShopifyToken>> {
        self.related(&Relation::Admin(namespace, name))
    }

    /// The tokens that name an app, whether it is granted to them or not.
    #[must_use]
    pub fn tokens_of_app(&self, namespace: &str, app: &str) -> Vec<Held<ShopifyToken>> {
        self.related(&Relation::App(namespace, app))
    }

    /// How many there are of these.
    #[must_use]
    pub(in crate::controller) fn count_of_app(&self, namespace: &str, app: &str) -> usize {
        self.scopes.iter().map(|scope| scope.tokens.count(&Relation::App(namespace, app))).sum()
    }

    /// These tokens, and those whose admin token one of them is.
    fn with_those_below(&self, tokens: &[Held<ShopifyToken>]) -> Vec<ObjectRef<ShopifyToken>> {
        let mut all: HashSet<ObjectRef<ShopifyToken>> = HashSet::new();
        for token in readable(tokens) {
            let (namespace, name) = (token.namespace().unwrap_or_default(), token.name_any());
            all.extend(readable(&self.tokens_with_admin(&namespace, &name)).map(ObjectRef::from_obj));
            all.insert(ObjectRef::from_obj(token));
        }
        all.into_iter().collect()
    }

    /// Names of the apps whose credentials are in a Secret.
    #[must_use]
    pub fn apps_with_credentials(&self, namespace: &str, secret: &str) -> Vec<String> {
        let apps = self.apps_related(&Relation::Secret(namespace, Cow::Borrowed(secret)));
        apps.iter().map(|app| app.name_any()).collect()
    }

    /// The apps and tokens that read or write a Secret, directly or through an app or admin token.
    #[must_use]
    pub fn dependents_of_secret(
        &self,
        namespace: &str,
        secret: &str,
    ) -> (Vec<ObjectRef<ShopifyApp>>, Vec<ObjectRef<ShopifyToken>>) {
        let apps = self.apps_with_credentials(namespace, secret);
        let mut tokens = self.related(&Relation::Secret(namespace, Cow::Borrowed(secret)));
        tokens.extend(apps.iter().flat_map(|app| self.tokens_of_app(namespace, app)));
        let tokens = self.with_those_below(&tokens);
        (apps.iter().map(|a| ObjectRef::new(a).within(namespace)).collect(), tokens)
    }

    /// The tokens that name an app, of whatever namespace, and those whose admin token such a one is.
    #[must_use]
    pub fn dependents_of_app(&self, namespace: &str, app: &str) -> Vec<ObjectRef<ShopifyToken>> {
        self.with_those_below(&self.tokens_of_app(namespace, app))
    }

    /// The tokens of a namespace that name an app of another one, those below them, and the apps that they name.
    #[must_use]
    pub fn abroad(&self, namespace: &str) -> (Vec<ObjectRef<ShopifyToken>>, Vec<ObjectRef<ShopifyApp>>) {
        let named = |t: &ShopifyToken| t.app().filter(|(place, _)| *place != namespace).map(app_ref);
        let mut tokens = self.tokens_of(namespace);
        tokens.retain(|t| t.0.as_ref().is_ok_and(|t| named(t).is_some()));
        let apps: HashSet<_> = readable(&tokens).filter_map(named).collect();
        (self.with_those_below(&tokens), apps.into_iter().collect())
    }

    /// The tokens whose admin token this is.
    #[must_use]
    pub fn dependents_of_token(&self, namespace: &str, name: &str) -> Vec<ObjectRef<ShopifyToken>> {
        readable(&self.tokens_with_admin(namespace, name)).map(ObjectRef::from_obj).collect()
    }

    /// The tokens that name an app and may be issued with it, those of its own namespace first.
    #[must_use]
    pub fn users_of_app(&self, app: &ShopifyApp) -> Vec<Held<ShopifyToken>> {
        let (namespace, name) = (app.namespace().unwrap_or_default(), app.name_any());
        // There may be thousands, and the labels of their own namespace decide nothing.
        let labels = |t: &ShopifyToken| match t.metadata.namespace.as_deref() {
            Some(place) if place == namespace => Labels::new(),
            place => self.labels(place),
        };
        let mut users = self.tokens_of_app(&namespace, &name);
        users.retain(|t| t.0.as_ref().is_ok_and(|t| is_granted(app, t, &labels(t))));
        let place = |t: &Lenient<ShopifyToken>| {
            let metadata = t.meta();
            (metadata.namespace.as_ref() != Some(&namespace), metadata.namespace.clone(), metadata.name.clone())
        };
        users.sort_by_cached_key(|t| place(t));
        users
    }

    /// The app that a token is issued with, by its own name or by that of its admin token.
    #[must_use]
    pub fn app_above(&self, namespace: &str, token: &str) -> Option<ObjectRef<ShopifyApp>> {
        let named = |token: &Lenient<ShopifyToken>| token.0.as_ref().ok()?.app().map(app_ref);
        let token = self.token(namespace, token)?;
        named(&token).or_else(|| named(&*self.token(namespace, token.0.as_ref().ok()?.admin_token()?)?))
    }

    /// Whether a token may be issued with the app that it names, as far as the watch knows: one that isn't served here, or
    /// can't be read, may grant it.
    #[must_use]
    pub fn may_use_app(&self, token: &ShopifyToken) -> bool {
        let Some((place, name)) = token.app() else { return false };
        let app = self.app(place, name);
        let labels = || self.labels(token.metadata.namespace.as_deref());
        app.is_none_or(|app| app.0.as_ref().map_or(true, |app| is_granted(app, token, &labels())))
    }

    /// The labels of a namespace, as far as the watch knows.
    fn labels(&self, namespace: Option<&str>) -> Labels {
        let kept = self.namespaces.as_ref().zip(namespace).and_then(|(kept, name)| kept.get(&ObjectRef::new(name)));
        kept.and_then(|namespace| namespace.metadata.labels.clone()).unwrap_or_default()
    }

    /// The tokens of a namespace.
    #[must_use]
    pub(in crate::controller) fn refs_of(&self, namespace: &str) -> Vec<ObjectRef<ShopifyToken>> {
        readable(&self.tokens_of(namespace)).map(ObjectRef::from_obj).collect()
    }

    /// Since when a namespace ends, as far as the watch knows: it looks at none where only one is served.
    #[must_use]
    pub(in crate::controller) fn ends_since(&self, namespace: &str) -> Option<Timestamp> {
        let namespace = self.namespaces.as_ref()?.get(&ObjectRef::new(namespace))?;
        namespace.metadata.deletion_timestamp.as_ref().map(time::from_kube)
    }

    /// Whether a token needs an admin token for its revocation, as far as the watch knows.
    #[must_use]
    pub fn needs_token(&self, namespace: &str, name: &str) -> bool {
        readable(&self.tokens_with_admin(namespace, name)).any(keeps_issuer)
    }

    /// Whether a token needs an app for its revocation, as far as the watch knows.
    #[must_use]
    pub fn needs_app(&self, app: &ShopifyApp) -> bool {
        let users = self.users_of_app(app);
        users.iter().any(|t| self.needs_token(&t.namespace().unwrap_or_default(), &t.name_any()))
    }

    /// A token that could be read.
    #[must_use]
    pub fn token(&self, namespace: &str, name: &str) -> Option<Held<ShopifyToken>> {
        self.newest(&ObjectKey::new(namespace, name)).filter(|t| t.0.is_ok())
    }

    /// A token as the watch knows it now, whether it could be read or not.
    #[must_use]
    pub(in crate::controller) fn newest(&self, key: &ObjectKey) -> Option<Held<ShopifyToken>> {
        self.scopes.iter().find_map(|scope| scope.tokens.get(key))
    }

    /// An app, whether it could be read or not.
    #[must_use]
    pub fn app(&self, namespace: &str, name: &str) -> Option<Held<ShopifyApp>> {
        let key = ObjectKey::new(namespace, name);
        self.scopes.iter().find_map(|scope| scope.apps.get(&key))
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

    fn apps_related(&self, relation: &Relation<'_>) -> Vec<Held<ShopifyApp>> {
        self.scopes.iter().flat_map(|scope| scope.apps.related(relation)).collect()
    }

    /// The apps that tokens of a namespace may be issued with, or may have been: its own, and those that grant something.
    #[must_use]
    pub fn apps_for(&self, namespace: &str) -> Vec<Held<ShopifyApp>> {
        let mut apps = self.apps_related(&Relation::Grants);
        apps.retain(|app| app.meta().namespace.as_deref() != Some(namespace));
        apps.extend(self.apps_related(&Relation::Namespace(namespace)));
        apps
    }

    /// The offline tokens of a shop.
    #[must_use]
    pub fn offline_of(&self, shop: &str) -> Vec<Held<ShopifyToken>> {
        self.related(&Relation::Offline(shop))
    }

    /// An older token of this namespace that names the same Secret.
    #[must_use]
    pub fn rival(&self, token: &ShopifyToken) -> Option<String> {
        let age = |t: &ShopifyToken| (t.metadata.creation_timestamp.clone().map(|c| c.0), t.name_any());
        let (here, secret) = (token.namespace().unwrap_or_default(), token.secret_name());
        let tokens = self.related(&Relation::Secret(&here, Cow::Borrowed(secret)));
        readable(&tokens)
            .filter(|t| t.secret_name() == secret && t.name_any() != token.name_any())
            .filter(|t| t.metadata.deletion_timestamp.is_none() && age(t) < age(token))
            .map(ResourceExt::name_any)
            .min()
    }
}

fn readable(tokens: &[Held<ShopifyToken>]) -> impl Iterator<Item = &ShopifyToken> {
    tokens.iter().filter_map(|t| t.0.as_ref().ok())
}

fn app_ref((namespace, name): (&str, &str)) -> ObjectRef<ShopifyApp> {
    ObjectRef::new(name).within(namespace)
}
