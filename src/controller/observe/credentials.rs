//! What a token is issued with: the app, admin token or Secret it names, read live.

mod app;
mod client;
mod offline;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

pub(in crate::controller) use self::app::app_credentials;
use super::{Protected, list::list};
use crate::{
    api::{
        AdminApi, ShopifyApp, ShopifyToken, SourceRef,
        app::NEWEST_API_VERSION,
        source::{AppRef, CustomerAccount, SecretKeyRef},
    },
    controller::{
        context::Context,
        error::{Error, Stop, found},
        watch::api,
    },
    core::{
        condition::is_rejected,
        credential,
        customer::CustomerClient,
        failure::Failure,
        identity::Identity,
        observed::Former,
        record::{self, Record},
        render::content_hash,
        secret::{Held, SecretState, classify},
        source::{AdminToken, App, Issuer, Parent, different_issuers},
        vocabulary::Reason,
    },
};

/// What was found under the references of a token.
pub(super) struct Found {
    /// What it is issued with, or what is missing.
    pub issuer: Result<Issuer, Failure>,
    /// Version of the API that the app asks for; `None` where no app was found.
    pub api_version: Option<String>,
    /// UIDs, generations and hashes of all that was read: when one changes, a back-off ends.
    pub versions: Vec<String>,
    /// What must stay until the token is revoked.
    pub needed: Vec<Protected>,
    /// Whether its admin token is there and is refreshed by itself.
    pub admin_renews: bool,
}

/// Reads what a token is issued with.
///
/// # Errors
/// Of Kubernetes. What is missing or malformed is in the result.
pub(super) async fn find(context: &Context, token: &ShopifyToken, source: SourceRef<'_>) -> Result<Found, Error> {
    let mut search = Search::of(context, token);
    let issuer = match search.issuer(source).await {
        Ok(issuer) => Ok(issuer),
        Err(stop) => Err(stop.failure()?),
    };
    let Search { api_version, versions, needed, admin_renews, .. } = search;
    Ok(Found { issuer, api_version, versions, needed, admin_renews })
}

/// Looks for what created a credential that the spec's admin token can't revoke: the admin token of that name, or an
/// app of the namespace with that client id. One that can't be read now may be it: `waits` says whether there is time to
/// wait for it.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn find_former(
    context: &Context,
    token: &ShopifyToken,
    name: Option<&String>,
    issuer: Option<&str>,
    waits: bool,
) -> Result<Former, Error> {
    let mut unread = None;
    let mut search = Search::of(context, token);
    let tokens: Api<ShopifyToken> = Api::namespaced(context.client(), &search.namespace);
    if let Some(name) = name
        && found(tokens.get_metadata(name).await)?.is_some()
    {
        match search.admin_token(name).await {
            Ok(admin) if different_issuers(issuer, admin.issuer.as_deref()) => {}
            Ok(admin) => return Ok(Former::Ready(Box::new(admin))),
            Err(stop) => return Ok(Former::NotReady(stop.failure()?)),
        }
    }
    for app in list::<ShopifyApp>(&api(context.client(), Some(&search.namespace))).await?.0 {
        match search.app(&app).await {
            Ok((app, api)) if Some(app.client_id.as_str()) == issuer => {
                let version = search.api_version.clone().unwrap_or_else(|| NEWEST_API_VERSION.to_owned());
                let name = name.cloned().unwrap_or_default();
                let issuer = Some(app.client_id.clone());
                return Ok(Former::Ready(Box::new(AdminToken {
                    name,
                    token: None,
                    published: None,
                    expires_at: None,
                    client_secret: None,
                    issuer,
                    app: Some(app),
                    api,
                    version,
                })));
            }
            Ok(_) => {}
            Err(stop) => {
                unread.get_or_insert(stop.failure()?);
            }
        }
    }
    Ok(unread.filter(|_| waits).map_or(Former::Gone, Former::NotReady))
}

fn key_of(secret: &Secret, key: &str) -> Result<SecretString, Failure> {
    let name = secret.name_any();
    match secret.data.as_ref().and_then(|d| d.get(key)) {
        Some(value) => credential::check(&value.0, &format!("key {key:?} of Secret {name:?}")),
        None => Err(Failure::new(Reason::CredentialsMissing, format!("Secret {name:?} has no key {key:?}; add it"))),
    }
}

/// The app that a token names, with its credentials, if the token may use it.
///
/// # Errors
/// A failure where it is missing or malformed, or nothing is granted; else of Kubernetes.
pub(in crate::controller) async fn app_of(
    context: &Context,
    token: &ShopifyToken,
    named: &AppRef,
) -> Result<App, Stop> {
    Ok(Search::of(context, token).app_of(token, named).await?.0)
}

/// The client that a token names, without its session.
///
/// # Errors
/// A failure where it is missing or malformed; else of Kubernetes.
pub(in crate::controller) async fn client_of(
    context: &Context,
    token: &ShopifyToken,
    source: &CustomerAccount,
) -> Result<CustomerClient, Stop> {
    Search::of(context, token).client(source).await
}

