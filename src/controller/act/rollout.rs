//! Restarts the workloads that use the Secret, as `kubectl rollout restart` does.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    api::token::{RolloutRestartTarget, WorkloadKind},
    controller::{
        context::Context,
        error::{Error, found},
        observe::annotation,
        outcome::{Acted, Outcome},
    },
    core::{identity::Identity, observed::Observed, vocabulary::OPERATOR},
};

/// Restarts every target that doesn't run with the record's revision yet. Level-triggered and idempotent.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn restart(context: &Context, observed: &Observed) -> Result<Acted, Error> {
    if let Some(revision) = observed.record().and_then(|r| r.rollout) {
        for workload in observed.to_restart() {
            let (target, token) = (&workload.target, &observed.identity);
            match target.kind {
                WorkloadKind::Deployment => patch::<Deployment>(context, token, target, revision).await?,
                WorkloadKind::StatefulSet => patch::<StatefulSet>(context, token, target, revision).await?,
                WorkloadKind::DaemonSet => patch::<DaemonSet>(context, token, target, revision).await?,
            }
        }
    }
    Ok(Acted::quietly(Outcome::Unchanged))
}

async fn patch<K>(
    context: &Context,
    token: &Identity,
    target: &RolloutRestartTarget,
    revision: i64,
) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client(), &token.namespace);
    let annotations = json!({ annotation(token): revision.to_string() });
    let body = Patch::Merge(json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }));
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    found(api.patch(&target.name, &parameters, &body).await).map(drop)
}
