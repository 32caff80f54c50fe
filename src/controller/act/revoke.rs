//! Revokes: what is past its overlap, and everything when the object goes.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Secret;

use super::{
    leave::leave_all,
    pair, protect,
    publish::{leave, overdue, publish},
    refused, unpublished,
};
use crate::{
    api::token::DeletionPolicy,
    controller::{
        context::Context,
        error::{Error, Stop},
        observe::Observation,
        outcome::{Acted, Operation, Outcome},
    },
    core::{
        bounded::list,
        failure::Failure,
        observed::Observed,
        plan::Ending,
        record::{Previous, Record},
        source::nature,
        vocabulary::{EventReason, Reason, labels::Ended},
    },
    sources::{self, Left, Revoked, Target, Turn},
    time,
};

/// As many ids as the note of an event takes beside its words.
const NAMED: usize = 10;

const ROLLOUT_NOT_FINISHED: &str = "a rollout of spec.rolloutRestartTargets had not finished one overlap after the overlap; the old token was revoked all the same";

const SAFE_TO_REVOKE: &str =
    "the overlap is over, and the Secret holds no older pair any more: revoke it in the Headless or Hydrogen channel";

/// Revokes what is past its overlap: says so in the Secret, revokes, then takes it out of the Secret.
///
/// The first write fences: whoever has taken a credential up again meanwhile has written too, and the
/// compare-and-swap fails; and nobody takes up again what a record says is being revoked.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn end_overlap(context: &Context, turn: &Turn<'_>) -> Result<Acted, Error> {
    let observed = turn.observed;
    let Some(whole) = observed.whole() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let (before, now) = (whole.record, context.now());
    let due: Vec<&Previous> = before.previous.iter().filter(|p| observed.overlap_ended(p, now)).collect();
    let publish = async |live: &Secret, previous: Vec<Previous>| {
        let values = whole.previous.beside(observed.kind, &before.previous, &previous);
        let record = Record { previous, ..before.clone() };
        publish(context, observed, Some(live), record, whole.value, (&values, whole.session)).await
    };
    let mut live = whole.live.clone();
    let fence = |p: &Previous| {
        let ended = observed.overlap_ended(p, now);
        Previous { revoking: if ended { Some(before.revision) } else { p.revoking }, ..p.clone() }
    };
    // What the operator can't revoke nobody has to be kept from taking up again.
    let revocable = nature(observed.kind).revocable;
    if revocable && due.iter().any(|p| p.revoking.is_none()) {
        live = match publish(&live, before.previous.iter().map(fence).collect()).await {
            Ok(written) => written.secret,
            Err(stop) => return Acted::unwritten(stop),
        };
    }
    let (mut results, mut ids, mut left) = (Vec::new(), Vec::new(), Vec::new());
    // One that can't be revoked yet keeps no other alive.
    let (mut waits, mut refusal) = (HashSet::new(), None);
    for old in &due {
        match sources::revoke(turn, Target::One(old)).await {
            // It had expired.
            Ok(Revoked { left: None, ended }) if ended.is_empty() => {}
            Ok(Revoked { left: None, .. }) => {
                results.push(Ended::Success);
                ids.push(old.id.as_str());
            }
            Ok(Revoked { left: Some(Left { failure, .. }), .. }) => {
                results.push(Ended::GivenUp);
                left.push(not_revoked(&old.id, observed, &failure));
            }
            Err(refused) => {
                waits.insert(old.id.as_str());
                refusal.get_or_insert(refused);
            }
        }
    }
    let stays = |p: &&Previous| !observed.overlap_ended(p, now) || waits.contains(p.id.as_str());
    let written = if waits.len() < due.len() {
        publish(&live, before.previous.iter().filter(stays).map(fence).collect()).await.map(Some)
    } else {
        Ok(None)
    };
    let mut acted = match (written, refusal) {
        (Err(stop), _) => Acted::unwritten(stop)?,
        (Ok(_), Some(refusal)) => refused(context, observed, refusal, Operation::Revoke),
        (Ok(Some(written)), None) => Acted::published(written.record, false),
        (Ok(None), None) => Acted::quietly(Outcome::Unchanged),
    };
    if let Outcome::Published { record, .. } = &acted.outcome
        && !revocable
        && record.previous.is_empty()
    {
        acted = acted.with(EventReason::SafeToRevoke, SAFE_TO_REVOKE);
    }
    if !ids.is_empty() {
        acted = acted.with(EventReason::Revoked, format!("revoked after the overlap: {}", list(&ids, NAMED)));
    }
    for note in left {
        acted = acted.with(EventReason::RevocationFailed, note);
    }
    if observed.rolling_out() && waits.is_empty() {
        acted = acted.with(EventReason::RolloutNotFinished, ROLLOUT_NOT_FINISHED);
    }
    Ok(acted.counting(results))
}

