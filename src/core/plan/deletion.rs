//! How a deletion is finished: it never wedges, and doesn't leak.

use chrono::TimeDelta;
use kube::ResourceExt;

use super::{Hold, Observed, Plan, ShopState, Step, soonest};
use crate::{
    api::{ShopifyToken, SourceKind, token::CreationPolicy, token::DeletionPolicy},
    core::{
        Timestamp,
        failure::Failure,
        vocabulary::{FINALIZER, Reason},
    },
    time,
};

/// How a deletion is finished.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deletion {
    /// Revoke at Shopify, then let go.
    Revoke,
    /// Nothing to revoke: let go.
    LetGo,
    /// What should be revoked can't be: let go with a warning.
    GiveUp,
}

/// What to do for an object that is being deleted.
pub(super) fn plan(o: &Observed, deleted_at: Timestamp, now: Timestamp) -> Plan {
    let only = |step| Plan { step, hold: None, wake_at: None };
    if !o.token.finalizers().iter().any(|f| f == FINALIZER) {
        return only(Step::Keep);
    }
    if !o.needed_by.is_empty() {
        let failure = format!("kept until the tokens that need it are revoked: {}", o.needed_by.join(", "));
        let hold = Some(Hold::Blocked(Failure::new(Reason::Revoking, failure)));
        return Plan { step: Step::Keep, hold, wake_at: Some(now + TimeDelta::minutes(1)) };
    }
    if !revocable(&o.token, o.kind) {
        return only(Step::Delete(Deletion::LetGo));
    }
    let deadline = deleted_at + o.revocation_timeout;
    // An issue that failed before the deletion was no attempt to revoke.
    let failed_at = o.status().and_then(|s| s.last_failure_time.as_ref()).map(time::from_kube);
    let attempted = failed_at.is_some_and(|at| at >= deleted_at) || o.shop == ShopState::Down;
    match (&o.issuer, o.next_attempt(now)) {
        (Err(_), _) => only(Step::Delete(Deletion::GiveUp)),
        (Ok(_), _) if now >= deadline && attempted => only(Step::Delete(Deletion::GiveUp)),
        (Ok(_), Some(at)) => {
            Plan { step: Step::Keep, hold: Some(Hold::BackingOff), wake_at: soonest([Some(at), Some(deadline)], now) }
        }
        (Ok(_), None) => {
            Plan { step: Step::Delete(Deletion::Revoke), hold: None, wake_at: soonest([Some(deadline)], now) }
        }
    }
}

/// Whether deleting the object revokes its credential at Shopify.
#[must_use]
pub fn revocable(token: &ShopifyToken, kind: SourceKind) -> bool {
    let can = match kind {
        SourceKind::Storefront | SourceKind::Delegate => true,
        SourceKind::ClientCredentials | SourceKind::Offline | SourceKind::Custom | SourceKind::CustomerAccount => false,
    };
    can && token.spec.deletion_policy() == DeletionPolicy::Revoke
}

/// Whether the object itself needs our finalizer: there is something to undo when it goes.
#[must_use]
pub fn needs_finalizer(token: &ShopifyToken, kind: SourceKind) -> bool {
    revocable(token, kind) || token.spec.creation_policy() == CreationPolicy::Merge
}
