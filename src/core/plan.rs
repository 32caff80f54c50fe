//! The decision: what is the next step for a token, and when to look again.

mod blocked;
mod deletion;
pub mod demand;

use chrono::TimeDelta;

pub use self::blocked::unpublishable;
use self::blocked::{begins, blocked, perishable, refusal};
use super::{
    failure::Failure, hold::Hold, keeper::Keeper, observed::Observed, pair::is_misowned, renewal::renewal_of,
    source::Offline, vocabulary::Reason,
};
use crate::time::{self, Timestamp};

/// Most credentials that may be in overlap: a further rotation waits.
pub const MAX_PREVIOUS: usize = 5;
/// A watch brings everything back in time; this is the net below it.
const SAFETY_NET: TimeDelta = TimeDelta::minutes(10);
/// How far apart two refusals of a credential that Shopify still lists must be to count.
pub const REFUSALS_APART: TimeDelta = TimeDelta::minutes(1);

/// The next step, what stands in the way of another, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do now.
    pub step: Step,
    /// What should be done and can't.
    pub hold: Option<Hold>,
    /// When to look again if nothing happens until then.
    pub wake_at: Option<Timestamp>,
}

/// What to do now: here, or by a call to Shopify.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Put our finalizer on what a revocation will need, and take it off what needs it no more.
    Protect,
    /// Write a pair in hand, or what a person has put into the bootstrap Secret, into the record Secret; or have that go with
    /// its object, or stay, as the policies want it now.
    Begin,
    /// Write the Secret anew from what is at hand.
    Repair,
    /// Restart the workloads that don't run with the newest credential.
    Restart,
    /// Mark the Secrets that older specs named, and leave those whose overlap is over.
    Leave,
    /// Finish a deletion without Shopify.
    LetGo(Ending),
    /// Ask something of Shopify.
    Call(Call),
}

/// What to ask of Shopify.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Call {
    /// Obtain a credential and publish it.
    Issue(Why),
    /// Ask whether the credential is what we think it is.
    Verify,
    /// Revoke what is past its overlap.
    EndOverlap,
    /// Finish a deletion: revoke everything, then let go.
    Revoke,
}

/// Why a deletion is finished without Shopify.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// There is nothing to revoke.
    NothingToRevoke,
    /// What there is isn't to be revoked, and lives on.
    Retained,
    /// What should be revoked can't be: a warning says so.
    GivenUp,
}

/// Why a credential is issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// There has never been one.
    First,
    /// The Secret, the record or the value is gone.
    Lost,
    /// The spec names another Secret than before.
    Renamed,
    /// Shopify refuses it, or has it no more.
    Rejected,
    /// The spec asks for another one.
    InputsChanged,
    /// The token that it is made of was replaced.
    ParentChanged,
    /// It lacks a scope that is required now.
    ScopesMissing,
    /// Another client secret of the app has minted it than the current one.
    SecretChanged,
    /// It expires soon, or has.
    Expiring,
    /// A person or pipeline asked.
    Requested,
    /// It has reached its rotation interval.
    Interval,
    /// The person who supplies it has replaced it.
    Replaced,
    /// The merchant has approved the app once more.
    Approved,
}

/// Decides. Total and pure.
#[must_use]
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    plan_without(observed, &[], now)
}

