//! How a deletion is finished: it never wedges, and doesn't leak.

use chrono::TimeDelta;

use super::{
    Call, Ending, Plan, Step, Why,
    blocked::{blocked, refusal},
    demand, soonest,
};
use crate::{
    core::{
        failure::Failure,
        finalizer::{has_finalizer, revocable},
        hold::Hold,
        observed::{Observed, ShopState},
        source::{Offline, nature},
        vocabulary::Reason,
    },
    time::{self, Timestamp},
};

/// Why a token that others need for their revocation is refreshed, though it is being deleted: nothing else could be asked
/// for in its place, as a fresh one of an app can.
fn kept_alive(o: &Observed, now: Timestamp) -> Option<Why> {
    let possible = o.offline().is_some() && blocked(o).is_none() && refusal(o).is_none();
    // What is at hand in the record Secret serves them, too, and without a refresh token nothing follows it.
    let pair = o.offline().and_then(Offline::pair).filter(|pair| pair.refresh.is_some());
    let due = pair.is_some_and(|pair| pair.access.as_ref().is_none_or(|access| access.is_due(o, now)));
    let why = demand::issue(o, now).filter(|_| possible && due);
    why.filter(|why| matches!(why, Why::Expiring | Why::Lost))
}

/// What to do for an object that is being deleted.
pub(super) fn plan(o: &Observed, deleted_at: Timestamp, now: Timestamp) -> Plan {
    let only = |step| Plan { step, hold: None, wake_at: None };
    if !has_finalizer(&o.token) {
        return only(Step::Keep);
    }
    if !o.needed_by.is_empty() {
        let failure = format!("kept until the tokens that need it are revoked: {}", o.needed_by.join(", "));
        let waits = Hold::Blocked(Failure::new(Reason::Revoking, failure));
        let pending = o.next_attempt(now);
        let (step, hold) = match (kept_alive(o, now), pending) {
            (None, _) => (Step::Keep, waits),
            (Some(_), Some(_)) => (Step::Keep, Hold::BackingOff),
            (Some(why), None) => (Step::Call(Call::Issue(why)), waits),
        };
        return Plan { step, hold: Some(hold), wake_at: soonest([pending, Some(now + TimeDelta::minutes(1))], now) };
    }
    let deadline = deleted_at + o.revocation_timeout;
    let failed_at = o.status().and_then(|s| s.last_failure_time.as_ref()).map(time::from_kube);
    let write_refused = o.last_failure() == Some(Reason::WriteRefused);
    // At the end what can't be written is left as it is: that is tried at once.
    let at_last = write_refused && now >= deadline && failed_at.is_some_and(|at| at < deadline);
    let next_attempt = o.next_attempt(now).filter(|_| !at_last);
    if let Some(at) = next_attempt.filter(|_| write_refused) {
        return Plan {
            step: Step::Keep,
            hold: Some(Hold::BackingOff),
            wake_at: soonest([Some(at), Some(deadline)], now),
        };
    }
    if !revocable(&o.token, o.kind) {
        let lives_on = nature(o.kind).outlives && o.latest().is_some();
        return only(Step::LetGo(if lives_on { Ending::Retained } else { Ending::NothingToRevoke }));
    }
    if let Some(at) = o.settles_at.filter(|at| *at > now && o.issuer.is_ok()) {
        let what = "a storefront token may have been created a moment ago: waiting until Shopify lists it";
        let hold = Some(Hold::Blocked(Failure::new(Reason::Revoking, what)));
        return Plan { step: Step::Keep, hold, wake_at: Some(at) };
    }
    // An issue that failed before the deletion was no attempt to revoke, and Shopify refuses no write.
    let attempted =
        (!write_refused && failed_at.is_some_and(|at| at >= deleted_at)) || matches!(o.shop, ShopState::Down { .. });
    match (&o.issuer, next_attempt) {
        // A newer operator, or a person, may yet make it readable.
        (Err(failure), _) if failure.reason == Reason::DependencyInvalid && now < deadline => {
            Plan { step: Step::Keep, hold: Some(Hold::Blocked(failure.clone())), wake_at: Some(deadline) }
        }
        // What an offline admin token is refreshed with is still there: it may be Ready again.
        (Err(failure), _) if failure.reason == Reason::AdminTokenNotReady && o.admin_renews && now < deadline => {
            let wake_at = soonest([Some(now + TimeDelta::minutes(1)), Some(deadline)], now);
            Plan { step: Step::Keep, hold: Some(Hold::Blocked(failure.clone())), wake_at }
        }
        (Err(_), _) => only(Step::LetGo(Ending::GivenUp)),
        (Ok(_), _) if now >= deadline && attempted => only(Step::LetGo(Ending::GivenUp)),
        (Ok(_), Some(at)) => {
            Plan { step: Step::Keep, hold: Some(Hold::BackingOff), wake_at: soonest([Some(at), Some(deadline)], now) }
        }
        (Ok(_), None) => Plan { step: Step::Call(Call::Revoke), hold: None, wake_at: soonest([Some(deadline)], now) },
    }
}
