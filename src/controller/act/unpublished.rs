//! A credential that was issued and couldn't be written into the Secret: the next attempt publishes it, or revokes it where
//! it is of no use any more.

use chrono::SubsecRound;

use crate::{
    controller::{context::Context, kept::Unpublished},
    core::{
        credential::Credential,
        identity::Identity,
        observed::Observed,
        renewal,
        source::{Issuer, different_issuers, nature},
        vocabulary::labels::Ended,
    },
    sources::{self, Issued, Refused, Target, Turn},
    time::Timestamp,
};

/// The credential that was issued before for the same thing, if it can be published now. One for another thing, or that has
/// to be renewed, is discarded.
///
/// # Errors
/// Nobody can be asked to revoke that one: it is kept until then.
pub(super) async fn take(context: &Context, turn: &Turn<'_>) -> Result<Option<Issued>, Refused> {
    let (observed, uid) = (turn.observed, &turn.observed.identity.uid);
    let Some(Unpublished { inputs, mut issued }) = context.unpublished.get(uid) else { return Ok(None) };
    let Credential { issued_at, expires_at, .. } = issued.credential;
    // The record keeps whole seconds, and may stand beside another value: a webhook rewrites what is written.
    let at = issued_at.trunc_subsecs(0);
    let rewritten = observed.record().is_some_and(|r| r.issued_at == at) && observed.whole().is_none();
    let written = !rewritten && observed.latest().is_some_and(|r| r.issued_at >= at);
    let due =
        expires_at.is_some_and(|at| renewal::renewal_time(&observed.token.spec, uid, issued_at, at) <= context.now());
    // Of another client secret: that one may be revoked before this is published.
    let minted = issued.minted_by.as_ref();
    let outdated = observed.current_secret().is_some_and(|current| minted.is_some_and(|by| *by != current));
    if written || due || outdated || inputs != observed.inputs {
        discard(context, turn).await?;
        return Ok(None);
    }
    issued.revision = issued.revision.max(observed.next_revision());
    Ok(Some(issued))
}

/// Forgets the credential in hand. No Secret names it, and nobody would find it again: it is revoked where that is possible,
/// and lives until it expires where it isn't. Says which was revoked.
///
/// # Errors
/// Nobody answers, or the admin token is refused: it is kept, and the next attempt asks again.
pub(super) async fn discard(context: &Context, turn: &Turn<'_>) -> Result<Vec<String>, Refused> {
    let (kind, Identity { namespace, name, uid }) = (turn.observed.kind, &turn.observed.identity);
    let Some(Unpublished { issued, .. }) = context.unpublished.get(uid) else { return Ok(Vec::new()) };
    let mut ended = Vec::new();
    if is_stray(turn.observed, &issued, context.now()) {
        match sources::revoke(turn, Target::Made(&issued.credential)).await {
            Ok(revoked) => {
                ended = revoked.ended;
                context.setup.metrics.revoked(kind, Ended::Success);
            }
            // What heals is waited for. What takes a person holds up no other credential: this one ends by itself.
            Err(Refused::Failure(failure)) if failure.is_stalled() => {
                context.setup.metrics.revoked(kind, Ended::GivenUp);
                tracing::warn!(
                    namespace,
                    name,
                    reason = failure.reason.as_str(),
                    message = failure.message,
                    "a token that was never published isn't revoked, and lives until it expires"
                );
            }
            Err(refused) => return Err(refused),
        }
    }
    context.unpublished.remove(uid);
    Ok(ended)
}

/// The id of the credential in hand, if nobody else knows it and it goes on living.
pub(super) fn stray(context: &Context, observed: &Observed) -> Option<String> {
    let Unpublished { issued, .. } = context.unpublished.get(&observed.identity.uid)?;
    issued.credential.token_id.clone().filter(|_| is_stray(observed, &issued, context.now()))
}

/// Whether it can be revoked, by what is at hand, and has to be: no record names it, and it hasn't ended.
fn is_stray(observed: &Observed, issued: &Issued, now: Timestamp) -> bool {
    let at_hand = observed.issuer.as_ref().ok().and_then(Issuer::client_id);
    let id = issued.credential.token_id.as_ref();
    nature(observed.kind).revocable
        && issued.credential.expires_at.is_none_or(|at| at > now)
        && !observed.latest().is_some_and(|record| record.ids().any(|known| Some(known) == id))
        && !different_issuers(issued.issuer.as_deref(), at_hand)
}
