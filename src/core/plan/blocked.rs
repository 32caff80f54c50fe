//! What stands in the way of publishing a credential, and what is done all the same.

use super::{Call, Why};
use crate::{
    core::{failure::Failure, keeper::Keeper, observed::Observed, secret::SecretState, vocabulary::Reason},
    time::Timestamp,
};

/// Whether the record Secret is to have a pair that isn't written down yet.
#[must_use]
pub(super) fn begins(o: &Observed) -> bool {
    o.beginning().is_some() || o.keeper().is_some_and(Keeper::in_hand)
}

/// Why nothing can be written into the applications' Secret.
#[must_use]
pub fn unpublishable(o: &Observed) -> Option<Failure> {
    refusal(o).or_else(|| o.frozen().or(o.template.as_ref().err()).cloned())
}

/// What has to be done although it can't be published: else a code, or a refresh token, would end unused, and a person would
/// have to help.
#[must_use]
pub(super) fn perishable(o: &Observed, now: Timestamp) -> Option<Call> {
    let perishes = match o.keeper()? {
        Keeper::Offline(offline) => offline.code().is_some() || offline.cools(now),
        // Nobody knows when its refresh token ends.
        Keeper::Session(_, session) => session.public.is_some() && session.code().is_some(),
    };
    perishes.then_some(Call::Issue(Why::Expiring))
}

/// Why this object may have no Secret at all.
#[must_use]
pub(super) fn refusal(o: &Observed) -> Option<Failure> {
    match &o.secret {
        SecretState::Refused(failure) => Some(failure.clone()),
        SecretState::Collected => Some(Failure::new(
            Reason::Issuing,
            format!(
                "waiting for the garbage collector to remove Secret {:?} of the deleted ShopifyToken of this name",
                o.token.secret_name()
            ),
        )),
        SecretState::Absent | SecretState::Mergeable(_) => o.rival.as_ref().map(|rival| {
            Failure::new(
                Reason::SecretConflict,
                format!(
                    "Secret {:?} is ShopifyToken {rival:?}'s, which is older; choose another spec.secret.name",
                    o.token.secret_name()
                ),
            )
        }),
        SecretState::Ours(_) => None,
    }
}

/// A precondition that isn't met.
#[must_use]
pub(super) fn blocked(o: &Observed) -> Option<Failure> {
    o.frozen().or(o.template.as_ref().err()).or(o.issuer.as_ref().err()).cloned()
}