/// Follows the references of a token, and notes what it comes by.
struct Search<'a> {
    context: &'a Context,
    token: &'a ShopifyToken,
    namespace: String,
    api_version: Option<String>,
    versions: Vec<String>,
    needed: Vec<Protected>,
    admin_renews: bool,
}

impl<'a> Search<'a> {
    fn of(context: &'a Context, token: &'a ShopifyToken) -> Self {
        let namespace = token.namespace().unwrap_or_default();
        Self {
            context,
            token,
            namespace,
            api_version: None,
            versions: Vec::new(),
            needed: Vec::new(),
            admin_renews: false,
        }
    }

    async fn issuer(&mut self, source: SourceRef<'_>) -> Result<Issuer, Stop> {
        match source {
            SourceRef::ClientCredentials(s) => {
                Ok(Issuer::ClientCredentials(self.app_of(self.token, &s.app_ref).await?.0))
            }
            SourceRef::Storefront(s) => Ok(Issuer::Storefront(self.admin_token(&s.admin_token_ref.name).await?)),
            SourceRef::Custom(s) => Ok(Issuer::Custom(self.supplied(&s.token_ref).await?)),
            SourceRef::Delegate(s) => Ok(Issuer::Delegate(Parent {
                admin: self.admin_token(&s.admin_token_ref.name).await?,
                scopes: s.scopes.clone(),
                lifetime: s.lifetime(),
            })),
            SourceRef::Offline(s) => Ok(Issuer::Offline(self.offline(s).await?)),
            SourceRef::CustomerAccount(s) => Ok(Issuer::CustomerAccount(self.client_with_session(s).await?)),
        }
    }

    async fn supplied(&mut self, reference: &SecretKeyRef) -> Result<SecretString, Stop> {
        let namespace = self.namespace.clone();
        let secret = self.secret("secret", &namespace, &reference.name).await?.ok_or_else(|| {
            let (name, key) = (&reference.name, &reference.key);
            let message = format!("Secret {name:?} isn't there yet; make it with the token under key {key:?}");
            Failure::new(Reason::CredentialsMissing, message)
        })?;
        self.needed.push(Protected::secret(&secret));
        Ok(key_of(&secret, &reference.key)?)
    }

    async fn admin_token(&mut self, name: &str) -> Result<AdminToken, Stop> {
        let not_ready = |what: String| Failure::new(Reason::AdminTokenNotReady, what);
        let admin: ShopifyToken = self.object(&self.namespace, name).await?.ok_or_else(|| {
            not_ready(format!("ShopifyToken {name:?} (adminTokenRef) isn't there yet; it goes on as soon as it is"))
        })?;
        self.saw("token", &admin);
        self.needed.push(Protected::token(&admin));
        if admin.spec.shop != self.token.spec.shop {
            let message = format!(
                "adminTokenRef {name:?} is a token of {}, and can't manage tokens of {}; name one of the same shop",
                admin.spec.shop, self.token.spec.shop
            );
            return Err(Failure::new(Reason::ShopNotPermitted, message).into());
        }
        let origin = self.origin(&admin).await?;
        let published = match self.published(&admin).await {
            Ok(value) => Ok(value),
            Err(stop) => Err(stop.failure()?),
        };
        // To revoke, a token that is issued for it alone will do, or the one the person supplied.
        let deleting = self.token.metadata.deletion_timestamp.is_some();
        let (token, record, issuer) = match (published, &origin) {
            (Ok((value, record)), _) => {
                let issuer = record.issuer.clone();
                (Some(value), Some(record), issuer)
            }
            (Err(_), Origin { app: Some(app), .. }) if deleting => (None, None, Some(app.client_id.clone())),
            (Err(_), Origin { supplied: Some(value), .. }) if deleting => (Some(value.clone()), None, None),
            // What can't be read may be mended: the admin token itself isn't what is missing.
            (Err(failure), Origin { unusable, .. }) => return Err(unusable.clone().unwrap_or(failure).into()),
        };
        // Its Secret may name another app by now, which is about to issue the next one.
        let app = origin.app.filter(|app| issuer.as_ref().is_none_or(|issuer| *issuer == app.client_id));
        let version = self.api_version.clone().unwrap_or_else(|| NEWEST_API_VERSION.to_owned());
        let published = record.as_ref().map(|r| record::Parent { revision: r.revision, issued_at: Some(r.issued_at) });
        let expires_at = record.as_ref().and_then(|r| r.expires_at);
        let client_secret = record.and_then(|r| r.client_secret);
        let (name, api) = (name.to_owned(), origin.api);
        Ok(AdminToken { name, token, published, expires_at, client_secret, issuer, app, api, version })
    }

