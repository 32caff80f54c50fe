//! What the chart and kustomize both say, they say alike.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use clap::Parser;
use dev::shared_cluster;
use serde_json::{Value, json};
use shopify_token_operator::cli::{Cli, Command};

use super::{
    OPERATOR, ROOT,
    chart::{by_identity, objects},
};

/// What kustomize makes of a directory of the repository.
pub(crate) fn kustomization(dir: &str) -> Vec<Value> {
    shared_cluster().unwrap().kustomization(&Path::new(ROOT).join(dir)).unwrap()
}

/// Takes out what only Helm needs: its labels, the release in selectors, hooks, and what keeps the definitions.
fn plain(value: &mut Value) {
    const OF_HELM: [&str; 7] = [
        "app.kubernetes.io/instance",
        "app.kubernetes.io/version",
        "app.kubernetes.io/managed-by",
        "helm.sh/chart",
        "helm.sh/hook",
        "helm.sh/hook-delete-policy",
        "helm.sh/resource-policy",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !OF_HELM.contains(&name.as_str()));
            for (name, field) in fields.iter_mut() {
                // The schemas of the definitions are data.
                if name != "versions" {
                    plain(field);
                }
            }
            fields.retain(|name, field| {
                !(["labels", "annotations", "matchLabels"].contains(&name.as_str()) && *field == json!({}))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Where two objects differ, and what stands there.
fn differences(path: &str, one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let of = |name: &String| differences(&format!("{path}/{name}"), &one[name], &other[name]);
            names.into_iter().flat_map(of).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().flat_map(|(i, (a, b))| differences(&format!("{path}/{i}"), a, b)).collect()
        }
        // kubectl writes some of the definitions' numbers as integers.
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => Vec::new(),
        _ if one == other => Vec::new(),
        _ => vec![format!("{path}: {one} and {other}")],
    }
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut objects = by_identity(objects);
    objects.values_mut().for_each(plain);
    objects
}

/// Compares a rendering of the chart with kustomizations; `no_part` are those of their objects that no release has.
fn alike(values: &str, dirs: &[&str], no_part: &[&str], adapt: impl Fn(&str, &mut Value)) {
    let mut ours = by_name(objects(values));
    let mut theirs = by_name(dirs.iter().flat_map(|dir| kustomization(dir)).collect());
    for identity in no_part {
        assert!(theirs.remove(*identity).is_some(), "{dirs:?} has no {identity}");
    }
    for objects in [&mut ours, &mut theirs] {
        for (identity, object) in objects.iter_mut() {
            adapt(identity, object);
        }
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{dirs:?}");
    for (identity, object) in &ours {
        let differences = differences("", object, &theirs[identity]);
        assert!(differences.is_empty(), "{identity}, chart and {dirs:?}:\n{}", differences.join("\n"));
    }
}

/// Helm waits five minutes for a hook, so the chart says how long it takes, and removes the Job later by itself.
fn as_in_a_release(identity: &str, object: &mut Value) {
    if identity == "Job shopify-token-operator shopify-token-operator-uninstall" {
        object["spec"]["ttlSecondsAfterFinished"] = json!(3600);
        let container = &mut object["spec"]["template"]["spec"]["containers"][0];
        let mut env = container["env"].as_array().cloned().unwrap_or_default();
        env.retain(|variable| variable["name"] != "UNINSTALL_TIMEOUT");
        container["env"] = json!(env);
    }
}

const NAMESPACE: &str = "Namespace - shopify-token-operator";

#[test]
fn the_default_is_the_base() {
    alike("", &["deploy/base", "deploy/uninstall"], &[NAMESPACE], as_in_a_release);
}

#[test]
fn one_namespace_is_the_overlay_for_one() {
    let values = format!("watchNamespaces: [{OPERATOR}]\nrbac: {{userRoles: false}}\nuninstall: {{enabled: false}}");
    alike(&values, &["deploy/overlays/namespaced"], &[NAMESPACE], |identity, object| {
        if identity.starts_with("Deployment ") {
            // kustomize goes by the pod's own.
            let variable = &mut object["spec"]["template"]["spec"]["containers"][0]["env"][0];
            assert_eq!(variable["name"], "WATCH_NAMESPACES");
            if variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace" {
                *variable = json!({"name": "WATCH_NAMESPACES", "value": OPERATOR});
            }
        }
    });
}

#[test]
fn high_availability_is_the_overlay_for_it() {
    let values = "replicas: 2\npodDisruptionBudget: {enabled: true}\n\
                  topologySpread: [kubernetes.io/hostname, topology.kubernetes.io/zone]";
    alike(values, &["deploy/overlays/high-availability", "deploy/uninstall"], &[NAMESPACE], as_in_a_release);
}

#[test]
fn monitoring_is_the_overlay_for_it() {
    let values =
        "monitoring: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}";
    alike(values, &["deploy/overlays/monitoring", "deploy/uninstall"], &[NAMESPACE], |identity, object| {
        as_in_a_release(identity, object);
        // The chart knows its leases.
        if identity.starts_with("PrometheusRule ") {
            let rules = object["spec"]["groups"][0]["rules"].as_array_mut().unwrap();
            let leaders = rules.iter_mut().find(|rule| rule["alert"] == "ShopifyTokenOperatorWithoutLeader").unwrap();
            assert!(leaders.as_object_mut().unwrap().remove("expr").is_some());
        }
    });
}

#[test]
fn install_pages_are_the_overlay_for_them() {
    let values = "replicas: 2\ninstallPages: {publicURL: 'https://tokens.example.com', ingress: {enabled: true}}";
    alike(values, &["deploy/overlays/install-pages", "deploy/uninstall"], &[NAMESPACE], |identity, object| {
        as_in_a_release(identity, object);
        // The patch puts its port first; they go by their names.
        if let Some(ports) = object.pointer_mut("/spec/template/spec/containers/0/ports").and_then(Value::as_array_mut)
        {
            ports.sort_by_key(|port| port["name"].to_string());
        }
    });
}

/// What a section of a page shows as YAML, block for block.
pub(crate) fn shown(page: &str, heading: &str) -> Vec<String> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/{page}")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    section.split("```yaml\n").skip(1).map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// A kustomization of the documentation, as it stands there.
fn built(yaml: &str) -> BTreeMap<String, Value> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().components().skip(1).map(|_| "..").collect::<Vec<_>>().join("/");
    let yaml = yaml.replace("path/to/this/repository", &format!("{root}{ROOT}"));
    std::fs::write(dir.path().join("kustomization.yaml"), yaml).unwrap();
    by_name(shared_cluster().unwrap().kustomization(dir.path()).unwrap())
}

#[test]
fn rollouts_of_argo_are_the_component_for_them() {
    let one = format!("watchNamespaces: [{OPERATOR}]\n");
    for (values, base, role) in [
        ("", "base", format!("ClusterRole - {OPERATOR}")),
        (one.as_str(), "overlays/namespaced", format!("Role {OPERATOR} {OPERATOR}")),
    ] {
        let theirs = built(&format!(
            "resources: [path/to/this/repository/deploy/{base}]\n\
             components: [path/to/this/repository/deploy/components/argo-rollouts]\n"
        ));
        let ours = by_name(objects(&format!("{values}rbac: {{argoRollouts: true}}")));
        let rules = theirs[&role]["rules"].as_array().unwrap();
        assert_eq!(rules.last().unwrap()["apiGroups"], json!(["argoproj.io"]), "{base}");
        assert_eq!(ours[&role]["rules"], theirs[&role]["rules"], "{base}");
    }
}

#[test]
fn the_documented_patches_lead_through_a_proxy() {
    let [values, patches] = <[String; 2]>::try_from(shown("install.md", "Behind a proxy")).unwrap();
    let theirs = built(&(shown("install.md", "With kustomize").swap_remove(0) + &patches));
    let ours = by_name(objects(&values));
    let pod = "/spec/template/spec";
    for (kind, part) in [
        ("Deployment", format!("{pod}/volumes")),
        ("Deployment", format!("{pod}/containers/0/volumeMounts")),
        ("Deployment", format!("{pod}/containers/0/env")),
        ("NetworkPolicy", "/spec/egress".to_owned()),
    ] {
        let [ours, theirs] = [&ours, &theirs].map(|it| it[&format!("{kind} {OPERATOR} {OPERATOR}")].pointer(&part));
        assert!(ours.is_some(), "{kind} {part}");
        assert_eq!(ours, theirs, "{kind} {part}");
    }
}

#[test]
fn the_documented_patches_send_traces() {
    let yaml = [&shown("install.md", "With kustomize")[..1], &shown("monitoring.md", "Traces")].concat();
    let theirs = built(&yaml.concat());
    let ours = by_name(objects("traces: {endpoint: 'http://otel-collector.observability:4318'}"));
    for (kind, part) in [("Deployment", "/spec/template/spec/containers/0/env"), ("NetworkPolicy", "/spec/egress")] {
        let [ours, theirs] =
            [&ours, &theirs].map(|objects| objects[&format!("{kind} {OPERATOR} {OPERATOR}")].pointer(part).unwrap());
        assert_eq!(ours, theirs, "{kind}");
    }
}

#[test]
fn the_documented_patch_sets_flags() {
    let objects = built(&shown("install.md", "With kustomize").concat());
    let deployment = &objects[&format!("Deployment {OPERATOR} {OPERATOR}")];
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/shopify-token-operator:0.1.0");
    let of = |field: &Value| field.as_str().unwrap().to_owned();
    let set = container["env"].as_array().unwrap().iter().map(|env| (of(&env["name"]), of(&env["value"])));
    let flags = set.map(|(name, value)| format!("--{}={value}", name.to_lowercase().replace('_', "-")));
    let command = ["shopify-token-operator".to_owned(), of(&container["args"][0])].into_iter().chain(flags);
    let read = Cli::try_parse_from(command).unwrap();
    let Command::Run(flags) = read.command else { panic!("{read:?}") };
    assert_eq!(flags.concurrency, 32);
}

#[test]
fn the_route_is_the_one_of_the_component() {
    let values = "installPages: {publicURL: 'https://tokens.example.com', \
                  gateway: {enabled: true, parentRefs: [{name: public, namespace: gateway}]}}";
    let ours = by_name(objects(values));
    let file = format!("{ROOT}/deploy/components/install-pages-gateway/http_route.yaml");
    let theirs: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(ours["HTTPRoute shopify-token-operator shopify-token-operator-install"], theirs);
}
