//! Writes a status: where it differs, and not again and again where the API server refuses it.

use std::sync::Arc;

use kube::{
    Resource, ResourceExt,
    api::{Patch, PatchParams, Request},
    core::NamespaceResourceScope,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::publish_all;
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus},
    controller::{
        context::Context,
        error::{Error, found},
        kept::Written,
        key::ObjectKey,
        outcome::Acted,
        refusal::part,
        watch::health::version,
    },
    core::{
        backoff::{is_pending, next_attempt},
        merge_patch::difference,
        renewal,
        vocabulary::OPERATOR,
    },
    time::Timestamp,
};

/// Writes a token's status, and keeps it until the watch shows it. Says when to try again if it is refused.
pub(super) async fn write(
    context: &Context,
    token: &ShopifyToken,
    before: Option<&ShopifyTokenStatus>,
    status: &ShopifyTokenStatus,
) -> Result<Option<Timestamp>, Error> {
    // What the API server refused isn't what is there.
    let refused = context.status_refused.get(&token.uid().unwrap_or_default()).is_some();
    let watched = refused.then(|| context.stores.newest(&ObjectKey::of_object(token))).flatten();
    let before = match watched.as_ref().and_then(|token| token.0.as_ref().ok()) {
        Some(token) => token.status.as_ref(),
        None => before,
    };
    let ended = write_status(context, token, before, status).await?;
    match ended {
        // What was decided counts all the same: a failure mustn't be tried again at once.
        StatusWrite::Written { shown_by } => keep(context, token, shown_by, status),
        StatusWrite::RefusedUntil(_) => {
            let next = version(token.resource_version().as_deref()).saturating_add(1);
            keep(context, token, next, status);
        }
        StatusWrite::Unchanged | StatusWrite::Gone => {}
    }
    Ok(ended.refused_until())
}

fn keep(context: &Context, token: &ShopifyToken, shown_by: u64, status: &ShopifyTokenStatus) {
    let key = ObjectKey::of_object(token);
    context.written.put(key.clone(), Written { shown_by, status: Arc::new(status.clone()) });
    // Its event may have come before the answer.
    if let Some(Ok(shown)) = context.stores.newest(&key).as_ref().map(|shown| shown.0.as_ref()) {
        context.shown(shown);
    }
}

/// What became of a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::controller) enum StatusWrite {
    /// It is as it was before.
    Unchanged,
    /// It is written.
    Written {
        /// The object's `metadata.resourceVersion` with it.
        shown_by: u64,
    },
    /// The object is gone.
    Gone,
    /// The API server refuses it, and isn't asked before then.
    RefusedUntil(Timestamp),
}

impl StatusWrite {
    /// When to try again, if it is refused.
    pub(in crate::controller) const fn refused_until(self) -> Option<Timestamp> {
        match self {
            Self::RefusedUntil(at) => Some(at),
            Self::Unchanged | Self::Written { .. } | Self::Gone => None,
        }
    }
}

/// Writes of a status what differs. A refusal is told once, and the next attempts wait longer.
///
/// # Errors
/// Of Kubernetes. A conflict when the name belongs to another object by now.
pub(in crate::controller) async fn write_status<K, S>(
    context: &Context,
    object: &K,
    before: Option<&S>,
    status: &S,
) -> Result<StatusWrite, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    S: Serialize + PartialEq,
{
    let (uid, now) = (object.uid().unwrap_or_default(), context.now());
    let refused = context.status_refused.get(&uid);
    match refused {
        Some((_, at)) if is_pending(at, now) => return Ok(StatusWrite::RefusedUntil(at)),
        None if before == Some(status) => return Ok(StatusWrite::Unchanged),
        Some(_) | None => {}
    }
    match patch_status(context, object, before, status).await {
        Ok(shown_by) => {
            context.status_refused.remove(&uid);
            context.refused.remove(&part(&uid, "status"));
            Ok(shown_by.map_or(StatusWrite::Gone, |shown_by| StatusWrite::Written { shown_by }))
        }
        Err(error) => {
            let failure = context.unwritten(&part(&uid, "status"), "the status", error).failure()?;
            let count = refused.map_or(1, |(count, _)| count.saturating_add(1));
            let random = renewal::share(&format!("{uid}/{count}/{now}"));
            let at = next_attempt(&failure, count.into(), None, now, random);
            context.status_refused.put(uid, (count, at));
            if count == 1 {
                publish_all(context, &object.object_ref(&()), &Acted::warned(&failure).news).await;
            }
            tracing::warn!(kind = %K::kind(&()), namespace = object.namespace(), name = object.name_any(), message = failure.message, "status not written");
            Ok(StatusWrite::RefusedUntil(at))
        }
    }
}

/// A change of a status, of this object and of no other of its name.
#[derive(Serialize)]
struct Change<'a> {
    metadata: Of<'a>,
    status: Value,
}

#[derive(Serialize)]
struct Of<'a> {
    uid: Option<&'a str>,
}

/// Of an answer nothing but its version matters.
#[derive(Deserialize)]
struct Answer {
    metadata: Versioned,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    resource_version: Option<String>,
}

/// The version of the object with this status; `None` if it is gone.
async fn patch_status<K, S>(
    context: &Context,
    object: &K,
    before: Option<&S>,
    status: &S,
) -> Result<Option<u64>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    S: Serialize,
{
    let Some(changed) = difference(&json!(before), json!(status)) else {
        return Ok(Some(version(object.resource_version().as_deref())));
    };
    let body = Change { metadata: Of { uid: object.meta().uid.as_deref() }, status: changed };
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let path = K::url_path(&(), object.meta().namespace.as_deref());
    let request = Request::new(path).patch_subresource("status", &object.name_any(), &parameters, &Patch::Merge(&body));
    let written = context.client().request::<Answer>(request.map_err(kube::Error::BuildRequest)?).await;
    Ok(found(written)?.map(|Answer { metadata }| version(metadata.resource_version.as_deref())))
}
