//! Who needs what for its revocation: live lists of a namespace, without the instance's selector.

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
    tokens: Vec<ShopifyToken>,
    apps: Vec<ShopifyApp>,
}

impl Needs {
    /// Lists a namespace.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn of(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        Ok(Self { tokens: list(context, namespace).await?, apps: list(context, namespace).await? })
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
            ProtectedKind::Secret => self.secret(&object.name),
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
        let admins = self.tokens.iter().filter(|t| t.app() == Some(name));
        admins.flat_map(|t| self.token(&t.name_any())).collect()
    }

    /// Whether a token needs a Secret: as credentials of its app, or because its admin token is read from there.
    pub(in crate::controller) fn secret(&self, name: &str) -> bool {
        let reads =
            |t: &&ShopifyToken| matches!(t.spec.source(), Some(SourceRef::Custom(c)) if c.token_ref.name == name);
        let mut apps = self.apps.iter().filter(|a| a.spec.credentials_ref.name == name);
        apps.any(|a| !self.app(&a.name_any()).is_empty())
            || self.tokens.iter().filter(reads).any(|t| !self.token(&t.name_any()).is_empty())
    }
}

/// Lists a kind of a namespace, what fits no type left out.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn list<K>(context: &Context, namespace: &str) -> Result<Vec<K>, kube::Error>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(context.client(), namespace);
    let list = api.list(&ListParams::default()).await?;
    Ok(list.items.into_iter().filter_map(|object| object.0.ok()).collect())
}
