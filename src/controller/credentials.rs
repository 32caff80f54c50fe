//! What a token is issued with: the app, admin token or Secret it names, read live.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::SecretString;

use super::{context::Context, error::found, protect::Protected};
use crate::{
    api::{
        AdminApi, ShopifyApp, ShopifyToken, SourceRef,
        app::NEWEST_API_VERSION,
        source::{AppRef, Custom, SecretKeyRef},
    },
    core::{
        credential,
        failure::Failure,
        issuer::{Admin, App, Issuer},
        render::{Data, content_hash},
        secret::{Held, SecretState, classify},
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
}

impl Found {
    fn nothing() -> Self {
        Self {
            issuer: Err(Failure::new(Reason::Pending, "")),
            api_version: None,
            versions: Vec::new(),
            needed: Vec::new(),
        }
    }

    /// What counts is the data: a finalizer or label of it ends no back-off.
    fn saw(&mut self, kind: &str, secret: &Secret) {
        let (uid, data) = (secret.uid().unwrap_or_default(), secret.data.clone().unwrap_or_default());
        self.versions.push(format!("{kind}/{uid}/{}", content_hash(&uid, &data, data.keys())));
    }
}

/// Reads what a token is issued with.
///
/// # Errors
/// Of Kubernetes. What is missing or malformed is in the result.
pub(super) async fn find(context: &Context, token: &ShopifyToken) -> Result<Found, kube::Error> {
    let mut found = Found::nothing();
    let namespace = token.namespace().unwrap_or_default();
    found.issuer = match token.spec.source() {
        None => Err(Failure::new(
            Reason::NotImplemented,
            "spec.source names none or several of the six sources; name exactly one",
        )),
        Some(SourceRef::ClientCredentials(source)) => {
            app(context, &namespace, &source.app_ref, &mut found).await?.map(|(app, _)| Issuer::App(app))
        }
        Some(SourceRef::Storefront(source)) => {
            admin(context, token, &source.admin_token_ref.name, &mut found).await?.map(Issuer::Admin)
        }
        Some(SourceRef::Custom(source)) => {
            person(context, &namespace, &source.token_ref, &mut found).await?.map(Issuer::Person)
        }
        Some(SourceRef::Offline(_) | SourceRef::Delegate(_) | SourceRef::CustomerAccount(_)) => {
            let message = "this release issues clientCredentials, storefront and custom; offline, delegate and customerAccount are to come";
            Err(Failure::new(Reason::NotImplemented, message))
        }
    };
    Ok(found)
}

/// Reads an admin token by name, for a credential that was created with another one than the spec names
/// now. `None` if that ShopifyToken is gone: one that only isn't ready may come back.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn find_admin(
    context: &Context,
    token: &ShopifyToken,
    name: &str,
) -> Result<Option<Result<Admin, Failure>>, kube::Error> {
    let tokens: Api<ShopifyToken> = Api::namespaced(context.client(), &token.namespace().unwrap_or_default());
    match self::found(tokens.get_metadata(name).await)? {
        Some(_) => admin(context, token, name, &mut Found::nothing()).await.map(Some),
        None => Ok(None),
    }
}

async fn app(
    context: &Context,
    namespace: &str,
    reference: &AppRef,
    found: &mut Found,
) -> Result<Result<(App, AdminApi), Failure>, kube::Error> {
    if reference.namespace.as_deref().is_some_and(|n| n != namespace) {
        // Absent and forbidden look the same: nothing of the other namespace is read.
        return Ok(Err(Failure::new(
            Reason::NotGranted,
            format!(
                "appRef names namespace {:?}, and this release honours no grants across namespaces; use a ShopifyApp of namespace {namespace:?}",
                reference.namespace.as_deref().unwrap_or_default()
            ),
        )));
    }
    let Some(app) = self::found(Api::<ShopifyApp>::namespaced(context.client(), namespace).get(&reference.name).await)?
    else {
        return Ok(Err(Failure::new(
            Reason::AppNotFound,
            format!("ShopifyApp {:?} isn't there yet; it goes on as soon as it is", reference.name),
        )));
    };
    // Its status changes too: the generation is what counts.
    found.versions.push(format!(
        "app/{}/{}",
        app.uid().unwrap_or_default(),
        app.metadata.generation.unwrap_or_default()
    ));
    found.api_version = Some(app.spec.api_version().to_owned());
    found.needed.push(Protected::app(&app));
    let name = &app.spec.credentials_ref.name;
    let Some(secret) = self::found(Api::<Secret>::namespaced(context.client(), namespace).get(name).await)? else {
        return Ok(Err(Failure::new(
            Reason::CredentialsMissing,
            format!(
                "Secret {name:?} of ShopifyApp {:?} isn't there yet; make it with the keys client_id and client_secret",
                reference.name
            ),
        )));
    };
    found.saw("secret", &secret);
    found.needed.push(Protected::secret(&secret));
    Ok(app_credentials(&secret).map(|(client_id, client_secret)| {
        let key = format!("{namespace}/{}", reference.name);
        (App { key, client_id, client_secret }, app.spec.admin_api())
    }))
}

/// Client id and secret of an app's Secret.
///
/// # Errors
/// `CredentialsMissing` for an absent key, `InvalidCredential` for a malformed value.
pub(super) fn app_credentials(secret: &Secret) -> Result<(String, SecretString), Failure> {
    use secrecy::ExposeSecret;
    let id = key_of(secret, "client_id")?;
    Ok((id.expose_secret().to_owned(), key_of(secret, "client_secret")?))
}

