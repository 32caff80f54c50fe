//! Writes what happened: status, events, metrics and the log line, in this one place.

mod events;
mod status;

use std::time::Duration;

use chrono::TimeDelta;
use kube::Resource;
use tracing::Span;

use self::status::write;
pub(super) use self::{
    events::publish_all,
    status::{StatusWrite, write_status},
};
use super::{
    context::Context,
    error::Error,
    outcome::{Acted, News, Operation, Outcome},
};
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus},
    core::{
        backoff::next_attempt,
        condition::{find, is_ready, obstacle},
        failure::Failure,
        grace,
        hold::Hold,
        identity::Identity,
        observed::{Observed, ShopState},
        plan::{Call, Plan, Step},
        record::Record,
        renewal,
        status::{Attempts, Snapshot, Validity, not_yet_safe, project},
        vocabulary::{EventReason, Reason, conditions, labels::Ended},
    },
    queue::Again,
    spans,
    time::Timestamp,
};

/// Tries after which a fresh app's refusal counts as one.
const SETTLING_ATTEMPTS: i64 = 3;

/// Writes what happened, and says when to look again. `waiting` are the calls that had to wait until others are answered.
///
/// # Errors
/// Of Kubernetes. An event that can't be written is logged and no more.
pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    plan: &Plan,
    waiting: &[Call],
    mut acted: Acted,
) -> Result<Again, Error> {
    let now = context.now();
    let attempt =
        Attempt { handled: handled(plan, waiting, &acted.outcome), ..Attempt::of(observed, plan, &acted.outcome, now) };
    count(context, observed, plan, &acted);
    log(observed, plan, &acted);
    if matches!(acted.outcome, Outcome::LetGo) {
        publish_all(context, &observed.token.object_ref(&()), &acted.news).await;
        return Ok(Again::OnChange);
    }
    let status = project(&attempt.snapshot(observed), now);
    let told_by_status: Vec<News> =
        transitions(observed, &attempt, &status, &acted).into_iter().chain(remarked(observed, &status)).collect();
    let written = write(context, &observed.token, observed.status(), &status).await;
    // What a step has done no later one tells; what the conditions say is told with them.
    acted.news.extend(told_by_status.into_iter().filter(|_| written.is_ok()));
    publish_all(context, &observed.token.object_ref(&()), &acted.news).await;
    let wake_at = [attempt.wake_at(plan), written?, grace::ends_at(&status, now)];
    Ok(requeue(wake_at.into_iter().flatten().min(), now))
}

/// When to look again at a token that nothing is done for, if there is nothing to tell of it either.
pub(super) fn unchanged(context: &Context, observed: &Observed, plan: &Plan) -> Option<Again> {
    let (now, acted) = (context.now(), Acted::quietly(Outcome::Unchanged));
    let attempt = Attempt::of(observed, plan, &acted.outcome, now);
    let status = project(&attempt.snapshot(observed), now);
    let told = observed.status() == Some(&status) && context.status_refused.get(&observed.identity.uid).is_none();
    if !told || transitions(observed, &attempt, &status, &acted).is_some() || remarked(observed, &status).is_some() {
        return None;
    }
    log(observed, plan, &acted);
    let wake_at = [attempt.wake_at(plan), grace::ends_at(&status, now)];
    Some(requeue(wake_at.into_iter().flatten().min(), now))
}

/// Writes that the credential of an object that stays was revoked: an operator that comes back issues a new one at once.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn report_revoked(context: &Context, observed: &Observed, token: &ShopifyToken) -> Result<(), Error> {
    let token = &*context.caught_up(token);
    let message = "revoked when the operator was uninstalled; a new one is issued as soon as an operator runs again";
    let hold = Hold::Blocked(Failure::new(Reason::Revoking, message));
    let snapshot = Snapshot {
        token,
        kind: observed.kind,
        record: observed.record(),
        intact: observed.value().is_some(),
        hold: Some(&hold),
        remark: None,
        install_url: None,
        validity: Validity::Rejected,
        attempts: Attempts::None,
        handled: true,
        unpublished: false,
    };
    write(context, token, token.status.as_ref(), &project(&snapshot, context.now())).await.map(drop)
}

/// Writes that nothing of a client that is about to be replaced can be revoked yet, where the status says otherwise: what
/// is published after this isn't with all applications yet.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn report_not_yet_safe(context: &Context, observed: &Observed) -> Result<(), Error> {
    let status = observed.record().and_then(|record| not_yet_safe(&observed.token, record, context.now()));
    match status {
        Some(status) => write(context, &observed.token, observed.status(), &status).await.map(drop),
        None => Ok(()),
    }
}

