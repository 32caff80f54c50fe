//! Gathers everything a decision needs: all reads of a reconcile are here.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{
    context::{Context, TokenKey},
    credentials,
    error::{Error, found},
    protect::{self, Needs, Protected},
    rollout,
};
use crate::{
    api::{ShopifyToken, SourceKind, SourceRef, app::NEWEST_API_VERSION},
    core::{
        failure::Failure,
        plan::{Observed, ShopState, needs_finalizer},
        record::Record,
        render::{Data, Values},
        secret::{self, Held, SecretState, classify},
    },
};

/// What was observed, and what acting upon it needs besides.
pub(super) struct Observation {
    /// What the decision goes by.
    pub observed: Observed,
    /// Version of the API to name in the Secret.
    pub api_version: String,
    /// What must have our finalizer before anything is created at Shopify.
    pub protected: Vec<Protected>,
}

/// Gathers everything a decision needs.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn observe(context: &Context, token: &ShopifyToken) -> Result<Observation, Error> {
    let kind = token.spec.source().map_or(SourceKind::ClientCredentials, SourceRef::kind);
    let namespace = token.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client(), &namespace);
    let live = found(secrets.get(token.secret_name()).await)?;
    let found = credentials::find(context, token).await?;

    let mut state = classify(token, live);
    let api_version = found.api_version.clone().unwrap_or_else(|| published_version(&state));
    let mut drifted = false;
    if let SecretState::Ours(held) = &mut state {
        let rendered = match (&held.record, held.stored()) {
            (Some(record), (Some(value), previous)) => {
                data(context, token, kind, record, &value, previous.as_ref(), &api_version).await.ok()
            }
            (None, _) | (Some(_), (None, _)) => None,
        };
        held.read(|_, _| rendered.clone());
        drifted = differs(token, held, rendered);
    }
    let deleting = token.metadata.deletion_timestamp.is_some();
    let needed_by = if deleting && protect::has_finalizer(token) {
        Needs::of(context, &namespace).await?.token(&token.name_any())
    } else {
        Vec::new()
    };
    let record = match &state {
        SecretState::Ours(held) => held.record.as_ref(),
        _ => None,
    };
    let observed = Observed {
        kind,
        template: context.rendering.check(token, kind).await,
        drifted,
        inputs: inputs(token),
        dependencies: digest(&[
            &context.salt,
            &token.metadata.generation.unwrap_or_default().to_string(),
            &found.versions.join("\n"),
        ]),
        suspect: context.suspects.get(&TokenKey::of(token)),
        shop: shop_state(context, token),
        rival: context.stores.rival(token),
        needed_by,
        rolling_out: rollout::in_progress(context, token, record).await?,
        revocation_timeout: context.setup.revocation_timeout,
        token: token.clone(),
        secret: state,
        issuer: found.issuer,
    };
    Ok(Observation { protected: protected(token, kind, found.needed), observed, api_version })
}

fn published_version(state: &SecretState) -> String {
    let SecretState::Ours(held) = state else { return NEWEST_API_VERSION.to_owned() };
    let data = held.live.data.as_ref();
    let version = data.and_then(|d| d.get("api_version")).and_then(|v| String::from_utf8(v.0.clone()).ok());
    version.unwrap_or_else(|| NEWEST_API_VERSION.to_owned())
}

/// The data of the Secret for a credential.
///
/// # Errors
/// `InvalidTemplate`.
pub(super) async fn data(
    context: &Context,
    token: &ShopifyToken,
    kind: SourceKind,
    record: &Record,
    value: &SecretString,
    previous: Option<&SecretString>,
    api_version: &str,
) -> Result<Data, Failure> {
    let values = Values {
        access_token: value,
        previous_access_token: previous,
        shop_domain: &token.spec.shop,
        api_version,
        scopes: &record.scopes,
        expires_at: record.expires_at,
    };
    context.rendering.render(token, kind, &values).await
}

/// Whether the Secret differs from what it should be for the credential it holds.
fn differs(token: &ShopifyToken, held: &Held, rendered: Option<Data>) -> bool {
    let (Some(record), Some(_), Some(data)) = (&held.record, &held.value, rendered) else { return false };
    secret::differs(&held.live, &secret::desired(token, Some(&held.live), record.clone(), data))
}

/// Hash of the spec fields that decide what is issued. Not the title: it is for reading only.
fn inputs(token: &ShopifyToken) -> String {
    let spec = &token.spec;
    let source = match spec.source() {
        Some(SourceRef::ClientCredentials(s)) => {
            format!("app {}/{}", s.app_ref.namespace.as_deref().unwrap_or_default(), s.app_ref.name)
        }
        Some(SourceRef::Offline(s)) => {
            format!("app {}/{}", s.app_ref.namespace.as_deref().unwrap_or_default(), s.app_ref.name)
        }
        Some(SourceRef::Storefront(s)) => format!("admin {}", s.admin_token_ref.name),
        Some(SourceRef::Delegate(s)) => format!("admin {} {:?} {:?}", s.admin_token_ref.name, s.scopes, s.lifetime),
        Some(SourceRef::Custom(s)) => format!("secret {}/{}", s.token_ref.name, s.token_ref.key),
        Some(SourceRef::CustomerAccount(s)) => format!("secret {} {:?}", s.credentials_ref.name, s.client_type),
        None => String::new(),
    };
    digest(&[&spec.shop, &source])
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

fn shop_state(context: &Context, token: &ShopifyToken) -> ShopState {
    match token.spec.shop.parse() {
        Ok(shop) if context.outages.is_down(&shop) => ShopState::Down,
        Ok(shop) => ShopState::Up { since: context.outages.up_since(&shop).unwrap_or(context.started_at) },
        Err(_) => ShopState::Up { since: context.started_at },
    }
}

/// What must have our finalizer: the object itself, and what its revocation needs.
fn protected(token: &ShopifyToken, kind: SourceKind, needed: Vec<Protected>) -> Vec<Protected> {
    if !needs_finalizer(token, kind) {
        return Vec::new();
    }
    let own = Protected::token(token);
    match kind {
        SourceKind::Storefront | SourceKind::Delegate => std::iter::once(own).chain(needed).collect(),
        SourceKind::ClientCredentials | SourceKind::Offline | SourceKind::Custom | SourceKind::CustomerAccount => {
            vec![own]
        }
    }
}
