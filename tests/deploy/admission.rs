//! A real API server takes every rendering as it is, and *restricted* Pod Security lets its pods in.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use dev::{Cluster, Manifests, shared_cluster};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    OPERATOR,
    chart::{OPTIONS, identity, objects},
    conform::serve_kinds_of_others,
};

fn fed(mut command: Command, objects: &[Value]) -> Output {
    let documents: Vec<_> = objects.iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(documents.join("---\n").as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What `kubectl` says to objects that it only offers: success, and its standard error.
fn offered(cluster: &Cluster, verb: &[&str], objects: &[Value]) -> (bool, String) {
    let mut kubectl = cluster.kubectl_command();
    kubectl.args(verb).args(["--dry-run=server", "--validate=strict", "--filename=-"]);
    let output = fed(kubectl, objects);
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A namespace whose pods have to be *restricted*, as the one of `deploy/base`.
async fn restricted(cluster: &Cluster) -> String {
    let namespace = cluster.create_namespace("chart").await.unwrap();
    let labels: Value = ["enforce", "warn"]
        .map(|mode| (format!("pod-security.kubernetes.io/{mode}"), json!("restricted")))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    namespaces.patch_metadata(&namespace, &PatchParams::default(), &patch).await.unwrap();
    namespace
}

/// Into another namespace than the one it was made for.
fn moved(object: &Value, namespace: &str) -> Value {
    let mut object = object.clone();
    if object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn pod(object: &Value, name: &str) -> Value {
    let template = &object["spec"]["template"];
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
        "metadata": {"name": name, "namespace": object["metadata"]["namespace"], "labels": template["metadata"]["labels"]},
    })
}

#[tokio::test]
async fn an_api_server_takes_every_rendering_and_its_pods() {
    serve_kinds_of_others().await;
    let cluster = shared_cluster().unwrap();
    let namespace = restricted(cluster).await;
    let (mut all, mut seen, mut pods) = (Vec::new(), BTreeSet::new(), Vec::new());
    for (option, values) in OPTIONS {
        for object in objects(values) {
            let object = moved(&object, &namespace);
            if seen.insert(object.to_string()) {
                if ["Deployment", "Job"].contains(&object["kind"].as_str().unwrap()) {
                    pods.push(pod(&object, &format!("{option}-{}", pods.len())));
                }
                all.push(object);
            }
        }
    }
    assert!(all.len() > 40 && pods.len() > 20, "{} objects, {} pods", all.len(), pods.len());
    let (taken, said) = offered(cluster, &["apply", "--server-side", "--force-conflicts"], &all);
    assert!(taken && said.is_empty(), "{said}");

    // Pods need their account.
    for account in all.into_iter().filter(|object| object["kind"] == "ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false, "only the pod that needs the token mounts it");
        let account = Manifests::Objects(vec![serde_json::from_value(account).unwrap()]);
        cluster.apply(&account, &namespace).await.unwrap();
    }
    let (taken, said) = offered(cluster, &["create"], &pods);
    assert!(taken && said.is_empty(), "{said}");

    // It is enforced: each of these alone keeps the pod out.
    for (pointer, value) in [
        ("/spec/securityContext/runAsNonRoot", json!(false)),
        ("/spec/securityContext/seccompProfile/type", json!("Unconfined")),
        ("/spec/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("/spec/containers/0/securityContext/capabilities/drop", json!([])),
    ] {
        let mut pod = pods[0].clone();
        *pod.pointer_mut(pointer).unwrap() = value;
        let (taken, said) = offered(cluster, &["create"], &[pod]);
        assert!(!taken && said.contains("violates PodSecurity"), "{pointer}: {said}");
    }
}

/// Nothing is made outside the release's namespace but what is of the cluster, or of a namespace that is watched.
#[test]
fn a_release_stays_in_its_namespaces() {
    let elsewhere = |values: &str, own: &[&str]| -> Vec<String> {
        let objects = objects(values);
        let foreign = objects.iter().filter(|object| {
            let namespace = object["metadata"]["namespace"].as_str();
            namespace.is_none_or(|namespace| !own.contains(&namespace))
        });
        foreign.map(identity).collect()
    };
    let namespaced = "watchNamespaces: [shop, web]\ncrds: {install: false}\nrbac: {userRoles: false}";
    assert_eq!(elsewhere(namespaced, &[OPERATOR, "shop", "web"]), [""; 0]);
    let of_the_cluster = elsewhere("", &[OPERATOR]);
    assert_eq!(of_the_cluster.len(), 8, "{of_the_cluster:?}");
}