/// The facts of this attempt that status, events and wake-up are made of.
struct Attempt<'a> {
    record: Option<&'a Record>,
    intact: bool,
    hold: Option<Hold>,
    validity: Validity,
    attempts: Attempts,
    operation: Operation,
    handled: bool,
}

/// Whether what a request asks for was done, or tried and failed: the back-off of that counts.
fn handled(plan: &Plan, waiting: &[Call], outcome: &Outcome) -> bool {
    // A step that comes before the verification brings the object back.
    let comes_before = matches!(plan.step, Step::Begin | Step::Repair | Step::Call(Call::EndOverlap));
    let suspended = matches!(plan.hold, Some(Hold::Suspended));
    let failed = matches!(outcome, Outcome::Failed { .. });
    let beside = matches!(outcome, Outcome::CodeRefused(_));
    failed || !(suspended || comes_before || beside || waiting.contains(&Call::Verify))
}

impl<'a> Attempt<'a> {
    fn of(observed: &'a Observed, plan: &Plan, outcome: &'a Outcome, now: Timestamp) -> Self {
        let mut attempt = Self {
            record: observed.record(),
            intact: observed.value().is_some(),
            hold: plan.hold.clone(),
            validity: Validity::NotAsked,
            attempts: match &plan.hold {
                None | Some(Hold::Blocked(_)) => Attempts::None,
                Some(Hold::Suspended | Hold::BackingOff) => Attempts::AsBefore,
            },
            operation: Operation::of(plan.step),
            handled: true,
        };
        match outcome {
            Outcome::CodeRefused(_) if observed.failed_attempts() > 0 => {
                (attempt.attempts, attempt.hold) = (Attempts::AsBefore, Some(Hold::BackingOff));
            }
            Outcome::Unchanged | Outcome::Busy | Outcome::Kept | Outcome::LetGo | Outcome::CodeRefused(_) => {}
            Outcome::Waits(failure) => {
                attempt.attempts = Attempts::AsBefore;
                // What it was told itself says more than that others ask.
                let told = matches!(observed.shop, ShopState::Down { own: true })
                    && observed.last_failure() == Some(failure.reason);
                attempt.hold = Some(if told { Hold::BackingOff } else { Hold::Blocked(failure.clone()) });
            }
            Outcome::Published { record, confirmed } => {
                (attempt.record, attempt.intact) = (Some(record.as_ref()), true);
                if *confirmed {
                    attempt.validity = Validity::Verified(now);
                }
            }
            Outcome::Verified => attempt.validity = Validity::Verified(now),
            Outcome::Rejected => attempt.validity = Validity::Rejected,
            Outcome::Failed { failure, during } => {
                attempt.operation = *during;
                if *during == Operation::Verify && failure.unreachable {
                    attempt.validity = Validity::Unreachable;
                }
                attempt.fail(observed, failure, now);
            }
        }
        attempt
    }

    fn fail(&mut self, observed: &Observed, failure: &Failure, now: Timestamp) {
        let count = observed.status().and_then(|s| s.failed_attempts).unwrap_or_default().saturating_add(1);
        let mut failure = failure.clone();
        if failure.may_settle && count < SETTLING_ATTEMPTS {
            failure.reason = Reason::BackingOff;
        }
        let uid = &observed.identity.uid;
        let expires_at = self.record.and_then(|r| r.expires_at);
        let next = next_attempt(&failure, count, expires_at, now, renewal::share(&format!("{uid}/{count}/{now}")));
        self.attempts = Attempts::Failed { count, at: now, next, inputs: observed.dependencies.clone() };
        self.hold = Some(Hold::Blocked(failure));
    }

    fn snapshot<'s>(&'s self, observed: &'s Observed) -> Snapshot<'s> {
        Snapshot {
            token: &observed.token,
            kind: observed.kind,
            record: self.record,
            intact: self.intact,
            hold: self.hold.as_ref(),
            remark: observed.remark(),
            install_url: observed.install_url.as_deref(),
            validity: self.validity,
            attempts: self.attempts.clone(),
            handled: self.handled,
            unpublished: self.record.is_some_and(|record| observed.client_unpublished(record)),
        }
    }

    fn wake_at(&self, plan: &Plan) -> Option<Timestamp> {
        let next = match &self.attempts {
            Attempts::Failed { next, .. } => Some(*next),
            Attempts::AsBefore | Attempts::None => None,
        };
        next.into_iter().chain(plan.wake_at).min()
    }
}

