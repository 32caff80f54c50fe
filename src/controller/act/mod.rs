//! Does one step: the order of writes, here and at Shopify, is written once, for every source.

mod issue;
mod leave;
mod pair;
pub(super) mod protect;
mod publish;
mod revoke;
mod rollout;
mod unpublished;
mod verify;

pub(super) use self::publish::write;

use tokio::sync::OwnedMutexGuard;

use super::{
    context::Context,
    error::{Error, Stop},
    key::ObjectKey,
    observe::Observation,
    outcome::{Acted, Operation, Outcome},
};
use crate::{
    core::{
        cause::TURN,
        failure::Failure,
        observed::{Doubt, Observed},
        plan::{Call, Step},
        urgency::Urgency,
        vocabulary::{EventReason, Reason},
    },
    shopify::{Admission, Heard, Place, Shop, Surface, Word},
    slots::Slot,
    sources::{self, Refused, Turn},
};

/// Leave to call a token's shop.
pub(super) type ShopSlot = Slot<Shop, ObjectKey, Urgency>;

/// Leave to ask something of a shop: given back as soon as there is nothing more to ask, for others wait for it.
struct Permit<'a> {
    context: &'a Context,
    key: ObjectKey,
    shop: &'a Shop,
    places: Vec<Place>,
    heard: Heard,
    /// Whether what was heard is passed on.
    told: bool,
    slot: &'a mut Option<ShopSlot>,
    /// That of an issue which nobody else may make meanwhile.
    alone: Option<OwnedMutexGuard<()>>,
}

impl Permit<'_> {
    /// The next one may ask, and knows what was heard.
    fn give_back(&mut self) {
        self.tell(None);
        self.slot.take();
        self.alone.take();
    }

    /// Passes on what was heard, once.
    fn tell(&mut self, failure: Option<&Failure>) {
        if !std::mem::replace(&mut self.told, true) {
            told(self.context, &self.key, self.shop, &self.places, &self.heard, failure);
        }
    }
}

/// Does one step. A call takes the slot that is there, or one of its own, and may have given it back.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn act(
    context: &Context,
    observation: &Observation,
    step: Step,
    slot: &mut Option<ShopSlot>,
) -> Result<Acted, Error> {
    if !matches!(step, Step::Call(_)) {
        // Others may have it.
        slot.take();
    }
    match step {
        Step::Keep => Ok(Acted::quietly(Outcome::Unchanged)),
        Step::Protect => match keep(context, observation).await {
            Ok(_) => Ok(Acted::quietly(Outcome::Unchanged)),
            Err(ended) => Ok(Acted::warned(&ended.failure()?)),
        },
        Step::Begin => pair::begin(context, &observation.observed).await,
        Step::Repair => publish::repair(context, &observation.observed).await,
        Step::Restart => rollout::restart(context, &observation.observed).await,
        Step::Leave => leave::leave(context, &observation.observed).await,
        Step::LetGo(ending) => revoke::let_go(context, observation, ending).await,
        // Most reconciles need no room for it.
        Step::Call(call) => Box::pin(at_shopify(context, observation, call, slot)).await,
    }
}

