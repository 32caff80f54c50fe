//! What is done for objects that don't fit their type: they are told of, and let go.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::error_boundary::InvalidObject;

use super::{
    act::protect,
    context::Context,
    error::Error,
    outcome::{Acted, News},
    report::publish_all,
};
use crate::{
    api::ShopifyToken,
    core::vocabulary::{EventReason, FINALIZER, Reason},
    queue::Again,
};

/// Pause of one whose finalizer the API server keeps on.
const REFUSED: Duration = Duration::from_mins(5);

/// A token that names no source which this release knows, as a newer one may have written it: it fits no type either.
pub(super) fn sourceless(token: &ShopifyToken) -> Option<InvalidObject> {
    let error = "spec.source names none or several of the six sources; name exactly one";
    let invalid = || InvalidObject { error: error.to_owned(), metadata: token.metadata.clone() };
    token.spec.source().is_none().then(invalid)
}

/// A token that doesn't fit its type: all that can be done for it is to let it go when it is deleted.
pub(super) async fn unreadable(
    context: &Context,
    regarding: &ObjectReference,
    invalid: &InvalidObject,
) -> Result<Again, Error> {
    let let_go = async || {
        let (namespace, name) = place(invalid);
        protect::take_off::<ShopifyToken>(context, &namespace, &name).await
    };
    let note = "let go without revoking anything: the object doesn't fit its type, so nobody knows what it held; \
                look for its UID in the titles of the shop's storefront tokens";
    let ended = released(context, regarding, invalid, let_go).await?;
    if ended == Released::Now {
        context.was_let_go(invalid.metadata.uid.as_deref().unwrap_or_default());
        let news = News::of(EventReason::RevocationFailed, note.to_owned());
        publish_all(context, regarding, &[news]).await;
    }
    Ok(ended.action())
}

/// Namespace and name of an object that doesn't fit its type.
pub(super) fn place(invalid: &InvalidObject) -> (String, String) {
    let InvalidObject { metadata, .. } = invalid;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// What became of our finalizer on an object that doesn't fit its type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Released {
    /// It was taken off.
    Now,
    /// The API server refuses that: it is tried again later.
    Refused,
}

impl Released {
    /// When to look again.
    pub(super) fn action(self) -> Again {
        match self {
            Self::Now => Again::OnChange,
            Self::Refused => Again::After(REFUSED),
        }
    }
}

/// Lets an object go by its metadata, where it is being deleted and has our finalizer.
///
/// # Errors
/// [`Error::Invalid`] where there is nothing to be done, after an event; else of Kubernetes.
pub(super) async fn released(
    context: &Context,
    regarding: &ObjectReference,
    invalid: &InvalidObject,
    let_go: impl AsyncFnOnce() -> Result<(), kube::Error>,
) -> Result<Released, Error> {
    let metadata = &invalid.metadata;
    let beyond = || Error::Invalid(invalid.error.clone());
    if metadata.deletion_timestamp.is_none() || !metadata.finalizers.iter().flatten().any(|f| f == FINALIZER) {
        let note = format!(
            "the object doesn't fit its type, and nothing is done for it: {}; apply it anew, or install the operator's version that wrote it",
            invalid.error
        );
        let news = News { failure: Some(Reason::DependencyInvalid), ..News::of(EventReason::IssueFailed, note) };
        publish_all(context, regarding, &[news]).await;
        return Err(beyond());
    }
    match let_go().await {
        Ok(()) => Ok(Released::Now),
        // Against its own schema the API server takes no change at all: the definition has to change first.
        Err(kube::Error::Api(status)) if status.code == 422 => Err(beyond()),
        Err(error) => {
            let uid = metadata.uid.as_deref().unwrap_or_default();
            let failure = context.unwritten(uid, "to take our finalizer off", error).failure()?;
            publish_all(context, regarding, &Acted::warned(&failure).news).await;
            Ok(Released::Refused)
        }
    }
}
