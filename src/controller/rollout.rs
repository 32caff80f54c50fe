//! Restarts the workloads that use the Secret, and tells when their rollouts have finished.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{context::Context, error::found};
use crate::{
    api::{
        ShopifyToken,
        token::{RolloutRestartTarget, WorkloadKind},
    },
    core::{
        record::Record,
        vocabulary::{OPERATOR, PREFIX},
    },
};

/// What a workload says of the revision it runs with.
struct Workload {
    /// The revision its pod template was restarted for.
    restarted_for: Option<String>,
    /// Whether every pod of it runs the current template.
    finished: bool,
}

/// Restarts every target that doesn't run with the record's revision yet. Level-triggered and idempotent.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn restart(context: &Context, token: &ShopifyToken, record: &Record) -> Result<(), kube::Error> {
    let Some(revision) = record.rollout else { return Ok(()) };
    for target in &token.spec.rollout_restart_targets {
        match read(context, token, target).await? {
            Some(workload) if workload.restarted_for != Some(revision.to_string()) => {
                patch(context, token, target, revision).await?;
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// Whether an older credential may still be in use, because a target hasn't finished its rollout.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn in_progress(
    context: &Context,
    token: &ShopifyToken,
    record: Option<&Record>,
) -> Result<bool, kube::Error> {
    let Some(record) = record.filter(|r| !r.previous.is_empty()) else { return Ok(false) };
    let Some(revision) = record.rollout else { return Ok(false) };
    for target in &token.spec.rollout_restart_targets {
        if let Some(workload) = read(context, token, target).await?
            && (!workload.finished || workload.restarted_for != Some(revision.to_string()))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Key of the pod template's annotation: one for each token, so that two tokens of a workload don't fight.
fn annotation(token: &ShopifyToken) -> String {
    format!("{PREFIX}token-{}", token.uid().unwrap_or_default())
}

async fn read(
    context: &Context,
    token: &ShopifyToken,
    target: &RolloutRestartTarget,
) -> Result<Option<Workload>, kube::Error> {
    match target.kind {
        WorkloadKind::Deployment => read_as::<Deployment>(context, token, &target.name, deployment_finished).await,
        WorkloadKind::StatefulSet => read_as::<StatefulSet>(context, token, &target.name, stateful_set_finished).await,
        WorkloadKind::DaemonSet => read_as::<DaemonSet>(context, token, &target.name, daemon_set_finished).await,
    }
}

/// A workload that isn't there runs nothing old.
async fn read_as<K>(
    context: &Context,
    token: &ShopifyToken,
    name: &str,
    finished: fn(&K) -> bool,
) -> Result<Option<Workload>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(context.client(), &token.namespace().unwrap_or_default());
    let Some(workload) = found(api.get(name).await)? else { return Ok(None) };
    let pointer =
        format!("/spec/template/metadata/annotations/{}", annotation(token).replace('~', "~0").replace('/', "~1"));
    let restarted_for = serde_json::to_value(&workload)
        .ok()
        .and_then(|w| w.pointer(&pointer).and_then(Value::as_str).map(str::to_owned));
    Ok(Some(Workload { restarted_for, finished: finished(&workload) }))
}

async fn patch(
    context: &Context,
    token: &ShopifyToken,
    target: &RolloutRestartTarget,
    revision: i64,
) -> Result<(), kube::Error> {
    let namespace = token.namespace().unwrap_or_default();
    let annotations = json!({ annotation(token): revision.to_string() });
    let body = Patch::Merge(json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }));
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match target.kind {
        WorkloadKind::Deployment => found(
            Api::<Deployment>::namespaced(context.client(), &namespace).patch(&target.name, &parameters, &body).await,
        )
        .map(drop),
        WorkloadKind::StatefulSet => found(
            Api::<StatefulSet>::namespaced(context.client(), &namespace).patch(&target.name, &parameters, &body).await,
        )
        .map(drop),
        WorkloadKind::DaemonSet => found(
            Api::<DaemonSet>::namespaced(context.client(), &namespace).patch(&target.name, &parameters, &body).await,
        )
        .map(drop),
    }
}

// As `kubectl rollout status` decides.

fn deployment_finished(workload: &Deployment) -> bool {
    let Some(status) = &workload.status else { return false };
    let wanted = workload.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    status.observed_generation >= workload.metadata.generation
        && status.updated_replicas.unwrap_or_default() >= wanted
        && status.replicas.unwrap_or_default() <= status.updated_replicas.unwrap_or_default()
        && status.available_replicas.unwrap_or_default() >= status.updated_replicas.unwrap_or_default()
}

fn stateful_set_finished(workload: &StatefulSet) -> bool {
    let Some(status) = &workload.status else { return false };
    let wanted = workload.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    status.observed_generation >= workload.metadata.generation
        && status.ready_replicas.unwrap_or_default() >= wanted
        && status.update_revision == status.current_revision
}

fn daemon_set_finished(workload: &DaemonSet) -> bool {
    let Some(status) = &workload.status else { return false };
    status.observed_generation >= workload.metadata.generation
        && status.updated_number_scheduled.unwrap_or_default() >= status.desired_number_scheduled
        && status.number_available.unwrap_or_default() >= status.desired_number_scheduled
}