/// Does a step that calls Shopify: within the shop's bounds, and with everything protected that a revocation will need.
async fn at_shopify(
    context: &Context,
    observation: &Observation,
    call: Call,
    slot: &mut Option<ShopSlot>,
) -> Result<Acted, Error> {
    let (observed, during) = (&observation.observed, Operation::of(Step::Call(call)));
    let shop: Shop = match observed.token.spec.shop.parse() {
        Ok(shop) => shop,
        Err(error) => {
            let failure = Failure::new(Reason::ShopNotFound, format!("spec.shop: {error}"));
            return Ok(Acted::failed(failure, during));
        }
    };
    let issuer = match &observed.issuer {
        Ok(issuer) => issuer,
        Err(failure) => return Ok(Acted::failed(failure.clone(), during)),
    };
    if slot.is_none() {
        let urgency = Urgency::of(&observed.token, observed.whole().is_some(), context.now());
        *slot = context.slots.take(&shop, &ObjectKey::of(&observed.identity), urgency);
    }
    if slot.is_none() {
        return Ok(Acted::quietly(Outcome::Busy));
    }
    match (keep(context, observation).await, call) {
        (Ok(Kept::All), _) | (Ok(Kept::Without(_)), Call::Verify | Call::EndOverlap | Call::Revoke) => {}
        // It goes, or is gone, and the watch lags behind: what is created now nobody would ever revoke.
        (Ok(Kept::Going), _) => return Ok(Acted::quietly(Outcome::Unchanged)),
        (Ok(Kept::Without(what)), Call::Issue(_)) => {
            let message = format!(
                "{what} is being deleted, and what were created with it now could not be revoked any more; it goes on as soon as it is there anew"
            );
            return Ok(Acted::failed(Failure::new(Reason::AdminTokenNotReady, message), during));
        }
        (Err(ended), _) => return Ok(Acted::failed(ended.failure()?, during)),
    }
    match pair::pending(context, observed).await {
        Ok(false) => {}
        // The watch brings it back with what was written.
        Ok(true) => return Ok(Acted::quietly(Outcome::Unchanged)),
        Err(unwritten) => return Acted::unwritten(unwritten),
    }
    let alone = match (call, issuer.turn(&observed.identity)) {
        (Call::Issue(_), Some(key)) => Some(context.memory.issues_alone(&key, &shop).await),
        (Call::Issue(_), None) | (Call::Verify | Call::EndOverlap | Call::Revoke, _) => None,
    };
    // Who has only waited so far has begun nothing, unless what was issued before is still to be written.
    if context.workers.are_closed() && context.unpublished.get(&observed.identity.uid).is_none() {
        return Ok(Acted::quietly(Outcome::Busy));
    }
    // Asked after the wait: the shop may have fallen silent for the one before.
    let key = ObjectKey::of(&observed.identity);
    let places = sources::places(observed, issuer, call, &shop, &context.salt, context.now());
    context.pass_on(&context.outages.keep_to(&places, &key, context.now()));
    if let Admission::Wait { place, .. } = context.outages.admit(&places, &key, context.now()) {
        context.pass_on(&context.outages.keep_to(std::slice::from_ref(&place), &key, context.now()));
        return Ok(Acted::quietly(Outcome::Waits(waits_for(&place))));
    }
    let (shopify, heard) = context.shopify().listening();
    let turn =
        Turn { shopify: &shopify, shop: &shop, observed, issuer, memory: &context.memory, clock: &context.setup.clock };
    let mut permit = Permit { context, key, shop: &shop, places, heard, told: false, slot, alone };
    let acted = match call {
        Call::Issue(why) => issue::issue(context, &turn, why, &mut permit).await,
        Call::Verify => verify::verify(context, &turn).await,
        Call::EndOverlap => revoke::end_overlap(context, &turn).await,
        Call::Revoke => revoke::revoke_and_let_go(context, observation, &turn).await,
    };
    let failure = match &acted {
        Ok(Acted { outcome: Outcome::Failed { failure, .. }, .. }) => Some(failure),
        Ok(_) | Err(_) => None,
    };
    permit.tell(failure);
    acted
}

