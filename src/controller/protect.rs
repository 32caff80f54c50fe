//! The finalizer `tokens.shopify-operator.dev/in-use`: keeps what a revocation needs until it is done.
//!
//! In the manner of `kubernetes.io/pvc-protection`: put on before the first create at Shopify, put
//! back when a tool strips it, and taken off only after a live list finds nobody who needs the object.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    context::Context,
    error::found,
    stores::{admin, uses_app},
};
use crate::{
    api::{ShopifyApp, ShopifyToken, SourceRef},
    core::vocabulary::{FINALIZER, OPERATOR},
};

/// An object that must stay until a token is revoked, as observed.
#[derive(Clone, Debug)]
pub(super) struct Protected {
    kind: Kind,
    namespace: String,
    name: String,
    uid: Option<String>,
    has: bool,
    deleting: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Token,
    App,
    Secret,
}

impl Protected {
    fn new<K: ResourceExt>(kind: Kind, object: &K) -> Self {
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid(),
            has: has_finalizer(object),
            deleting: object.meta().deletion_timestamp.is_some(),
        }
    }

    /// A ShopifyToken.
    #[must_use]
    pub(super) fn token(token: &ShopifyToken) -> Self {
        Self::new(Kind::Token, token)
    }

    /// A ShopifyApp.
    #[must_use]
    pub(super) fn app(app: &ShopifyApp) -> Self {
        Self::new(Kind::App, app)
    }

    /// A Secret with credentials.
    #[must_use]
    pub(super) fn secret(secret: &Secret) -> Self {
        Self::new(Kind::Secret, secret)
    }

    /// Whether it lacks the finalizer and can still be given it: Kubernetes adds none to an object that is being deleted.
    #[must_use]
    pub(super) fn unprotected(&self) -> bool {
        !self.has && !self.deleting
    }

    /// Whether it is this object.
    #[must_use]
    pub(super) fn is(&self, object: &ShopifyToken) -> bool {
        matches!(self.kind, Kind::Token) && self.uid == object.uid()
    }

    /// Puts the finalizer on. Says whether it is on: not if the object goes, or another one has its name.
    ///
    /// # Errors
    /// Of Kubernetes, a conflict among them.
    pub(super) async fn protect(&self, context: &Context) -> Result<bool, kube::Error> {
        let uid = self.uid.as_deref();
        match self.kind {
            Kind::Token => set::<ShopifyToken>(context, &self.namespace, &self.name, uid, true).await,
            Kind::App => set::<ShopifyApp>(context, &self.namespace, &self.name, uid, true).await,
            Kind::Secret => set::<Secret>(context, &self.namespace, &self.name, uid, true).await,
        }
    }
}

/// Whether an object has our finalizer.
pub(super) fn has_finalizer<K: ResourceExt>(object: &K) -> bool {
    object.finalizers().iter().any(|f| f == FINALIZER)
}

/// Puts the finalizer on, or takes it off, on top of the version just read. Says whether that is how it is.
async fn set<K>(
    context: &Context,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    on: bool,
) -> Result<bool, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let metadata: Api<PartialObjectMeta<K>> = Api::namespaced(context.client(), namespace);
    let Some(object) = found(metadata.get(name).await)? else { return Ok(!on) };
    if uid.is_some() && object.metadata.uid.as_deref() != uid {
        return Ok(!on);
    }
    if has_finalizer(&object) == on {
        return Ok(true);
    }
    if on && object.metadata.deletion_timestamp.is_some() {
        return Ok(false);
    }
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    if on {
        finalizers.push(FINALIZER.to_owned());
    } else {
        finalizers.retain(|f| f != FINALIZER);
    }
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers } });
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    Ok(found(metadata.patch(name, &parameters, &Patch::Merge(patch)).await)?.is_some() || !on)
}

/// Takes the finalizer off an object.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn release<K>(context: &Context, namespace: &str, name: &str) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    set::<K>(context, namespace, name, None, false).await.map(drop)
}

/// Takes the finalizer off a ShopifyToken.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn release_token(context: &Context, token: &ShopifyToken) -> Result<(), kube::Error> {
    set::<ShopifyToken>(
        context,
        &token.namespace().unwrap_or_default(),
        &token.name_any(),
        token.uid().as_deref(),
        false,
    )
    .await
    .map(drop)
}

/// Takes the finalizer off a ShopifyApp.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn release_app(context: &Context, app: &ShopifyApp) -> Result<(), kube::Error> {
    set::<ShopifyApp>(context, &app.namespace().unwrap_or_default(), &app.name_any(), app.uid().as_deref(), false)
        .await
        .map(drop)
}

/// Who needs what in a namespace: live lists, without the instance's selector.
pub(super) struct Needs {
    tokens: Vec<ShopifyToken>,
    apps: Vec<ShopifyApp>,
}

impl Needs {
    /// Lists a namespace.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(super) async fn of(context: &Context, namespace: &str) -> Result<Self, kube::Error> {
        Ok(Self { tokens: list(context, namespace).await?, apps: list(context, namespace).await? })
    }

    /// The tokens that need an admin token for their revocation.
    pub(super) fn token(&self, name: &str) -> Vec<String> {
        // A token that can't be anybody's admin token is needed by nobody: two that name each other would wait for ever.
        let token = self.tokens.iter().find(|t| t.name_any() == name);
        if !token.is_none_or(is_admin_token) {
            return Vec::new();
        }
        let needs = |t: &&ShopifyToken| has_finalizer(*t) && admin(t) == Some(name);
        self.tokens.iter().filter(needs).map(ResourceExt::name_any).collect()
    }

    /// The tokens that need an app, through their admin token.
    pub(super) fn app(&self, name: &str) -> Vec<String> {
        let admins = self.tokens.iter().filter(|t| uses_app(t, name));
        admins.flat_map(|t| self.token(&t.name_any())).collect()
    }

    /// Whether a token needs a Secret: as credentials of its app, or because its admin token is read from there.
    pub(super) fn secret(&self, name: &str) -> bool {
        let reads =
            |t: &&ShopifyToken| matches!(t.spec.source(), Some(SourceRef::Custom(c)) if c.token_ref.name == name);
        let mut apps = self.apps.iter().filter(|a| a.spec.credentials_ref.name == name);
        apps.any(|a| !self.app(&a.name_any()).is_empty())
            || self.tokens.iter().filter(reads).any(|t| !self.token(&t.name_any()).is_empty())
    }
}

fn is_admin_token(token: &ShopifyToken) -> bool {
    use SourceRef::{ClientCredentials, Custom, Offline};
    matches!(token.spec.source(), Some(ClientCredentials(_) | Offline(_) | Custom(_)))
}

/// Takes the finalizer off a Secret with credentials, if nobody needs it any more.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn release_secret(context: &Context, namespace: &str, name: &str) -> Result<(), kube::Error> {
    if Needs::of(context, namespace).await?.secret(name) {
        return Ok(());
    }
    release::<Secret>(context, namespace, name).await
}

/// Takes the finalizer off the Secret that a person fills for a custom token, if nobody needs it any more.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn release_custom_secret(context: &Context, token: &ShopifyToken) -> Result<(), kube::Error> {
    let Some(SourceRef::Custom(source)) = token.spec.source() else { return Ok(()) };
    release_secret(context, &token.namespace().unwrap_or_default(), &source.token_ref.name).await
}

async fn list<K>(context: &Context, namespace: &str) -> Result<Vec<K>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(context.client(), namespace);
    let list = api.list(&ListParams::default()).await?;
    Ok(list.items.into_iter().filter_map(|object| object.0.ok()).collect())
}
