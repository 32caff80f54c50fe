//! Writes a status: where it differs, and not again and again where the API server refuses it.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::events::publish_all;
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus},
    controller::{
        context::{Context, TokenKey, Written},
        error::{Error, found},
        outcome::Acted,
        refusal::part,
    },
    core::{
        backoff::{is_pending, next_attempt},
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
    let ended = write_status(context, token, before, status).await?;
    match ended {
        // What was decided counts all the same: a failure mustn't be tried again at once.
        StatusWrite::Written | StatusWrite::RefusedUntil(_) => {
            let written = Written { upon: token.resource_version(), status: status.clone() };
            context.written.put(TokenKey::of_object(token), written);
        }
        StatusWrite::Unchanged | StatusWrite::Gone => {}
    }
    Ok(ended.refused_until())
}

/// What became of a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::controller) enum StatusWrite {
    /// It is as it was before.
    Unchanged,
    /// It is written.
    Written,
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
            Self::Unchanged | Self::Written | Self::Gone => None,
        }
    }
}

/// Applies a status where it differs. A refusal is told once, and the next attempts wait longer.
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
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + PartialEq,
{
    let (uid, now) = (object.uid().unwrap_or_default(), context.now());
    let refused = context.status_refused.get(&uid);
    match refused {
        Some((_, at)) if is_pending(at, now) => return Ok(StatusWrite::RefusedUntil(at)),
        None if before == Some(status) => return Ok(StatusWrite::Unchanged),
        Some(_) | None => {}
    }
    match apply_status(context, object, status).await {
        Ok(there) => {
            context.status_refused.remove(&uid);
            context.refused.remove(&part(&uid, "status"));
            Ok(if there { StatusWrite::Written } else { StatusWrite::Gone })
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

async fn apply_status<K, S>(context: &Context, object: &K, status: &S) -> Result<bool, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize,
{
    let api: Api<K> = Api::namespaced(context.client(), &object.namespace().unwrap_or_default());
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": status,
    });
    let parameters = PatchParams::apply(OPERATOR).force();
    Ok(found(api.patch_status(&object.name_any(), &parameters, &Patch::Apply(&body)).await)?.is_some())
}
