//! Puts the finalizer on, and takes it off: it keeps what a revocation needs until it is done.
//!
//! In the manner of `kubernetes.io/pvc-protection`: put on before the first create at Shopify, put
//! back when a tool strips it, and taken off only after a live list finds nobody who needs the object.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    api::{ShopifyApp, ShopifyToken},
    controller::{
        context::Context,
        error::{Stop, found},
        observe::{Needs, Observation, Protected, ProtectedKind},
    },
    core::{
        finalizer::has_finalizer,
        identity::Identity,
        source::nature,
        vocabulary::{FINALIZER, OPERATOR},
    },
    kubernetes::{Lean, Metadata},
};

/// Puts the finalizer on. Says whether it is on: not if the object goes, or another one has its name.
///
/// # Errors
/// A failure when the API server refuses it; else of Kubernetes, a conflict among them.
pub(super) async fn put_on(context: &Context, token: &Identity, object: &Protected) -> Result<bool, Stop> {
    set_on(context, token, object, true).await
}

/// On behalf of a token.
async fn set_on(context: &Context, token: &Identity, object: &Protected, on: bool) -> Result<bool, Stop> {
    let set = match object.kind {
        ProtectedKind::Token => set_observed::<ShopifyToken>(context, object, on).await,
        ProtectedKind::App => set_observed::<ShopifyApp>(context, object, on).await,
        ProtectedKind::Secret => set_observed::<Secret>(context, object, on).await,
    };
    let what = format!("our finalizer of {}", object.told_to(token));
    set.map_err(|error| context.unwritten(&token.uid, &what, error))
}

/// Takes the finalizer off an object, whichever has the name now.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(in crate::controller) async fn take_off<K>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    set::<K>(context, namespace, name, None, false).await.map(drop)
}

/// Takes the finalizer off a token that nobody needs, off the Secret that a person fills for it alone, and off its record
/// Secret, which may stay.
///
/// # Errors
/// A failure when the API server refuses it; else of Kubernetes, a conflict among them.
pub(super) async fn let_go(context: &Context, observation: &Observation) -> Result<(), Stop> {
    let (token, me) = (&observation.observed.token, &observation.observed.identity);
    let own = async {
        if let Some(secret) = token.credentials_secret().filter(|_| observation.frees_secret) {
            take_off::<Secret>(context, &me.namespace, secret).await?;
        }
        if let Some(record) = token.record_secret().filter(|_| nature(observation.observed.kind).is_admin) {
            take_off::<Secret>(context, &me.namespace, &record).await?;
        }
        set_observed::<ShopifyToken>(context, &Protected::token(token), false).await.map(drop)
    };
    own.await.map_err(|error| context.unwritten(&me.uid, "to take our finalizer off", error))
}

/// Takes the finalizer off what a token was the last to need. With a selector these may be objects that no other
/// reconcile of this instance looks at.
///
/// # Errors
/// A failure when the API server refuses it; else of Kubernetes, a conflict among them.
pub(super) async fn let_needed_go(context: &Context, observation: &Observation) -> Result<(), Stop> {
    let me = &observation.observed.identity;
    let others = observation.protect.iter().filter(|o| o.has && o.uid.as_ref() != Some(&me.uid));
    if context.setup.selector.is_none() || others.clone().next().is_none() {
        return Ok(());
    }
    let mut places: BTreeMap<&str, Vec<&Protected>> = BTreeMap::new();
    for object in others {
        places.entry(&object.namespace).or_default().push(object);
    }
    for (place, objects) in places {
        let needs = Needs::from_anywhere(context, place).await?.without(me);
        for object in objects.into_iter().filter(|o| !needs.object(o)) {
            set_on(context, me, object, false).await?;
        }
    }
    Ok(())
}

/// Takes the finalizer off a ShopifyApp.
///
/// # Errors
/// A failure when the API server refuses it; else of Kubernetes, a conflict among them.
pub(in crate::controller) async fn let_app_go(context: &Context, app: &ShopifyApp) -> Result<(), Stop> {
    let (namespace, name, uid) = (app.namespace().unwrap_or_default(), app.name_any(), app.uid().unwrap_or_default());
    let taken_off = set::<ShopifyApp>(context, &namespace, &name, Some(&uid), false).await.map(drop);
    taken_off.map_err(|error| context.unwritten(&uid, "to take our finalizer off", error))
}

/// Takes the finalizer off a Secret with credentials, if a live list finds nobody who needs it. The tokens that do.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(in crate::controller) async fn let_secret_go(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Vec<String>, kube::Error> {
    let needed_by = Needs::from_anywhere(context, namespace).await?.secret(name);
    if needed_by.is_empty() {
        take_off::<Secret>(context, namespace, name).await?;
    }
    Ok(needed_by)
}

/// Puts the finalizer on, or takes it off, on top of the version observed; if that is gone, of the one that is there.
async fn set_observed<K>(context: &Context, object: &Protected, on: bool) -> Result<bool, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let Protected { namespace, name, uid, version: (version, finalizers), has, .. } = object;
    if version.is_some() && uid.is_some() && *has != on {
        let metadata: Api<Lean<Metadata<K>>> = Api::namespaced(context.client(), namespace);
        match patch(&metadata, name, version.as_deref(), finalizers.clone(), on).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            patched => return Ok(found(patched)?.is_some() || !on),
        }
    }
    set::<K>(context, namespace, name, uid.as_deref(), on).await
}

async fn patch<K>(
    metadata: &Api<Lean<Metadata<K>>>,
    name: &str,
    version: Option<&str>,
    mut finalizers: Vec<String>,
    on: bool,
) -> Result<Lean<Metadata<K>>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    if on {
        finalizers.push(FINALIZER.to_owned());
    } else {
        finalizers.retain(|f| f != FINALIZER);
    }
    let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    metadata.patch(name, &parameters, &Patch::Merge(patch)).await
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
    let metadata: Api<Lean<Metadata<K>>> = Api::namespaced(context.client(), namespace);
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
    let (version, finalizers) = (object.resource_version(), object.metadata.finalizers.clone().unwrap_or_default());
    Ok(found(patch(&metadata, name, version.as_deref(), finalizers, on).await)?.is_some() || !on)
}