/// Finishes a deletion: revokes at Shopify, leaves the Secret as the policies want it, lets go.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn revoke_and_let_go(
    context: &Context,
    observation: &Observation,
    turn: &Turn<'_>,
) -> Result<Acted, Error> {
    match unpublished::discard(context, turn).await {
        // To be told with all others.
        Ok(ended) => ended.into_iter().for_each(|id| context.memory.ended(&turn.observed.identity.uid, id)),
        Err(refusal) => return Ok(refused(context, turn.observed, refusal, Operation::Revoke)),
    }
    match sources::revoke(turn, Target::All).await {
        Ok(Revoked { left: Some(Left { ids, failure }), .. }) => {
            finish(context, observation, given_up(turn.observed, &ids, &failure)).await
        }
        Ok(Revoked { ended, left: None }) => {
            let acted = finish(context, observation, Acted::quietly(Outcome::LetGo)).await?;
            // Who isn't let clean up comes again, and tells it then.
            if !matches!(acted.outcome, Outcome::LetGo) {
                return Ok(acted);
            }
            let what = turn.observed.kind.as_str().to_lowercase();
            let note = match ended.as_slice() {
                [] => format!("no {what} token of it is left at {}", turn.shop),
                [id] => format!("{what} token revoked at {}: {id}", turn.shop),
                ids => format!("{} {what} tokens revoked at {}: {}", ids.len(), turn.shop, list(ids, NAMED)),
            };
            Ok(acted.with(EventReason::Revoked, note).counting(vec![Ended::Success]))
        }
        Err(refusal) => Ok(refused(context, turn.observed, refusal, Operation::Revoke)),
    }
}

/// Finishes a deletion without Shopify: nothing to revoke, or no way to.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn let_go(context: &Context, observation: &Observation, ending: Ending) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let acted = match (ending, &observed.issuer) {
        (Ending::NothingToRevoke, _) => Acted::quietly(Outcome::LetGo),
        (Ending::Retained, _) => retained(observed),
        (Ending::GivenUp, Err(failure)) => given_up(observed, &recorded(context, observed), failure),
        (Ending::GivenUp, Ok(_)) => {
            let message = format!("{} let nothing be revoked within --revocation-timeout", observed.token.spec.shop);
            given_up(observed, &recorded(context, observed), &Failure::new(Reason::BackingOff, message))
        }
    };
    finish(context, observation, acted).await
}

/// The object goes, and its credential stays: a person should know which, and of those that nobody ends any more.
fn retained(observed: &Observed) -> Acted {
    let (shop, secret) = (&observed.token.spec.shop, observed.token.secret_name());
    let acted = Acted::quietly(Outcome::LetGo);
    let Some(record) = observed.latest() else { return acted };
    let id = record.token_id.as_deref().unwrap_or("the token");
    let note = match observed.token.spec.deletion_policy() {
        DeletionPolicy::Retain => {
            format!("deletionPolicy is Retain: {id} lives on at {shop}, and Secret {secret:?} stays")
        }
        DeletionPolicy::Revoke => {
            let ends = record.expires_at.map_or("the app is uninstalled".to_owned(), time::print);
            format!(
                "Shopify revokes such a token with the app's uninstallation only: {id} lives on at {shop} until {ends}; what it was refreshed with is deleted here"
            )
        }
    };
    let acted = acted.with(EventReason::Retained, note);
    if record.previous.is_empty() {
        return acted;
    }
    let ids: Vec<&str> = record.previous.iter().map(|p| p.id.as_str()).collect();
    let note = format!(
        "deletionPolicy is Retain: older tokens that were in overlap live on at {shop} too, and nobody revokes them any more: {}; delete them in Shopify's admin when nothing uses them",
        list(&ids, NAMED)
    );
    acted.with(EventReason::RevocationFailed, note)
}

async fn finish(context: &Context, observation: &Observation, mut acted: Acted) -> Result<Acted, Error> {
    let ended = async {
        let mut left = leave_all(context, &observation.observed).await?;
        left.extend(pair::settle(context, &observation.observed, observation.stays).await?);
        left.extend(leave(context, &observation.observed).await?);
        match protect::let_needed_go(context, observation).await {
            // Its own deletion ends all the same.
            Err(Stop::Failure(failure)) if overdue(context, &observation.observed) => {
                acted.news.extend(Acted::warned(&failure).news);
            }
            ended => ended?,
        }
        protect::let_go(context, observation).await?;
        context.was_let_go(&observation.observed.identity.uid);
        Ok(left)
    };
    match ended.await {
        Ok(left) => {
            acted.news.extend(left);
            Ok(acted)
        }
        Err(stop) => Ok(Acted::failed(Stop::failure(stop)?, Operation::Revoke)),
    }
}

/// Everything that is known to live, and that no attempt has deleted.
fn recorded(context: &Context, observed: &Observed) -> Vec<String> {
    let uid = &observed.identity.uid;
    let now = context.now();
    let ids = observed.latest().into_iter().flat_map(|record| record.living(now));
    let ids = ids.filter(|id| !context.memory.is_deleted(uid, id)).cloned();
    ids.chain(unpublished::stray(context, observed)).collect()
}

/// The object goes and a token may stay: a person should know which.
fn given_up(observed: &Observed, ids: &[String], failure: &Failure) -> Acted {
    let ids = if ids.is_empty() { "a token with its marker".to_owned() } else { list(ids, NAMED) };
    let note = not_revoked(&ids, observed, failure);
    Acted::quietly(Outcome::LetGo).with(EventReason::RevocationFailed, note).counting(vec![Ended::GivenUp])
}

fn not_revoked(id: &str, observed: &Observed, failure: &Failure) -> String {
    let then = if nature(observed.kind).by_value {
        "it lives until it expires"
    } else {
        "delete it in Shopify's admin if it still lives"
    };
    format!("let go without revoking {id} at {}: {}; {then}", observed.token.spec.shop, failure.message)
}
