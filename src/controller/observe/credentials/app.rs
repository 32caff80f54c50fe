//! The app that a token names, of its own namespace or of another one that grants it, and its credentials.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};

use super::{Search, key_of};
use crate::{
    api::{AdminApi, ShopifyApp, ShopifyToken, source::AppRef},
    controller::{
        error::{Error, Stop, is_forbidden},
        observe::{Protected, abroad::labels},
        refusal::part,
    },
    core::{
        failure::Failure,
        grant::{is_granted, labels_unread, not_granted, not_watched},
        minted::{self, Rotation},
        source::App,
        vocabulary::Reason,
    },
    time,
};

/// Client id and secret of an app's Secret.
///
/// # Errors
/// `CredentialsMissing` for an absent key, `InvalidCredential` for a malformed value.
pub(in crate::controller) fn app_credentials(secret: &Secret) -> Result<(String, SecretString), Failure> {
    let id = key_of(secret, "client_id")?;
    Ok((id.expose_secret().to_owned(), key_of(secret, "client_secret")?))
}

/// That a client secret, known by its hash, has taken the place of another one. Its tokens wait until the app's status
/// speaks of it: nothing is issued again before it says that the old one is in use.
fn rotation(app: &ShopifyApp, hash: &str) -> Option<Rotation> {
    let judged = app.status.as_ref()?.client_secret.as_ref().filter(|judged| judged.hash == hash)?;
    let since = time::from_kube(judged.since.as_ref()?);
    Some(Rotation { since, within: app.spec.rotates_within() })
}

impl Search<'_> {
    /// Reads the app that a token of this namespace names, and its credentials.
    pub(super) async fn app_of(&mut self, token: &ShopifyToken, named: &AppRef) -> Result<(App, AdminApi), Stop> {
        let name = &named.name;
        let app = match named.namespace.as_ref().filter(|namespace| **namespace != self.namespace) {
            Some(namespace) => self.granted(token, namespace, name).await?,
            None => self.app_object(&self.namespace, name).await?.ok_or_else(|| {
                let message = format!("ShopifyApp {name:?} isn't there yet; it goes on as soon as it is");
                Failure::new(Reason::AppNotFound, message)
            })?,
        };
        self.app(&app).await
    }

    /// An app as the watch has it, while that stands; else live.
    async fn app_object(&self, namespace: &str, name: &str) -> Result<Option<ShopifyApp>, Stop> {
        let watched = self.context.stores.app(namespace, name).filter(|_| self.watched::<ShopifyApp>(namespace));
        match watched.as_ref().and_then(|app| app.0.as_ref().ok()) {
            Some(app) => Ok(Some(app.clone())),
            None => self.object(namespace, name).await,
        }
    }

    /// The credentials of an app that the token may use.
    pub(super) async fn app(&mut self, app: &ShopifyApp) -> Result<(App, AdminApi), Stop> {
        let (namespace, name) = (app.namespace().unwrap_or_default(), app.name_any());
        // Its status changes too: the generation is what counts.
        self.saw("app", app);
        self.api_version = Some(app.spec.api_version().to_owned());
        self.needed.push(Protected::app(app));
        let secret = self.secret("secret", &namespace, &app.spec.credentials_ref.name).await?;
        self.needed.extend(secret.as_deref().map(Protected::secret));
        let credentials = match &secret {
            Some(secret) => app_credentials(secret),
            None => Err(Failure::new(
                Reason::CredentialsMissing,
                format!(
                    "Secret {:?} of ShopifyApp {name:?} isn't there yet; make it with the keys client_id and client_secret",
                    app.spec.credentials_ref.name
                ),
            )),
        };
        match credentials {
            Ok((client_id, client_secret)) => {
                let key = format!("{namespace}/{name}");
                let rotation = rotation(app, &minted::of_app(&namespace, &name, &client_secret));
                // Nothing but a callback's signature goes by it: one that is malformed signs none.
                let previous_client_secret = secret.and_then(|secret| key_of(&secret, "previous_client_secret").ok());
                let issuer = App { key, client_id, client_secret, rotation, previous_client_secret };
                Ok((issuer, app.spec.admin_api()))
            }
            Err(failure) if namespace == self.namespace => Err(failure.into()),
            // What the app's own namespace is told is nobody else's affair.
            Err(Failure { reason, .. }) => {
                let message = format!(
                    "the credentials of ShopifyApp {name:?} of namespace {namespace:?} are missing or malformed; its owner reads in its status what to do, and it goes on as soon as they are there"
                );
                Err(Failure::new(reason, message).into())
            }
        }
    }

    /// Reads an app of another namespace. Whatever keeps the token from it, no app is told from a missing grant.
    async fn granted(&self, token: &ShopifyToken, namespace: &str, name: &str) -> Result<ShopifyApp, Stop> {
        let watched = &self.context.setup.namespaces;
        if !watched.is_empty() && !watched.iter().any(|w| w == namespace) {
            return Err(not_watched(token).into());
        }
        let uid = self.token.uid().unwrap_or_default();
        let Some(labels) = labels(self.context, &self.namespace, &uid).await? else {
            return Err(labels_unread(token).into());
        };
        let app = match self.app_object(namespace, name).await {
            Ok(app) => app,
            // It doesn't fit its type: nobody knows what it grants.
            Err(Stop::Failure(_)) => None,
            Err(Stop::Kubernetes(Error::Kube(error))) if is_forbidden(&error) => {
                match self.context.refusal(&part(&uid, "app"), &error) {
                    Some(_) => None,
                    None => return Err(Error::Kube(error).into()),
                }
            }
            Err(stop) => return Err(stop),
        };
        Ok(app.filter(|app| is_granted(app, token, &labels)).ok_or_else(|| not_granted(token))?)
    }
}
