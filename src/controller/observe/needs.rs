//! Who needs what for its revocation: live lists of a namespace, without the instance's selector.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, NamespaceResourceScope},
};
use serde::de::DeserializeOwned;

use crate::{
    api::{ShopifyApp, ShopifyToken, SourceRef},
    controller::context::Context,
    core::{
        finalizer::{has_finalizer, needs_finalizer},
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

    /// Whether it lacks the finalizer and can still be given it: Kubernetes adds none to an object that is being deleted.
    #[must_use]
    pub(in crate::controller) const fn unprotected(&self) -> bool {
        !self.has && !self.deleting
    }
}

/// Who needs what in a namespace.
pub(in crate::controller) struct Needs {
    namespace: String,
    tokens: Vec<ShopifyToken>,
    apps: Vec<ShopifyApp>,
    /// Names of apps that don't fit their type: nobody knows which Secret they read.
    unreadable_apps: Vec<String>,
}

impl Needs {
    /// Lists a namespace.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn of(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        let (tokens, _) = list(context, namespace).await?;
        let (apps, unreadable_apps) = list(context, namespace).await?;
        Ok(Self { namespace: namespace.to_owned(), tokens, apps, unreadable_apps })
    }

    /// The same without a token: who needs what once that one is gone.
    #[must_use]
    pub(in crate::controller) fn without(mut self, name: &str) -> Self {
        self.tokens.retain(|token| token.name_any() != name);
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
        // A token that can't be anybody's admin token is needed by nobody: two that name each other would wait for ever.
        let token = self.tokens.iter().find(|t| t.name_any() == name);
        let is_admin = |t: &ShopifyToken| t.spec.source().is_some_and(|s| nature(s.kind()).is_admin);
        if !token.is_none_or(is_admin) {
            return Vec::new();
        }
        let needs = |t: &&ShopifyToken| has_finalizer(*t) && t.admin_token() == Some(name);
        self.tokens.iter().filter(needs).map(ResourceExt::name_any).collect()
    }

    /// The tokens that need an app, through their admin token.
    pub(in crate::controller) fn app(&self, name: &str) -> Vec<String> {
        let admins = self.tokens.iter().filter(|t| t.app() == Some((&self.namespace, name)));
        admins.flat_map(|t| self.token(&t.name_any())).collect()
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

/// Lists a kind of a namespace, and the names of what doesn't fit its type.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn list<K>(context: &Context, namespace: &str) -> Result<(Vec<K>, Vec<String>), kube::Error>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(context.client(), namespace);
    let list = api.list(&ListParams::default()).await?;
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for object in list.items {
        match object.0 {
            Ok(object) => readable.push(object),
            Err(invalid) => unreadable.push(invalid.metadata.name.unwrap_or_default()),
        }
    }
    Ok((readable, unreadable))
}
