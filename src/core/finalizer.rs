//! The finalizer `tokens.shopify-operator.dev/in-use`: who has it, and whether an object needs its own.

use kube::ResourceExt;

use super::{source::nature, vocabulary::FINALIZER};
use crate::api::{
    ShopifyToken, SourceKind,
    token::{CreationPolicy, DeletionPolicy},
};

/// Whether an object has our finalizer.
#[must_use]
pub fn has_finalizer(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|f| f == FINALIZER)
}

/// Whether deleting the object revokes its credential at Shopify.
#[must_use]
pub fn revocable(token: &ShopifyToken, kind: SourceKind) -> bool {
    nature(kind).revocable && token.spec.deletion_policy() == DeletionPolicy::Revoke
}

/// Whether the object itself needs our finalizer: there is something to undo when it goes, or to tell.
#[must_use]
pub fn needs_finalizer(token: &ShopifyToken, kind: SourceKind) -> bool {
    nature(kind).outlives || token.spec.creation_policy() == CreationPolicy::Merge
}

/// Whether what the object is issued with must stay until it is gone: it revokes with that.
#[must_use]
pub fn keeps_issuer(token: &ShopifyToken) -> bool {
    has_finalizer(token) && token.spec.source().is_some_and(|source| revocable(token, source.kind()))
}