    /// What an admin token is issued with itself. What is missing there is its own affair, as long as it is alive.
    async fn origin(&mut self, admin: &ShopifyToken) -> Result<Origin, Stop> {
        match admin.spec.source() {
            Some(SourceRef::ClientCredentials(source)) => match self.app_of(admin, &source.app_ref).await {
                Ok((app, api)) => Ok(Origin { app: Some(app), api, ..Origin::default() }),
                Err(stop) => {
                    let failure = stop.failure()?;
                    let deleting = self.token.metadata.deletion_timestamp.is_some();
                    // The admin token tells that a grant is missing, until that is why nothing can be revoked.
                    let unusable = if failure.reason == Reason::NotGranted && deleting {
                        let message = format!("of ShopifyToken {:?} {}", admin.name_any(), failure.message);
                        Some(Failure { message, ..failure })
                    } else {
                        Some(failure).filter(|f| f.reason == Reason::DependencyInvalid)
                    };
                    Ok(Origin { unusable, ..Origin::default() })
                }
            },
            Some(SourceRef::Custom(source)) => match self.supplied(&source.token_ref).await {
                Ok(value) => Ok(Origin { supplied: Some(value), ..Origin::default() }),
                Err(stop) => stop.failure().map(|_| Origin::default()).map_err(Stop::from),
            },
            Some(SourceRef::Offline(_)) => {
                self.admin_renews = true;
                Ok(Origin::default())
            }
            None => {
                let message = format!(
                    "ShopifyToken {:?} (adminTokenRef) names none or several of the six sources; apply it anew, or install the operator's version that wrote it",
                    admin.name_any()
                );
                Err(Failure::new(Reason::DependencyInvalid, message).into())
            }
            Some(SourceRef::Storefront(_) | SourceRef::Delegate(_) | SourceRef::CustomerAccount(_)) => {
                let message = format!(
                    "adminTokenRef {:?} isn't an Admin API token; name a ShopifyToken with source clientCredentials, offline or custom",
                    admin.name_any()
                );
                Err(Failure::new(Reason::InvalidCredential, message).into())
            }
        }
    }

    /// The credential in another token's Secret, if it is there, whole and alive, and its record.
    async fn published(&mut self, admin: &ShopifyToken) -> Result<(SecretString, Record), Stop> {
        let namespace = self.namespace.clone();
        let live = self.secret("admin", &namespace, admin.secret_name()).await?;
        let name = admin.name_any();
        let not_ready = |what: &str| {
            let message = format!(
                "ShopifyToken {name:?} (adminTokenRef) {what}; it goes on as soon as that one is Ready: kubectl describe stok {name}"
            );
            Stop::from(Failure::new(Reason::AdminTokenNotReady, message))
        };
        let state = Identity::of(admin).map(|identity| classify(admin, &identity, live));
        let Some(SecretState::Ours(mut held)) = state else { return Err(not_ready("hasn't published a token yet")) };
        held.read(None);
        let Held { record: Some(record), value: Some(value), .. } = *held else {
            return Err(not_ready("has a Secret that is being restored"));
        };
        if record.expires_at.is_some_and(|at| at <= self.context.now()) {
            return Err(not_ready("has an expired token"));
        }
        if admin.status.as_ref().is_some_and(|s| s.revision == Some(record.revision) && is_rejected(s)) {
            return Err(not_ready("has a token that Shopify refuses"));
        }
        Ok((value, record))
    }

    /// Reads an object of ours. One that doesn't fit its type is a failure of those that name it.
    async fn object<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Stop>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let objects: Api<DeserializeGuard<K>> = Api::namespaced(self.context.client(), namespace);
        match found(objects.get(name).await)? {
            None => Ok(None),
            Some(DeserializeGuard(Ok(object))) => Ok(Some(object)),
            Some(DeserializeGuard(Err(invalid))) => {
                let message = format!(
                    "{} {name:?} doesn't fit its type ({}); apply it anew, or install the operator's version that wrote it",
                    K::kind(&()),
                    invalid.error
                );
                Err(Failure::new(Reason::DependencyInvalid, message).into())
            }
        }
    }

    /// Reads a Secret. What counts is the data: a finalizer or label of it ends no back-off.
    async fn secret(&mut self, role: &str, namespace: &str, name: &str) -> Result<Option<Secret>, kube::Error> {
        let secret = self.own_secret(namespace, name).await?;
        if let Some(secret) = &secret {
            let (uid, data) = (secret.uid().unwrap_or_default(), secret.data.clone().unwrap_or_default());
            self.versions.push(format!("{role}/{uid}/{}", content_hash(&uid, &data, data.keys())));
        }
        Ok(secret)
    }

    /// Reads a Secret that the operator writes itself: its own writes end no back-off.
    async fn own_secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, kube::Error> {
        let secrets: Api<Secret> = Api::namespaced(self.context.client(), namespace);
        found(secrets.get(name).await)
    }

    fn saw(&mut self, role: &str, object: &impl ResourceExt) {
        let generation = object.meta().generation.unwrap_or_default();
        self.versions.push(format!("{role}/{}/{generation}", object.uid().unwrap_or_default()));
    }
}

/// What an admin token is issued with itself.
#[derive(Default)]
struct Origin {
    app: Option<App>,
    api: AdminApi,
    supplied: Option<SecretString>,
    /// Its app doesn't fit its type, or grants nothing to what is to be revoked with it.
    unusable: Option<Failure>,
}
