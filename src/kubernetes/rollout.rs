//! A Rollout of Argo Rollouts, as far as its restarts go: `spec.restartAt` asks for one, `status` says when it is over.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::time::{self, Timestamp};

/// What is asked of a Rollout.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "Rollout",
    namespaced,
    status = "RolloutStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutSpec {
    /// Pods made before this time are to be made anew; RFC 3339.
    pub restart_at: Option<String>,
}

/// What Argo Rollouts says of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStatus {
    /// The generation that this is about, as text.
    pub observed_generation: Option<String>,
    /// The `restartAt` that was last fulfilled.
    pub restarted_at: Option<String>,
    /// `Healthy` where all pods run the current template and are available.
    pub phase: Option<String>,
}

impl Rollout {
    /// Whether the restart that was asked for is over, and no release is under way: a release calls a restart fulfilled, although
    /// pods of the version before run on.
    #[must_use]
    pub fn restarted(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let at = |text: &Option<String>| text.as_deref().and_then(time::parse);
        let fulfilled = |wanted: Timestamp| at(&status.restarted_at).is_some_and(|done| done >= wanted);
        let generation = self.metadata.generation.map(|generation| generation.to_string());
        generation == status.observed_generation
            && at(&self.spec.restart_at).is_some_and(fulfilled)
            && status.phase.as_deref() == Some("Healthy")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A Rollout of generation 3 that is Healthy and was restarted, with one field changed.
    fn restarted(field: &str, value: Value) -> bool {
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web", "generation": 3},
            "spec": {"restartAt": "2026-01-01T00:00:01Z", "replicas": 2},
            "status": {"observedGeneration": "3", "restartedAt": "2026-01-01T00:00:01Z", "phase": "Healthy", "replicas": 2},
        });
        *rollout.pointer_mut(field).unwrap() = value;
        serde_json::from_value::<Rollout>(rollout).unwrap().restarted()
    }

    #[test]
    fn a_restart_is_over_once_argo_says_so() {
        for restarted_at in ["2026-01-01T00:00:01Z", "2026-01-01T01:00:01+01:00", "2026-01-01T00:00:02Z"] {
            assert!(restarted("/status/restartedAt", json!(restarted_at)), "{restarted_at}");
        }
        for (field, value) in [
            ("/status", json!(null)),
            ("/status/observedGeneration", json!("2")),
            ("/status/observedGeneration", json!(null)),
            ("/status/restartedAt", json!("2026-01-01T00:00:00Z")),
            ("/status/restartedAt", json!(null)),
            ("/status/phase", json!("Progressing")),
            ("/status/phase", json!("Paused")),
            ("/status/phase", json!(null)),
            // Somebody took the wish back: nobody knows what runs.
            ("/spec/restartAt", json!(null)),
            ("/spec/restartAt", json!("soon")),
        ] {
            assert!(!restarted(field, value.clone()), "{field} {value}");
        }
    }
}
