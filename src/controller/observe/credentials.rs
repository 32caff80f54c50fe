//! What a token is issued with: the app, admin token or Secret it names, as the watches know them or read live.

mod admin;
mod app;
mod client;
mod offline;
mod unread;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource, ResourceExt, core::NamespaceResourceScope};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

pub(in crate::controller) use self::app::app_credentials;
pub(super) use self::unread::known;
use super::{Protected, list::list};
use crate::{
    api::{
        ShopifyApp, ShopifyToken, SourceRef,
        app::NEWEST_API_VERSION,
        source::{AppRef, CustomerAccount, SecretKeyRef},
    },
    controller::{
        context::Context,
        error::{Error, Stop, found},
        watch::api,
    },
    core::{
        credential,
        customer::CustomerClient,
        failure::Failure,
        identity::Identity,
        observed::Former,
        render::content_hash,
        source::{AdminToken, App, Issuer, Parent, different_issuers},
        version::Version,
        vocabulary::{REQUESTED_AT, ROTATE_AT, Reason},
    },
    kubernetes::Lenient,
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
    /// The version of the Secret that a person has filled for it.
    pub filled: Option<Version>,
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
    Ok(search.found(issuer))
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
                    issued_at: None,
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
    /// Whether nothing counts but what is there this very moment: a person or pipeline asks, or it went wrong with what was
    /// there before.
    afresh: bool,
    admin_renews: bool,
    filled: Option<Version>,
    /// Whether what the watch of Secrets tells of other tokens will do: nothing is decided but that nothing is to be done.
    glances: bool,
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
            afresh: asks(token),
            admin_renews: false,
            filled: None,
            glances: false,
        }
    }

    fn found(self, issuer: Result<Issuer, Failure>) -> Found {
        let Self { api_version, versions, needed, admin_renews, filled, .. } = self;
        Found { issuer, api_version, versions, needed, admin_renews, filled }
    }

    fn me(&self) -> Result<Identity, Error> {
        Identity::of(self.token).ok_or_else(|| Error::Invalid("it has no namespace, name or UID".to_owned()))
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
        self.filled = Version::of(&*secret);
        Ok(key_of(&secret, &reference.key)?)
    }

    /// Whether what the watch has of a kind counts.
    fn watched<K: Resource<DynamicType = ()>>(&self, namespace: &str) -> bool {
        !self.afresh && self.context.stands::<K>(namespace)
    }

    /// Reads an object of ours. One that doesn't fit its type is a failure of those that name it.
    async fn object<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Stop>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let objects: Api<Lenient<K>> = Api::namespaced(self.context.client(), namespace);
        match found(objects.get(name).await)? {
            None => Ok(None),
            Some(Lenient(Ok(object))) => Ok(Some(object)),
            Some(Lenient(Err(invalid))) => {
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
    async fn secret(&mut self, role: &str, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>, kube::Error> {
        let secret = if self.afresh {
            self.live_secret(namespace, name).await?.map(Arc::new)
        } else {
            self.context.shared_secret(namespace, name).await?
        };
        if let Some(secret) = &secret {
            let (uid, data) = (secret.uid().unwrap_or_default(), secret.data.clone().unwrap_or_default());
            self.versions.push(format!("{role}/{uid}/{}", content_hash(&uid, &data, data.keys())));
        }
        Ok(secret)
    }

    /// Reads a Secret as it is this very moment, and takes no note of it: of one that the operator writes itself its own writes
    /// end no back-off.
    async fn live_secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, kube::Error> {
        let secrets: Api<Secret> = Api::namespaced(self.context.client(), namespace);
        found(secrets.get(name).await)
    }

    fn saw(&mut self, role: &str, object: &impl ResourceExt) {
        let generation = object.meta().generation.unwrap_or_default();
        self.versions.push(format!("{role}/{}/{generation}", object.uid().unwrap_or_default()));
    }
}

/// Whether a token wants something that its status doesn't speak of yet, or something of it went wrong.
pub(super) fn asks(token: &ShopifyToken) -> bool {
    let Some(status) = &token.status else { return false };
    let annotation = |name: &str| token.annotations().get(name);
    status.failed_attempts.is_some()
        || annotation(REQUESTED_AT).is_some_and(|at| status.last_handled_reconcile_at.as_deref() != Some(at))
        || annotation(ROTATE_AT).is_some_and(|at| status.last_handled_rotate_at.as_deref() != Some(at))
        || token.spec.rotation_trigger().is_some_and(|t| status.last_handled_trigger.as_deref() != Some(t))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
    };

    use http::{Request, Response};
    use kube::{
        Client,
        client::Body,
        runtime::watcher::{Error as Broken, Event},
    };
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        api::SourceKind,
        controller::watch::Stores,
        core::scene::{healthy, token},
    };

    #[tokio::test]
    async fn apps_and_admin_tokens_are_as_the_watch_has_them_while_it_stands() {
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let server = tower::service_fn(move |request: Request<Body>| {
            if !request.uri().path().contains("/secrets/") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
            let answer = Response::builder().status(404).body(Body::from(status.to_string().into_bytes()));
            async { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let mut stores = Stores::default();
        let (tokens, apps) = stores.add(None);
        let app = json!({"metadata": {"name": "acme", "namespace": "shop"}, "spec": {"credentialsRef": {"name": "acme-app"}}});
        apps.note(&Event::Apply(Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap())))));
        let mut admin = token(SourceKind::ClientCredentials, &json!({}));
        admin.metadata.name = Some("admin".into());
        tokens.note(&Event::Apply(Arc::new(Lenient(Ok(admin)))));
        let context = Context::of_stores(Client::new(server, "default"), stores);
        let watches =
            ["ShopifyApp", "ShopifyToken"].map(|kind| context.setup.watches.begin(kind, None, Instant::now()));
        let me = healthy(SourceKind::Storefront, json!({})).token;
        let asks = async |calls| {
            let named = AppRef { name: "acme".into(), namespace: None };
            assert!(app_of(&context, &me, &named).await.is_err(), "it has no Secret");
            assert!(Search::of(&context, &me).admin_token("admin").await.is_err(), "it has no Secret");
            assert_eq!(asked.swap(0, Ordering::SeqCst), calls);
        };
        for watch in &watches {
            watch.brought(&Ok(Event::<Secret>::InitDone), Instant::now());
        }
        asks(0).await;
        // The admin token's app is asked for, too.
        for (watch, calls) in watches.iter().zip([2, 1]) {
            watch.brought(&Err::<Event<Secret>, _>(Broken::NoResourceVersion), Instant::now());
            asks(calls).await;
            watch.brought(&Ok(Event::<Secret>::InitDone), Instant::now());
        }
        asks(0).await;
    }
}
