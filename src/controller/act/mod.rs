//! Does one step: the order of writes, here and at Shopify, is written once, for every source.

mod issue;
pub(super) mod protect;
mod publish;
mod revoke;
mod rollout;
mod verify;

use super::{
    context::{Context, TokenKey},
    error::{Error, Stop},
    observe::Observation,
    outcome::{Acted, Operation, Outcome},
};
use crate::{
    core::{
        failure::Failure,
        observed::{Doubt, Observed},
        plan::{Call, Step},
        vocabulary::{EventReason, Reason},
    },
    shopify::{Admission, Shop},
    sources::{Refused, Turn},
};

/// Does one step.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn act(context: &Context, observation: &Observation, step: Step) -> Result<Acted, Error> {
    match step {
        Step::Keep => Ok(Acted::quietly(Outcome::Unchanged)),
        Step::Protect => match keep(context, observation).await {
            Ok(_) => Ok(Acted::quietly(Outcome::Unchanged)),
            Err(ended) => Ok(Acted::warned(&ended.failure()?)),
        },
        Step::Repair => publish::repair(context, &observation.observed).await,
        Step::Restart => rollout::restart(context, &observation.observed).await,
        Step::LetGo(ending) => revoke::let_go(context, observation, ending).await,
        Step::Call(call) => at_shopify(context, observation, call).await,
    }
}

/// Does a step that calls Shopify: within the shop's bounds, and with everything protected that a revocation will need.
async fn at_shopify(context: &Context, observation: &Observation, call: Call) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let shop: Shop = match observed.token.spec.shop.parse() {
        Ok(shop) => shop,
        Err(error) => {
            let failure = Failure::new(Reason::ShopNotFound, format!("spec.shop: {error}"));
            return Ok(Acted::failed(failure, Operation::Issue));
        }
    };
    let issuer = match &observed.issuer {
        Ok(issuer) => issuer,
        Err(failure) => return Ok(Acted::failed(failure.clone(), Operation::Issue)),
    };
    let Some(_slot) = context.slots.try_slot(&shop) else { return Ok(Acted::quietly(Outcome::Busy)) };
    match keep(context, observation).await {
        Ok(true) => {}
        // It goes, or is gone, and the watch lags behind: what is created now nobody would ever revoke.
        Ok(false) => return Ok(Acted::quietly(Outcome::Unchanged)),
        Err(ended) => return Ok(Acted::failed(ended.failure()?, Operation::Issue)),
    }
    let _turn = match (call, issuer.turn(&observed.identity)) {
        (Call::Issue(_), Some(key)) => Some(context.memory.turn(&key, &shop).await),
        (Call::Issue(_), None) | (Call::Verify | Call::EndOverlap | Call::Revoke, _) => None,
    };
    // Asked after the wait: the shop may have fallen silent for the one before.
    let key = TokenKey::of(&observed.identity);
    if let Admission::Wait { .. } = context.outages.admit(&shop, &key, context.now()) {
        return Ok(Acted::quietly(Outcome::ShopDown));
    }
    let turn = Turn {
        shopify: context.shopify(),
        shop: &shop,
        observed,
        issuer,
        memory: &context.memory,
        clock: &context.setup.clock,
    };
    let acted = match call {
        Call::Issue(why) => issue::issue(context, &turn, why).await,
        Call::Verify => verify::verify(context, &turn).await,
        Call::EndOverlap => revoke::end_overlap(context, &turn).await,
        Call::Revoke => revoke::revoke_and_let_go(context, observation, &turn).await,
    };
    match &acted {
        Ok(Acted { outcome: Outcome::Failed { failure, .. }, .. }) if failure.unreachable => {
            context.outages.silent(&shop, &key, context.now());
        }
        // An error here is one of Kubernetes, after Shopify has answered.
        Ok(_) | Err(_) => {
            for waiting in context.outages.answered(&shop, context.now()) {
                context.wakes.token(waiting.object());
            }
        }
    }
    acted
}

/// What a source's refusal is to the object, and to the admin token it was made with.
fn refused(context: &Context, observed: &Observed, refused: Refused, during: Operation) -> Acted {
    match refused {
        Refused::Failure(failure) => Acted::failed(failure, during),
        Refused::AdminDead { name, failure } => {
            // That one is verified now, and replaced where that is possible.
            let admin = TokenKey { namespace: observed.identity.namespace.clone(), name };
            context.suspects.put(admin.clone(), Doubt::Refused);
            context.wakes.token(admin.object());
            Acted::failed(failure, during)
        }
        Refused::Dead(how) => {
            context.suspects.remove(&TokenKey::of(&observed.identity));
            let note = format!("{} {how}", observed.token.spec.shop);
            Acted::quietly(Outcome::Rejected).with(EventReason::VerificationFailed, note)
        }
    }
}

/// Puts the finalizer where it is needed, and takes it off where nobody needs it any more. Says whether
/// the object itself has what it needs.
async fn keep(context: &Context, observation: &Observation) -> Result<bool, Stop> {
    let observed = &observation.observed;
    if observed.token.metadata.deletion_timestamp.is_some() {
        return Ok(true);
    }
    for object in observation.protect.iter().filter(|o| o.unprotected()) {
        let own = object.uid.as_ref() == Some(&observed.identity.uid);
        if !protect::put_on(context, &observed.identity, object).await? && own {
            return Ok(false);
        }
    }
    if observation.unneeded {
        protect::let_go(context, observation).await?;
    }
    Ok(true)
}