/// Passes on what was heard on the wire: who waits for a place that is in order again is woken, and a turn that wasn't
/// used goes to the next.
fn told(context: &Context, key: &ObjectKey, shop: &Shop, places: &[Place], heard: &Heard, failure: Option<&Failure>) {
    let (outages, now) = (&context.outages, context.now());
    let heard = heard.surfaces(failure.is_some_and(|failure| failure.unreachable));
    let mut woken = Vec::new();
    for (surface, word) in &heard {
        let place = Place::Surface(shop.clone(), *surface);
        match word {
            Word::Silence if places.contains(&place) => {
                outages.silent(&place, key, now);
                if let Some(wait) = failure.and_then(|failure| failure.retry_after) {
                    outages.hold_off(&place, wait, now);
                }
            }
            // It wasn't admitted there, and would be again at once: its own back-off counts.
            Word::Silence => {}
            Word::Refusal | Word::Success => woken.extend(outages.answered(&place, now)),
        }
    }
    if !heard.is_empty() && heard.iter().all(|(_, word)| *word != Word::Silence) {
        outages.heard(key);
    }
    for place in places {
        let asked = match place {
            Place::Surface(_, surface) => *surface,
            Place::Credentials(_) => Surface::TokenEndpoint,
        };
        let word = heard.iter().find(|(surface, _)| *surface == asked).map(|(_, word)| *word);
        match (place, word) {
            (_, None) => woken.extend(outages.unused(place, key, now)),
            (Place::Surface(..), Some(_)) => {}
            (Place::Credentials(_), Some(Word::Success)) => woken.extend(outages.accepted(place, shop, now)),
            (Place::Credentials(_), Some(Word::Refusal | Word::Silence)) => {
                match failure.filter(|failure| failure.reason == Reason::CredentialsRejected) {
                    Some(Failure { ambiguous: true, .. }) => outages.doubted(place, shop, key, now),
                    Some(_) => outages.silent(place, key, now),
                    // The surface's own pause bounds these, and says nothing to the tokens of other shops.
                    None if word == Some(Word::Silence) => woken.extend(outages.unused(place, key, now)),
                    None => outages.inconclusive(place, key, now),
                }
            }
        }
    }
    outages.settled(key);
    context.pass_on(&woken);
}

/// What an object that waits for others to ask says.
fn waits_for(place: &Place) -> Failure {
    match place {
        Place::Surface(shop, surface) => {
            let message =
                format!("the {} of {shop} {TURN}, and everything goes on as soon as it does", surface.as_str());
            Failure { unreachable: true, ..Failure::new(Reason::BackingOff, message) }
        }
        Place::Credentials(_) => {
            let message = "Shopify rejects this app's client id and secret; one token at a time asks again, at most every 10 minutes: correct the app's Secret, and all go on at once";
            Failure::new(Reason::CredentialsRejected, message)
        }
    }
}

/// What a source's refusal is to the object, and to the admin token it was made with.
fn refused(context: &Context, observed: &Observed, refused: Refused, during: Operation) -> Acted {
    match refused {
        Refused::Failure(failure) | Refused::CodeDead(failure) => Acted::failed(failure, during),
        Refused::AdminDead { name, failure } => {
            // That one is verified now, and replaced where that is possible.
            let admin = ObjectKey::new(&observed.identity.namespace, &name);
            context.suspects.put(admin.clone(), Doubt::Refused);
            context.wakes.token(admin.clone());
            Acted::failed(failure, during)
        }
        Refused::Dead(how) => {
            context.suspects.remove(&ObjectKey::of(&observed.identity));
            let note = format!("{} {how}", observed.token.spec.shop);
            Acted::quietly(Outcome::Rejected).with(EventReason::VerificationFailed, note)
        }
    }
}

/// What stays until a revocation is done.
enum Kept {
    /// All it needs.
    All,
    /// Not the object itself.
    Going,
    /// Not this, which it needs.
    Without(String),
}

/// Puts the finalizer where it is needed, and takes it off where nobody needs it any more.
async fn keep(context: &Context, observation: &Observation) -> Result<Kept, Stop> {
    let observed = &observation.observed;
    if observed.token.metadata.deletion_timestamp.is_some() {
        return Ok(Kept::All);
    }
    let mut kept = Kept::All;
    for object in observation.protect.iter().filter(|o| !o.has) {
        let own = object.uid.as_ref() == Some(&observed.identity.uid);
        if object.unprotected() && protect::put_on(context, &observed.identity, object).await? {
            continue;
        }
        if own {
            return Ok(Kept::Going);
        }
        kept = Kept::Without(object.told_to(&observed.identity));
    }
    if observation.unneeded {
        protect::let_go(context, observation).await?;
    }
    Ok(kept)
}