/// Events for what changed: a new obstacle, or the end of one.
fn transitions(observed: &Observed, attempt: &Attempt<'_>, status: &ShopifyTokenStatus, acted: &Acted) -> Option<News> {
    let before = observed.status();
    match &attempt.hold {
        // Waiting for others to go first is no failure.
        Some(Hold::Blocked(Failure { reason: Reason::Rotating | Reason::Revoking, .. })) => None,
        Some(Hold::Blocked(failure)) if grace::is_news(before, status, failure.reason) => {
            let note = format!("{}: {}", failure.reason, failure.message);
            Some(News { failure: Some(failure.reason), ..News::of(attempt.operation.event(), note) })
        }
        None => {
            let troubled =
                before.is_some_and(|s| s.failed_attempts.is_some() || (is_ready(s) && grace::told(s).is_some()));
            let over = troubled && is_ready(status) && obstacle(status).is_none() && acted.news.is_empty();
            over.then(|| News::of(EventReason::Recovered, "it works again".to_owned()))
        }
        Some(Hold::Blocked(_) | Hold::BackingOff | Hold::Suspended) => None,
    }
}

/// The remark of the observation, where the conditions didn't tell it before.
fn remarked(observed: &Observed, status: &ShopifyTokenStatus) -> Option<News> {
    let remark = observed.remark()?;
    let tells = |status: &ShopifyTokenStatus| {
        find(&status.conditions, conditions::READY).is_some_and(|ready| ready.message.ends_with(&remark))
    };
    let new = tells(status) && !observed.status().is_some_and(tells);
    let note = format!("{remark}; an older credential lives one overlap longer");
    new.then_some(News::of(EventReason::RolloutNotFinished, note))
}

fn requeue(wake_at: Option<Timestamp>, now: Timestamp) -> Again {
    match wake_at {
        // A moment later than the time itself, so that it has come.
        Some(at) => {
            Again::After((at - now).max(TimeDelta::zero()).to_std().unwrap_or_default() + Duration::from_millis(20))
        }
        None => Again::OnChange,
    }
}

fn count(context: &Context, observed: &Observed, plan: &Plan, acted: &Acted) {
    let (metrics, kind) = (&context.setup.metrics, observed.kind);
    if let Some(listed) = context.memory.take_listed(&observed.identity.uid) {
        let admin_token = observed.token.admin_token().unwrap_or_default();
        metrics.storefront_tokens(&observed.identity.namespace, admin_token, &observed.token.spec.shop, listed);
    }
    match (plan.step, &acted.outcome) {
        (Step::Call(Call::Issue(_)), Outcome::Published { .. }) => metrics.issued(kind, Ended::Success),
        (Step::Call(Call::Issue(_)), Outcome::Kept) => metrics.issued(kind, Ended::Kept),
        (
            Step::Call(Call::Issue(_)),
            Outcome::Failed { failure, during: Operation::Issue } | Outcome::CodeRefused(failure),
        ) => metrics.issued(kind, Ended::Failed(failure.reason)),
        (_, Outcome::Failed { failure, during: Operation::Revoke }) => {
            metrics.revoked(kind, Ended::Failed(failure.reason));
        }
        _ => {}
    }
    for ended in &acted.revocations {
        metrics.revoked(kind, *ended);
    }
}

fn log(observed: &Observed, plan: &Plan, acted: &Acted) {
    let Identity { namespace, name, .. } = &observed.identity;
    let source = observed.kind.as_str();
    let (outcome, failed) = acted.outcome.told();
    let reason = failed.or(match &plan.hold {
        Some(Hold::Blocked(failure)) => Some(failure.reason),
        Some(Hold::Suspended | Hold::BackingOff) | None => None,
    });
    spans::acted(source, &plan.step, outcome, reason.map(Reason::as_str));
    match &acted.outcome {
        Outcome::Failed { failure, during } => {
            spans::failed(&Span::current());
            tracing::warn!(namespace, name, source, step = ?plan.step, ?during, reason = failure.reason.as_str(), message = failure.message, "failed");
        }
        Outcome::CodeRefused(failure) => {
            tracing::warn!(
                namespace,
                name,
                source,
                reason = failure.reason.as_str(),
                message = failure.message,
                "a code was refused"
            );
        }
        Outcome::Unchanged | Outcome::Busy | Outcome::Waits(_) => {
            tracing::debug!(namespace, name, source, step = ?plan.step, hold = ?plan.hold, outcome = ?acted.outcome, "reconciled");
        }
        Outcome::Published { record, .. } => {
            tracing::info!(namespace, name, source, step = ?plan.step, revision = record.revision, "published");
        }
        Outcome::Kept | Outcome::Verified | Outcome::Rejected | Outcome::LetGo => {
            tracing::info!(namespace, name, source, step = ?plan.step, outcome = ?acted.outcome, "reconciled");
        }
    }
    if matches!(acted.outcome, Outcome::LetGo) {
        // The object is gone, and its event may be lost on its way: which tokens live on is said here, too.
        for news in acted.news.iter().filter(|news| news.reason.is_warning()) {
            tracing::warn!(namespace, name, source, reason = news.reason.as_str(), note = news.note, "let go");
        }
    }
}
