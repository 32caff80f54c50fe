//! The targets of `spec.rolloutRestartTargets`: what they were restarted for, and whether their rollouts have finished.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{Api, Resource, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    api::{
        ShopifyToken,
        token::{RolloutRestartTarget, WorkloadKind},
    },
    controller::{
        context::Context,
        error::{found, is_forbidden},
        refusal::part,
    },
    core::{identity::Identity, observed::Workload, vocabulary::PREFIX},
    kubernetes::Rollout,
};

/// Key of the annotation that tells what a workload was restarted for, of its pod template; of a Rollout its own. One for each token, so that two tokens of a workload don't fight.
#[must_use]
pub(in crate::controller) fn annotation(token: &Identity) -> String {
    format!("{PREFIX}token-{}", token.uid)
}

/// Where the annotations of a pod template are.
const TEMPLATE: &str = "/spec/template/metadata/annotations";
/// Where those of the workload itself are.
const OWN: &str = "/metadata/annotations";

/// Reads the targets that are there, and that the operator may read.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn read(
    context: &Context,
    token: &ShopifyToken,
    identity: &Identity,
) -> Result<Vec<Workload>, kube::Error> {
    let mut all = Vec::new();
    for target in &token.spec.rollout_restart_targets {
        all.extend(match target.kind {
            WorkloadKind::Deployment => one(context, identity, target, TEMPLATE, deployment_finished).await?,
            WorkloadKind::StatefulSet => one(context, identity, target, TEMPLATE, stateful_set_finished).await?,
            WorkloadKind::DaemonSet => one(context, identity, target, TEMPLATE, daemon_set_finished).await?,
            // Its pods are restarted as they are: another template would go through all steps of a release.
            WorkloadKind::Rollout => one(context, identity, target, OWN, Rollout::restarted).await?,
        });
    }
    Ok(all)
}

async fn one<K>(
    context: &Context,
    identity: &Identity,
    target: &RolloutRestartTarget,
    annotations: &str,
    finished: fn(&K) -> bool,
) -> Result<Option<Workload>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Serialize,
{
    let api: Api<K> = Api::namespaced(context.client(), &identity.namespace);
    let unread = part(&identity.uid, &format!("{:?}/{}", target.kind, target.name));
    let workload = match found(api.get(&target.name).await) {
        // What may not be read is as good as not there: the token itself is none the worse for it.
        Err(error) if is_forbidden(&error) && context.refusal(&unread, &error).is_some() => None,
        read => {
            let read = read?;
            context.refused.remove(&unread);
            read
        }
    };
    let Some(workload) = workload else { return Ok(None) };
    let key = annotation(identity).replace('~', "~0").replace('/', "~1");
    let restarted_for = serde_json::to_value(&workload)
        .ok()
        .and_then(|w| w.pointer(&format!("{annotations}/{key}")).and_then(Value::as_str).map(str::to_owned));
    Ok(Some(Workload { target: target.clone(), restarted_for, finished: finished(&workload) }))
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
