//! Restarts the workloads that use the Secret, as `kubectl rollout restart` and `kubectl argo rollouts restart` do.

use chrono::TimeDelta;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::ObjectReference,
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::publish::publish;
use crate::{
    api::token::{RolloutRestartTarget, WorkloadKind},
    controller::{
        context::Context,
        error::{Error, found},
        observe::annotation,
        outcome::{Acted, News, Outcome},
        refusal::Refusal,
    },
    core::{
        identity::Identity,
        observed::Observed,
        record::Record,
        vocabulary::{EventReason, OPERATOR, Reason},
    },
    kubernetes::Rollout,
    time::{self, Timestamp},
};

/// Restarts every target that doesn't run with the record's revision yet, then records that: once for each revision,
/// whatever becomes of the marks.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn restart(context: &Context, observed: &Observed) -> Result<Acted, Error> {
    let mut refused = Vec::new();
    if let Some(revision) = observed.to_restart_for() {
        for workload in observed.to_restart() {
            let (target, token) = (&workload.target, &observed.identity);
            let annotations = json!({"annotations": {annotation(token): revision.to_string()}});
            let template = json!({"spec": {"template": {"metadata": annotations}}});
            let patched = match target.kind {
                WorkloadKind::Deployment => patch::<Deployment>(context, token, target, template).await,
                WorkloadKind::StatefulSet => patch::<StatefulSet>(context, token, target, template).await,
                WorkloadKind::DaemonSet => patch::<DaemonSet>(context, token, target, template).await,
                WorkloadKind::Rollout => {
                    let restart = json!({"metadata": annotations, "spec": {"restartAt": restart_at(context.now())}});
                    patch::<Rollout>(context, token, target, restart).await
                }
            };
            // A change freeze, say: neither the token itself nor another target is the worse for it.
            match patched.as_ref().err().and_then(|error| context.refusal(&token.uid, error)) {
                Some(refusal) => refused.push(not_restarted(token, target, &refusal)),
                None => patched?,
            }
        }
    }
    if !refused.is_empty() {
        return Ok(Acted { news: refused, ..Acted::quietly(Outcome::Unchanged) });
    }
    match observed.whole() {
        // One that isn't there may come: it isn't done yet.
        Some(whole) if observed.missing_targets().next().is_none() => {
            let record = Record { restarted: whole.record.rollout, ..whole.record.clone() };
            match publish(context, observed, Some(whole.live), record, whole.value, whole.beside()).await {
                Ok(written) => Ok(Acted::published(written.record, false)),
                Err(stop) => Acted::unwritten(stop),
            }
        }
        Some(_) | None => Ok(Acted::quietly(Outcome::Unchanged)),
    }
}

fn not_restarted(token: &Identity, target: &RolloutRestartTarget, refusal: &Refusal) -> News {
    let RolloutRestartTarget { kind, name } = target;
    let note = format!(
        "the API server refuses to restart {kind:?} {name:?}: {refusal}; tried again later, and an older credential lives one overlap longer"
    );
    let about = ObjectReference {
        api_version: Some(kind.api_version().to_owned()),
        kind: Some(format!("{kind:?}")),
        namespace: Some(token.namespace.clone()),
        name: Some(name.clone()),
        ..ObjectReference::default()
    };
    News {
        failure: Some(Reason::WriteRefused),
        about: Some(about.into()),
        ..News::of(EventReason::RolloutNotFinished, note)
    }
}

async fn patch<K>(
    context: &Context,
    token: &Identity,
    target: &RolloutRestartTarget,
    body: Value,
) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client(), &token.namespace);
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    found(api.patch(&target.name, &parameters, &Patch::Merge(body)).await).map(drop)
}

/// Pods made before this are made anew. A pod's own time is the second in which it was made, so it is the next one: the Secret is
/// older than that.
fn restart_at(now: Timestamp) -> String {
    time::print(time::round_down(now) + TimeDelta::seconds(1))
}
