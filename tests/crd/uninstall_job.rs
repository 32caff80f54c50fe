//! The Job of `deploy/uninstall`: it reaches what the operator reaches, and isn't taken for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a manifest that is not as it should be ends the test")]

use dev::shared_cluster;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{PodTemplateSpec, Service},
        networking::v1::{NetworkPolicy, NetworkPolicyPort},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::{
    Resource,
    core::{Selector, SelectorExt as _},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api_server::kustomize;

/// The only object of a kind.
fn only<K: Resource<DynamicType = ()> + DeserializeOwned>(objects: &[Value]) -> K {
    let ours: Vec<_> = objects.iter().filter(|o| o["kind"] == *K::kind(&())).collect();
    let [object] = ours[..] else { panic!("{} times {}", ours.len(), K::kind(&())) };
    serde_json::from_value(object.clone()).unwrap()
}

fn selects(selector: LabelSelector, pod: &PodTemplateSpec) -> bool {
    let labels = pod.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    Selector::try_from(selector).unwrap().matches(&labels)
}

/// Whether a policy lets its pods out to a port, wherever it is.
fn lets_out(policy: &NetworkPolicy, port: i32, protocol: &str) -> bool {
    let fits = |p: &NetworkPolicyPort| {
        p.port == Some(IntOrString::Int(port)) && p.protocol.as_deref().unwrap_or("TCP") == protocol
    };
    let rules = policy.spec.iter().flat_map(|spec| spec.egress.iter().flatten());
    rules.filter(|rule| rule.to.is_none()).any(|rule| rule.ports.iter().flatten().any(fits))
}

/// Where everything that no policy allows is refused, the Job revokes nothing without one of its own or the operator's.
#[test]
fn the_uninstall_job_may_go_where_the_operator_may_and_is_not_taken_for_it() {
    let cluster = shared_cluster().unwrap();
    let job: Job = only(&kustomize(cluster, "deploy/uninstall").unwrap());
    let job_pod = job.spec.unwrap().template;
    for dir in ["deploy/base", "deploy/overlays/namespaced"] {
        let objects = kustomize(cluster, dir).unwrap();
        let policy: NetworkPolicy = only(&objects);
        let deployment: Deployment = only(&objects);
        let service: Service = only(&objects);
        assert_eq!([&policy.metadata.namespace, &deployment.metadata.namespace], [&job.metadata.namespace; 2], "{dir}");

        let selected = policy.spec.clone().unwrap().pod_selector.unwrap();
        let deployed = deployment.spec.unwrap();
        assert!(selects(selected.clone(), &deployed.template), "{dir}: the operator's pod");
        assert!(selects(selected, &job_pod), "{dir}: the Job's pod");
        for (port, protocol) in [(53, "UDP"), (53, "TCP"), (443, "TCP"), (6443, "TCP")] {
            assert!(lets_out(&policy, port, protocol), "{dir}: {port}/{protocol}");
        }

        let scraped = LabelSelector { match_labels: service.spec.unwrap().selector, ..LabelSelector::default() };
        for (what, selector) in [("Deployment", deployed.selector), ("Service", scraped)] {
            assert!(selects(selector.clone(), &deployed.template), "{dir}: the {what} selects the operator's pod");
            assert!(!selects(selector, &job_pod), "{dir}: the {what} takes the Job's pod for the operator's");
        }
    }
}
