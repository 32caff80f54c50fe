//! What grants are decided by, read live: the labels of a namespace, and the tokens elsewhere that name an app of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};

use super::list::list_pruned;
use crate::{
    api::ShopifyToken,
    controller::{
        context::Context,
        error::{found, is_forbidden},
        listed::{Neighbour, no_more_than_needed},
        refusal::part,
        watch::api,
    },
    core::grant::Labels,
};

/// The labels of a namespace; `None` where the operator may not read namespaces, which counts once it stays so for
/// `asker`.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn labels(context: &Context, namespace: &str, asker: &str) -> Result<Option<Labels>, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(context.client());
    let unread = part(asker, "namespace");
    match found(namespaces.get_metadata(namespace).await) {
        Err(error) if is_forbidden(&error) && context.refusal(&unread, &error).is_some() => Ok(None),
        read => {
            let read = read?;
            context.refused.remove(&unread);
            Ok(Some(read.and_then(|namespace| namespace.metadata.labels).unwrap_or_default()))
        }
    }
}

/// The namespaces with tokens that name an app of this one, as far as this instance sees them.
///
/// # Errors
/// Of Kubernetes.
pub(in crate::controller) async fn neighbours(
    context: &Context,
    namespace: &str,
) -> Result<BTreeMap<String, Neighbour>, kube::Error> {
    let watched = &context.setup.namespaces;
    // What was never listed, for want of rights perhaps, holds up nobody.
    let others = watched.iter().filter(|other| *other != namespace && context.stores.sees(other));
    let scopes = others.map(|other| Some(other.as_str())).chain(watched.is_empty().then_some(None));
    let mut found: BTreeMap<String, Vec<ShopifyToken>> = BTreeMap::new();
    for scope in scopes {
        for token in list_pruned::<ShopifyToken>(&api(context.client(), scope), no_more_than_needed).await?.0 {
            let place = token.namespace().unwrap_or_default();
            if place != namespace && (token.app().is_some() || token.admin_token().is_some()) {
                found.entry(place).or_default().push(token);
            }
        }
    }
    found.retain(|_, tokens| tokens.iter().any(|t| t.app().is_some_and(|(place, _)| place == namespace)));
    let mut neighbours = BTreeMap::new();
    for (place, tokens) in found {
        if let Some(labels) = labels(context, &place, namespace).await? {
            neighbours.insert(place, Neighbour { tokens, labels });
        }
    }
    Ok(neighbours)
}
