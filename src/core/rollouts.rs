//! What the rollouts of the targets say: which are to be restarted, and whether an older credential may still be in use.

use super::{
    observed::{Observed, Workload},
    older::Older,
    record::{Previous, Record},
};
use crate::{
    api::token::{RolloutRestartTarget, WorkloadKind},
    time::Timestamp,
};

/// What else a Rollout needs to be there.
const OF_ARGO: &str = "; a Rollout needs Argo Rollouts, and a right of its own: rbac.argoRollouts of the chart, or the component \
                       argo-rollouts";

impl Observed {
    /// Whether an older credential is to be revoked: its overlap is over, and so are the rollouts that
    /// were to replace it, or they took another overlap; or its revocation has begun.
    #[must_use]
    pub fn overlap_ended(&self, old: &Previous, now: Timestamp) -> bool {
        if old.revoking.is_some() || old.expired(now) {
            return true;
        }
        // Applications may read an older Secret until it is left.
        let read = |o: &Older| {
            let holds = o.record.as_ref().is_some_and(|r| r.token_id.as_ref() == Some(&old.id));
            holds && o.leave_at.is_none_or(|at| at > now)
        };
        if self.older.iter().any(read) {
            return false;
        }
        old.revoke_at <= now && (!self.rolling_out() || old.revoke_at + self.token.spec.overlap() <= now)
    }

    /// The revision that the targets are to be restarted for, if they weren't yet: once for each revision.
    #[must_use]
    pub fn to_restart_for(&self) -> Option<i64> {
        let record = self.record()?;
        record.rollout.filter(|_| record.restarted != record.rollout)
    }

    /// The targets that don't run with the record's revision yet.
    pub fn to_restart(&self) -> impl Iterator<Item = &Workload> {
        let revision = self.to_restart_for().map(|r| r.to_string());
        self.workloads.iter().filter(move |w| revision.is_some() && w.restarted_for != revision)
    }

    /// The targets that aren't there.
    pub fn missing_targets(&self) -> impl Iterator<Item = &RolloutRestartTarget> {
        let reads = self.record().is_some_and(Record::restarts);
        let there = |target: &RolloutRestartTarget| self.workloads.iter().any(|w| w.target == *target);
        self.token.spec.rollout_restart_targets.iter().filter(move |target| reads && !there(target))
    }

    /// What a person should know of the rollout targets: those that aren't there.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let missing: Vec<_> = self.missing_targets().collect();
        let names: Vec<String> = missing.iter().map(|t| format!("{:?} {:?}", t.kind, t.name)).collect();
        let argo = missing.iter().any(|t| t.kind == WorkloadKind::Rollout);
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            let said = "spec.rolloutRestartTargets names what isn't there, or what the operator may not read";
            format!("{said}: {names}{}", if argo { OF_ARGO } else { "" })
        })
    }

    /// Whether an older credential may still be in use, because a target hasn't finished its rollout, or isn't there
    /// under the name that the spec gives.
    #[must_use]
    pub fn rolling_out(&self) -> bool {
        let overlap = self.record().is_some_and(|r| r.rollout.is_some() && !r.previous.is_empty());
        let unfinished = self.to_restart().next().is_some() || self.workloads.iter().any(|w| !w.finished);
        overlap && (unfinished || self.missing_targets().next().is_some())
    }
}