/// Decides what else there is to do, should these calls have to wait until others are answered.
#[must_use]
pub fn plan_without(observed: &Observed, waiting: &[Call], now: Timestamp) -> Plan {
    let o = observed;
    if let Some(deleted_at) = &o.token.metadata.deletion_timestamp {
        let plan = deletion::plan(o, time::from_kube(deleted_at), now);
        // There is nothing else to do meanwhile.
        let waits = matches!(plan.step, Step::Call(call) if waiting.contains(&call));
        return if waits { Plan { step: Step::Keep, ..plan } } else { plan };
    }
    if o.token.spec.suspended() {
        // Ready ends with the credential all the same.
        let expiry = o.record().and_then(|r| r.expires_at);
        let step = idle(o);
        return Plan { step, hold: Some(Hold::Suspended), wake_at: soonest([expiry, net(step, now)], now) };
    }
    let perishes = perishable(o, now).filter(|call| !waiting.contains(call)).map(Step::Call);
    if let Some(hold) = unpublishable(o).map(Hold::Blocked)
        && let Some(step) = begins(o).then_some(Step::Begin).or(perishes)
    {
        let pending = o.next_attempt(now);
        let step = if pending.is_some() { idle(o) } else { step };
        let hold = if pending.is_some() { Hold::BackingOff } else { hold };
        return Plan { step, hold: Some(hold), wake_at: soonest([pending, Some(now + SAFETY_NET)], now) };
    }
    if let Some(failure) = refusal(o) {
        let wake_at = soonest([o.offline().and_then(Offline::warm_until), Some(now + SAFETY_NET)], now);
        return Plan { step: idle(o), hold: Some(Hold::Blocked(failure)), wake_at };
    }
    let mut hold = blocked(o).map(Hold::Blocked);
    if hold.is_none() && begins(o) {
        let pending = o.next_attempt(now);
        let step = if pending.is_some() { Step::Keep } else { Step::Begin };
        let wake_at = soonest([wake(o, None, now), pending, Some(now + SAFETY_NET)], now);
        return Plan { step, hold: pending.map(|_| Hold::BackingOff), wake_at };
    }
    let repairs = o.drifted && o.template.is_ok() && o.frozen().is_none();
    let refused = repairs && write_refused(o, now);
    if hold.is_none() {
        let (mut calls, out_of_turn) = in_turn(o, wanted(o, now));
        calls.retain(|call| !waiting.contains(call));
        hold = out_of_turn.then_some(Hold::BackingOff);
        for call in calls {
            match gate(o, call, now) {
                // Nothing would tell any more that the Secret isn't as the spec has it: it is verified next. A failure stays
                // until then.
                None if call == Call::Verify && repairs && !refused && !adopts(o) => {
                    hold = hold.or(call_failed(o).then_some(Hold::BackingOff));
                }
                // Should the step change nothing, no watch brings the object back.
                None => {
                    let step = Step::Call(call);
                    return Plan { step, hold, wake_at: soonest([wake(o, None, now), Some(now + SAFETY_NET)], now) };
                }
                // A back-off counts before all else: what it waits for mustn't be tried at once.
                Some(Hold::BackingOff) => hold = Some(Hold::BackingOff),
                Some(found) => hold = hold.or(Some(found)),
            }
        }
    }
    // All that can be done without the customer is done.
    hold = hold.or_else(|| o.whole().and_then(|_| o.session_waits(now)).map(Hold::Blocked));
    let hold = if refused { Some(Hold::BackingOff) } else { hold };
    let step = match idle(o) {
        _ if repairs && !refused => Step::Repair,
        Step::Keep if record_misowned(o) && !write_refused(o, now) => Step::Begin,
        Step::Keep if leaves(o, now) => Step::Leave,
        step => step,
    };
    let wake_at = soonest([wake(o, hold.as_ref(), now), net(step, now)], now);
    Plan { step, hold, wake_at }
}

/// What there is to do when nothing is wanted of Shopify or the Secret.
fn idle(o: &Observed) -> Step {
    if o.unprotected {
        return Step::Protect;
    }
    let all_there = o.to_restart_for().is_some() && !o.workloads.is_empty() && o.missing_targets().next().is_none();
    if all_there || o.to_restart().next().is_some() { Step::Restart } else { Step::Keep }
}

/// Whether the record Secret would go, or stay, against the policies: a garbage collector asks nobody.
fn record_misowned(o: &Observed) -> bool {
    let recorded = o.keeper().and_then(Keeper::recorded);
    recorded.is_some_and(|recorded| is_misowned(&o.token, &o.identity, recorded))
}

/// Whether something is to be done with Secrets that older specs named.
fn leaves(o: &Observed, now: Timestamp) -> bool {
    o.to_leave(now).next().is_some() || o.to_mark(now).next().is_some()
}

/// Nobody tells when a workload may be restarted, or a finalizer or an older Secret written after all, nor of a write that
/// has changed nothing.
fn net(step: Step, now: Timestamp) -> Option<Timestamp> {
    matches!(step, Step::Repair | Step::Restart | Step::Protect | Step::Leave).then(|| now + SAFETY_NET)
}

