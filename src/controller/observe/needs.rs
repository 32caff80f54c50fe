//! Who needs what for its revocation: live lists, without the instance's selector.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    abroad::{Neighbour, neighbours},
    list::list,
};
use crate::{
    api::{ShopifyApp, ShopifyToken, SourceRef},
    controller::{context::Context, watch::api},
    core::{
        finalizer::{has_finalizer, keeps_issuer, needs_finalizer},
        grant::is_granted,
        identity::Identity,
        source::nature,
    },
};

/// An object that must stay until a token is revoked, as observed.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Protected {
    /// Its kind.
    pub kind: ProtectedKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Option<String>,
    /// Whether it has our finalizer.
    pub has: bool,
    /// Whether it needs it for itself.
    pub for_itself: bool,
    deleting: bool,
}

/// Kind of an object that can be protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::controller) enum ProtectedKind {
    /// A ShopifyToken.
    Token,
    /// A ShopifyApp.
    App,
    /// A Secret with credentials.
    Secret,
}

impl Protected {
    fn new(kind: ProtectedKind, object: &impl ResourceExt) -> Self {
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid(),
            has: has_finalizer(object),
            for_itself: false,
            deleting: object.meta().deletion_timestamp.is_some(),
        }
    }

    /// A ShopifyToken.
    #[must_use]
    pub(in crate::controller) fn token(token: &ShopifyToken) -> Self {
        let kind = token.spec.source().map(SourceRef::kind);
        let for_itself = kind.is_some_and(|kind| needs_finalizer(token, kind));
        Self { for_itself, ..Self::new(ProtectedKind::Token, token) }
    }

    /// A ShopifyApp.
    #[must_use]
    pub(in crate::controller) fn app(app: &ShopifyApp) -> Self {
        Self::new(ProtectedKind::App, app)
    }

    /// A Secret with credentials.
    #[must_use]
    pub(in crate::controller) fn secret(secret: &Secret) -> Self {
        Self::new(ProtectedKind::Secret, secret)
    }

    /// What a token is told of it: of another namespace no more than the token names itself.
    #[must_use]
    pub(in crate::controller) fn told_to(&self, token: &Identity) -> String {
        match self.kind {
            ProtectedKind::Token => format!("ShopifyToken {:?}", self.name),
            ProtectedKind::App => format!("ShopifyApp {:?}", self.name),
            ProtectedKind::Secret if self.namespace == token.namespace => format!("Secret {:?}", self.name),
            ProtectedKind::Secret => "the Secret of its ShopifyApp".to_owned(),
        }
    }

    /// Whether it lacks the finalizer and can still be given it: Kubernetes adds none to an object that is being deleted.
    #[must_use]
    pub(in crate::controller) const fn unprotected(&self) -> bool {
        !self.has && !self.deleting
    }
}

/// Who needs what of a namespace.
pub(in crate::controller) struct Needs {
    namespace: String,
    tokens: Vec<ShopifyToken>,
    apps: Vec<ShopifyApp>,
    /// Names of apps that don't fit their type: nobody knows which Secret they read, or what they grant.
    unreadable_apps: Vec<String>,
    /// Other namespaces, where an app may be granted to their tokens.
    neighbours: BTreeMap<String, Neighbour>,
}

impl Needs {
    /// Lists a namespace: enough for a token of it, which none of another can name.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn of(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        let (tokens, _) = list(&api(context.client(), Some(namespace))).await?;
        let (apps, unreadable_apps) = list(&api(context.client(), Some(namespace))).await?;
        Ok(Self { namespace: namespace.to_owned(), tokens, apps, unreadable_apps, neighbours: BTreeMap::new() })
    }

    /// Lists besides, where an app of the namespace grants something, the tokens of all others.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn from_anywhere(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        let mut needs = Self::of(context, namespace).await?;
        if needs.apps.iter().any(|app| !app.spec.grants.is_empty()) {
            needs.neighbours = neighbours(context, namespace).await?;
        }
        Ok(needs)
    }

    /// The same without a token: who needs what once that one is gone.
    #[must_use]
    pub(in crate::controller) fn without(mut self, gone: &Identity) -> Self {
        let stays = |token: &ShopifyToken| token.metadata.uid.as_ref() != Some(&gone.uid);
        self.tokens.retain(stays);
        self.neighbours.values_mut().for_each(|neighbour| neighbour.tokens.retain(stays));
        self
    }

    /// Whether an object is needed for a revocation.
    pub(in crate::controller) fn object(&self, object: &Protected) -> bool {
        match object.kind {
            ProtectedKind::Token => object.for_itself || !self.token(&object.name).is_empty(),
            ProtectedKind::App => !self.app(&object.name).is_empty(),
            ProtectedKind::Secret => !self.secret(&object.name).is_empty(),
        }
    }

    /// The tokens that need an admin token for their revocation.
    pub(in crate::controller) fn token(&self, name: &str) -> Vec<String> {
        below(&self.tokens, name)
    }

    /// The tokens that need an app, through their admin token; `namespace/name` for those of another namespace, which
    /// count for as long as a grant covers their admin token: without one the app may not be used, nor held.
    pub(in crate::controller) fn app(&self, name: &str) -> Vec<String> {
        let names = |t: &&ShopifyToken| t.app() == Some((&self.namespace, name));
        let own = self.tokens.iter().filter(names).flat_map(|t| self.token(&t.name_any()));
        let app = self.apps.iter().find(|app| app.name_any() == name);
        let granted = app.into_iter().flat_map(|app| {
            self.neighbours.iter().flat_map(move |(place, Neighbour { tokens, labels })| {
                let granted = tokens.iter().filter(names).filter(move |t| is_granted(app, t, labels));
                let needing = granted.flat_map(|t| below(tokens, &t.name_any()));
                needing.map(move |name| format!("{place}/{name}"))
            })
        });
        own.chain(granted).collect()
    }

    /// The tokens that need a Secret: as credentials of their app, or because their admin token is read from there.
    pub(in crate::controller) fn secret(&self, name: &str) -> Vec<String> {
        let reads =
            |t: &&ShopifyToken| matches!(t.spec.source(), Some(SourceRef::Custom(c)) if c.token_ref.name == name);
        let apps = self.apps.iter().filter(|a| a.spec.credentials_ref.name == name).map(ResourceExt::name_any);
        let apps = apps.chain(self.unreadable_apps.iter().cloned()).flat_map(|app| self.app(&app));
        let tokens = self.tokens.iter().filter(reads).flat_map(|t| self.token(&t.name_any()));
        let all: BTreeSet<String> = apps.chain(tokens).collect();
        all.into_iter().collect()
    }
}

/// The tokens of a namespace that need one of them as their admin token.
fn below(tokens: &[ShopifyToken], name: &str) -> Vec<String> {
    // A token that can't be anybody's admin token is needed by nobody: two that name each other would wait for ever.
    let token = tokens.iter().find(|t| t.name_any() == name);
    let is_admin = |t: &ShopifyToken| t.spec.source().is_some_and(|s| nature(s.kind()).is_admin);
    if !token.is_none_or(is_admin) {
        return Vec::new();
    }
    let needs = |t: &&ShopifyToken| keeps_issuer(t) && t.admin_token() == Some(name);
    tokens.iter().filter(needs).map(ResourceExt::name_any).collect()
}
