//! A look at a token that doesn't read its Secret: enough to see that nothing is to be done, and for nothing else. What it is
//! issued with is read as ever, which mostly costs no request, or is known to be what it was made of.
//!
//! What the watches don't show yet, a change made just now, comes as an event and brings the token back.

use crate::{
    api::ShopifyToken,
    controller::{context::Context, error::Error},
    core::{
        finalizer::{has_finalizer, needs_finalizer},
        made_of::agreed,
        observed::Observed,
        plan::{Step, plan},
        secret::{Held, SecretState},
    },
};

use super::{Protected, credentials, facts, named, protect, secret_slot, settles_at};

/// What is to be seen of a token whose Secret is as the operator wrote it, of this very spec, though nobody reads it now.
/// `None` where that isn't known, or more would have to be read: observe it.
///
/// # Errors
/// Of Kubernetes, and [`Error::Invalid`] for an object that names no source.
pub(in crate::controller) async fn glance(context: &Context, token: &ShopifyToken) -> Result<Option<Observed>, Error> {
    let (source, identity) = named(token)?;
    let (kind, name) = (source.kind(), token.secret_name());
    let Some(record) = context.holdings.untouched(&identity, name) else { return Ok(None) };
    let reported = token.status.as_ref().map(|s| (Some(s.observed_generation), s.revision));
    let in_use = needs_finalizer(token, kind);
    let needed = in_use || context.stores.needs_token(&identity.namespace, &identity.name);
    let known = reported == Some((token.metadata.generation, Some(record.revision)))
        && token.metadata.deletion_timestamp.is_none()
        // There is something to do, and it goes by what is there this very moment.
        && !credentials::asks(token)
        && context.holdings.of(&identity) == [name]
        // Whether it is needed no more, a live list tells.
        && (needed || !has_finalizer(token))
        && (token.spec.rollout_restart_targets.is_empty() || !record.restarts());
    if !known {
        return Ok(None);
    }
    let Some(found) = credentials::known(context, token, source, (&identity, &record)).await? else { return Ok(None) };
    let asked = record.asked().to_owned();
    if found.api_version.is_some_and(|version| version != asked) {
        return Ok(None);
    }
    let secret = SecretState::Ours(Box::new(Held::unread(record)));
    let mut observed = facts(context, token, (source, identity), (found.issuer, &found.versions), secret, asked);
    observed.turn = secret_slot::turn(context, &observed);
    observed.settles_at = settles_at(context, &observed);
    observed.unprotected = protect(token, kind, in_use, found.needed).iter().any(Protected::unprotected);
    Ok(Some(observed))
}

/// Takes note that a record tells what is in other versions of Secrets than it names, where nothing is to be done: a person has
/// changed a label there, say, and a look needn't read them again. A process that has just begun does, once.
pub(in crate::controller) fn agree(context: &Context, observed: &Observed) {
    let (Some(record), Some(versions)) = (observed.record(), observed.made_of()) else { return };
    if record.made_of.as_ref() == Some(&versions) {
        return;
    }
    let plan = plan(observed, context.now());
    if plan.step == Step::Keep && plan.hold.is_none() {
        context.agreed.put(observed.identity.uid.clone(), agreed(record, &versions));
    }
}