/// What should be done at Shopify, most urgent first.
fn wanted(o: &Observed, now: Timestamp) -> Vec<Call> {
    let mut calls = Vec::new();
    calls.extend(demand::issue(o, now).map(Call::Issue));
    // Without a whole credential nothing can be written, and what is another object's isn't ours to revoke.
    let ends = o.whole().filter(|_| !adopts(o));
    if ends.is_some_and(|whole| whole.record.previous.iter().any(|p| o.overlap_ended(p, now))) {
        calls.push(Call::EndOverlap);
    }
    // What Shopify refuses is replaced, not asked about again.
    let refused = o.record().is_some_and(|r| o.rejected(r));
    if !refused && (demand::verification_time(o, now).is_some_and(|at| at <= now) || o.reconcile_requested()) {
        calls.push(Call::Verify);
    }
    // What failed was asked for, not due: it works again when Shopify says so.
    if calls.is_empty() && call_failed(o) && !refused && o.whole().is_some() {
        calls.push(Call::Verify);
    }
    calls
}

/// Whether a verification makes a record this object's own, or the newest: it isn't to be repaired before.
fn adopts(o: &Observed) -> bool {
    o.restored() || o.put_back()
}

/// Whether the last attempt failed, and not at the API server: that is asked itself what it refuses.
fn call_failed(o: &Observed) -> bool {
    o.last_failure().is_some_and(|reason| reason != Reason::WriteRefused)
}

/// While attempts fail each call gets its turn: an issue that can't succeed mustn't keep old tokens
/// alive. Says whether a more urgent one is passed over.
fn in_turn(o: &Observed, mut calls: Vec<Call>) -> (Vec<Call>, bool) {
    let turn = match usize::try_from(o.failed_attempts()) {
        Ok(failed) if !o.reconcile_requested() => failed.checked_rem(calls.len()).unwrap_or_default(),
        _ => 0,
    };
    calls.rotate_left(turn);
    (calls, turn > 0)
}

/// What stands in the way of a call.
fn gate(o: &Observed, call: Call, now: Timestamp) -> Option<Hold> {
    if let (
        Call::Issue(Why::Requested | Why::Interval | Why::InputsChanged | Why::ParentChanged | Why::ScopesMissing),
        Some(record),
    ) = (call, o.record())
        && record.previous.len() >= MAX_PREVIOUS
    {
        let failure =
            format!("{MAX_PREVIOUS} older tokens are still in overlap; the rotation goes on when the first has ended");
        return Some(Hold::Blocked(Failure::new(Reason::Rotating, failure)));
    }
    o.next_attempt(now).map(|_| Hold::BackingOff)
}

/// The API server refused to take the Secret a moment ago. A repair waits for nothing else.
fn write_refused(o: &Observed, now: Timestamp) -> bool {
    o.last_failure() == Some(Reason::WriteRefused) && o.next_attempt(now).is_some()
}

/// When to look again: the earliest of all that is to come.
fn wake(o: &Observed, hold: Option<&Hold>, now: Timestamp) -> Option<Timestamp> {
    let record = o.record();
    let expiry = record.and_then(|r| r.expires_at);
    let held_until = match hold {
        None | Some(Hold::Suspended) => None,
        Some(Hold::BackingOff) => o.next_attempt(now),
        Some(Hold::Blocked(_)) => Some(now + SAFETY_NET),
    };
    let overlap_end = record.and_then(|r| r.previous.iter().map(|p| p.revoke_at).min());
    soonest(
        [
            held_until,
            expiry,
            record.and_then(|r| renewal_of(&o.token, o.kind, r)),
            overlap_end,
            // A rollout that is under way says nothing when it ends: look.
            (o.rolling_out() && overlap_end.is_some_and(|at| at <= now)).then(|| now + TimeDelta::seconds(15)),
            // Nor does one that comes late.
            (o.to_restart_for().is_some() && o.missing_targets().next().is_some()).then(|| now + SAFETY_NET),
            demand::verification_time(o, now),
            o.offline().and_then(Offline::warm_until),
            o.turn_at(),
            // What shows that the secret is taken wakes those that wait for it; this is the net below.
            o.turn.is_some().then(|| now + SAFETY_NET),
            o.older.iter().filter_map(|older| older.leave_at).filter(|at| *at > now).min(),
        ],
        now,
    )
}

fn soonest<const N: usize>(times: [Option<Timestamp>; N], now: Timestamp) -> Option<Timestamp> {
    times.into_iter().flatten().filter(|at| *at > now).min()
}

#[cfg(test)]
mod tests;