fn key_of(secret: &Secret, key: &str) -> Result<SecretString, Failure> {
    let name = secret.name_any();
    match secret.data.as_ref().and_then(|d| d.get(key)) {
        Some(value) => credential::check(&value.0, &format!("key {key:?} of Secret {name:?}")),
        None => Err(Failure::new(Reason::CredentialsMissing, format!("Secret {name:?} has no key {key:?}; add it"))),
    }
}

async fn person(
    context: &Context,
    namespace: &str,
    reference: &SecretKeyRef,
    found: &mut Found,
) -> Result<Result<SecretString, Failure>, kube::Error> {
    let Some(secret) = self::found(Api::<Secret>::namespaced(context.client(), namespace).get(&reference.name).await)?
    else {
        return Ok(Err(Failure::new(
            Reason::CredentialsMissing,
            format!(
                "Secret {:?} isn't there yet; make it with the token under key {:?}",
                reference.name, reference.key
            ),
        )));
    };
    found.saw("secret", &secret);
    found.needed.push(Protected::secret(&secret));
    Ok(key_of(&secret, &reference.key))
}

async fn admin(
    context: &Context,
    token: &ShopifyToken,
    name: &str,
    found: &mut Found,
) -> Result<Result<Admin, Failure>, kube::Error> {
    let namespace = token.namespace().unwrap_or_default();
    let not_ready = |message: String| Err(Failure::new(Reason::AdminTokenNotReady, message));
    let Some(admin) = self::found(Api::<ShopifyToken>::namespaced(context.client(), &namespace).get(name).await)?
    else {
        return Ok(not_ready(format!(
            "ShopifyToken {name:?} (adminTokenRef) isn't there yet; it goes on as soon as it is"
        )));
    };
    found.versions.push(format!(
        "token/{}/{}",
        admin.uid().unwrap_or_default(),
        admin.metadata.generation.unwrap_or_default()
    ));
    found.needed.push(Protected::token(&admin));
    if admin.spec.shop != token.spec.shop {
        return Ok(Err(Failure::new(
            Reason::ShopNotPermitted,
            format!(
                "adminTokenRef {name:?} is a token of {}, and can't manage tokens of {}; name one of the same shop",
                admin.spec.shop, token.spec.shop
            ),
        )));
    }
    let (app, api, by_person) = match admin.spec.source() {
        Some(SourceRef::ClientCredentials(source)) => match app(context, &namespace, &source.app_ref, found).await? {
            Ok((app, api)) => (Ok(Some(app)), api, None),
            Err(failure) => (Err(failure), AdminApi::default(), None),
        },
        Some(SourceRef::Custom(Custom { token_ref })) => {
            (Ok(None), AdminApi::default(), person(context, &namespace, token_ref, found).await?.ok())
        }
        Some(SourceRef::Offline(_)) => (Ok(None), AdminApi::default(), None),
        Some(SourceRef::Storefront(_) | SourceRef::Delegate(_) | SourceRef::CustomerAccount(_)) | None => {
            return Ok(Err(Failure::new(
                Reason::InvalidCredential,
                format!(
                    "adminTokenRef {name:?} isn't an Admin API token; name a ShopifyToken with source clientCredentials, offline or custom"
                ),
            )));
        }
    };
    let published = published(context, &admin, found).await?;
    let deleting = token.metadata.deletion_timestamp.is_some();
    let access = |token, app| Admin {
        name: name.to_owned(),
        token,
        app,
        api,
        version: found.api_version.clone().unwrap_or_else(|| NEWEST_API_VERSION.to_owned()),
    };
    Ok(match (published, app) {
        (Ok(value), Ok(app)) => Ok(access(Some(value), app)),
        (Ok(value), Err(_)) => Ok(access(Some(value), None)),
        // To revoke, a token that is issued for it alone will do, or the one the person supplied.
        (Err(_), Ok(Some(app))) if deleting => Ok(access(None, Some(app))),
        (Err(_), Ok(None)) if deleting && by_person.is_some() => Ok(access(by_person, None)),
        (Err(failure), _) => Err(failure),
    })
}

/// The credential in another token's Secret, if it is there, whole and alive.
async fn published(
    context: &Context,
    admin: &ShopifyToken,
    found: &mut Found,
) -> Result<Result<SecretString, Failure>, kube::Error> {
    let namespace = admin.namespace().unwrap_or_default();
    let name = admin.name_any();
    let live = self::found(Api::<Secret>::namespaced(context.client(), &namespace).get(admin.secret_name()).await)?;
    if let Some(live) = &live {
        found.saw("admin", live);
    }
    let not_ready = |what: &str| {
        Ok(Err(Failure::new(
            Reason::AdminTokenNotReady,
            format!(
                "ShopifyToken {name:?} (adminTokenRef) {what}; it goes on as soon as that one is Ready: kubectl describe stok {name}"
            ),
        )))
    };
    let SecretState::Ours(mut held) = classify(admin, live) else { return not_ready("hasn't published a token yet") };
    held.read(|_, _| None::<Data>);
    let Held { record: Some(record), value: Some(value), .. } = *held else {
        return not_ready("has a Secret that is being restored");
    };
    if record.expires_at.is_some_and(|at| at <= context.now()) {
        return not_ready("has an expired token");
    }
    if admin.status.as_ref().is_some_and(|s| s.revision == Some(record.revision) && crate::core::status::is_rejected(s))
    {
        return not_ready("has a token that Shopify refuses");
    }
    Ok(Ok(value))
}
