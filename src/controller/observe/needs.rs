//! Who needs what for its revocation: live lists, without the instance's selector, shared by all that ask at a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    abroad::neighbours,
    list::{list, list_pruned},
};
use crate::{
    api::{ShopifyApp, ShopifyToken, SourceRef},
    controller::{
        context::Context,
        listed::{Listed, Neighbour, no_more_than_needed},
        watch::api,
    },
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
    /// The version that was observed, and its finalizers.
    pub version: (Option<String>, Vec<String>),
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
            version: (object.resource_version(), object.finalizers().to_vec()),
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
    listed: Arc<Listed>,
    /// Other namespaces, where an app may be granted to their tokens.
    neighbours: Arc<BTreeMap<String, Neighbour>>,
    /// The UID of a token that doesn't count any more.
    gone: Option<String>,
}

async fn listed(context: &Context, namespace: &str) -> Result<Listed, kube::Error> {
    let (tokens, _) = list_pruned(&api(context.client(), Some(namespace)), no_more_than_needed).await?;
    let (apps, unreadable_apps) = list(&api(context.client(), Some(namespace))).await?;
    Ok(Listed { tokens, apps, unreadable_apps })
}

impl Needs {
    /// Lists a namespace: enough for a token of it, which none of another can name.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn of(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        let listed = context.lists.get(namespace, async || listed(context, namespace).await).await?;
        Ok(Self { namespace: namespace.to_owned(), listed, neighbours: Arc::default(), gone: None })
    }

    /// Lists besides, where an app of the namespace grants something, the tokens of all others.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn from_anywhere(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        let mut needs = Self::of(context, namespace).await?;
        if needs.listed.apps.iter().any(|app| !app.spec.grants.is_empty()) {
            let listed = async || neighbours(context, namespace).await;
            needs.neighbours = context.neighbours.get(namespace, listed).await?;
        }
        Ok(needs)
    }

    /// The same without a token: who needs what once that one is gone.
    #[must_use]
    pub(in crate::controller) fn without(mut self, gone: &Identity) -> Self {
        self.gone = Some(gone.uid.clone());
        self
    }

    fn counts(&self, token: &ShopifyToken) -> bool {
        self.gone.is_none() || token.metadata.uid != self.gone
    }

    /// The tokens of a namespace that need one of them as their admin token.
    fn below(&self, tokens: &[ShopifyToken], name: &str) -> Vec<String> {
        // A token that can't be anybody's admin token is needed by nobody: two that name each other would wait for ever.
        let token = tokens.iter().find(|t| t.name_any() == name && self.counts(t));
        let is_admin = |t: &ShopifyToken| t.spec.source().is_some_and(|s| nature(s.kind()).is_admin);
        if !token.is_none_or(is_admin) {
            return Vec::new();
        }
        let needs = |t: &&ShopifyToken| keeps_issuer(t) && t.admin_token() == Some(name) && self.counts(t);
        tokens.iter().filter(needs).map(ResourceExt::name_any).collect()
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
        self.below(&self.listed.tokens, name)
    }

    /// The tokens that need an app, through their admin token; `namespace/name` for those of another namespace, which
    /// count for as long as a grant covers their admin token: without one the app may not be used, nor held.
    pub(in crate::controller) fn app(&self, name: &str) -> Vec<String> {
        let names = |t: &&ShopifyToken| t.app() == Some((&self.namespace, name)) && self.counts(t);
        let own = self.listed.tokens.iter().filter(names).flat_map(|t| self.token(&t.name_any()));
        let app = self.listed.apps.iter().find(|app| app.name_any() == name);
        let granted = app.into_iter().flat_map(|app| {
            self.neighbours.iter().flat_map(move |(place, Neighbour { tokens, labels })| {
                let granted = tokens.iter().filter(names).filter(move |t| is_granted(app, t, labels));
                let needing = granted.flat_map(|t| self.below(tokens, &t.name_any()));
                needing.map(move |name| format!("{place}/{name}"))
            })
        });
        own.chain(granted).collect()
    }

    /// The tokens that need a Secret: as credentials of their app, or because their admin token is read, or refreshed, from
    /// there.
    pub(in crate::controller) fn secret(&self, name: &str) -> Vec<String> {
        let reads = |t: &&ShopifyToken| match t.spec.source() {
            Some(SourceRef::Custom(source)) => source.token_ref.name == name,
            Some(SourceRef::Offline(_)) => t.record_secret().as_deref() == Some(name),
            Some(
                SourceRef::ClientCredentials(_)
                | SourceRef::Storefront(_)
                | SourceRef::Delegate(_)
                | SourceRef::CustomerAccount(_),
            )
            | None => false,
        };
        let Listed { tokens, apps, unreadable_apps } = &*self.listed;
        let apps = apps.iter().filter(|a| a.spec.credentials_ref.name == name).map(ResourceExt::name_any);
        let apps = apps.chain(unreadable_apps.iter().cloned()).flat_map(|app| self.app(&app));
        let tokens = tokens.iter().filter(|t| self.counts(t)).filter(reads).flat_map(|t| self.token(&t.name_any()));
        let all: BTreeSet<String> = apps.chain(tokens).collect();
        all.into_iter().collect()
    }
}
