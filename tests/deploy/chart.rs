//! The chart, through helm.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
    sync::OnceLock,
    thread,
};

use dev::Judges;
use serde_json::Value;

use super::{OPERATOR, ROOT};

/// The judges; built once.
pub(crate) fn judges() -> &'static Judges {
    static JUDGES: OnceLock<Judges> = OnceLock::new();
    JUDGES.get_or_init(|| {
        // The caller may be inside a runtime, in which another can't be entered.
        let build = || tokio::runtime::Runtime::new().unwrap().block_on(Judges::locate(false)).unwrap();
        thread::spawn(build).join().unwrap()
    })
}

/// helm, with nothing of the user's.
pub(crate) fn helm() -> Command {
    let mut helm = Command::new(&judges().helm);
    helm.env_clear().env("HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/helm"));
    helm
}

/// The chart's directory.
pub(crate) fn directory() -> String {
    format!("{ROOT}/deploy/chart")
}

/// What helm makes of the chart in namespace `shopify-token-operator`, with `values` in YAML.
pub(crate) fn rendered(values: &str) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values).unwrap();
    let mut helm = helm();
    helm.args(["template", OPERATOR, &directory(), "--namespace", OPERATOR, "--values"]).arg(file.path());
    helm.output().unwrap()
}

/// The same as text.
pub(crate) fn text(values: &str) -> String {
    let output = rendered(values);
    assert!(output.status.success(), "{values}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same as objects, in order.
pub(crate) fn objects(values: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(values)).unwrap()
}

/// Kind, namespace and name.
pub(crate) fn identity(object: &Value) -> String {
    let of = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", of(&object["kind"]), of(&object["metadata"]["namespace"]), of(&object["metadata"]["name"]))
}

/// Objects by kind, namespace and name; none is there twice.
pub(crate) fn by_identity(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let count = objects.len();
    let map: BTreeMap<_, _> = objects.into_iter().map(|object| (identity(&object), object)).collect();
    assert_eq!(map.len(), count, "an object is there twice");
    map
}

/// Each option of the chart, by the name of its rendering in `renderings/`.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("default", ""),
    ("namespaced", "watchNamespaces: [shop, web]\ncrds: {install: false}\nrbac: {userRoles: false}\n"),
    ("argo-rollouts", "rbac: {argoRollouts: true}\n"),
    (
        "shards",
        "shards: [{name: a, selector: shard=a}, {name: rest, selector: shard!=a}]\ntopologySpread: [kubernetes.io/hostname]\n",
    ),
    (
        "high-availability",
        "replicas: 2\npodDisruptionBudget: {enabled: true}\ntopologySpread: [kubernetes.io/hostname, topology.kubernetes.io/zone]\n",
    ),
    (
        "install-pages-ingress",
        "installPages:\n  publicURL: https://tokens.example.com\n  ingress: {enabled: true, className: nginx, tlsSecretName: pages, annotations: {cert-manager.io/cluster-issuer: public}}\n",
    ),
    (
        "install-pages-gateway",
        "installPages:\n  publicURL: https://tokens.example.com\n  gateway: {enabled: true, annotations: {example.com/owner: platform}, parentRefs: [{name: public, namespace: gateway}]}\n",
    ),
    ("install-pages-alone", "installPages: {publicURL: 'https://tokens.example.com:8443'}\n"),
    (
        "extra-ca-file",
        "extraCA:\n  pem: |\n    -----BEGIN CERTIFICATE-----\n    MIIBszCCAVmgAwIBAgIUAJ\n    -----END CERTIFICATE-----\n",
    ),
    ("extra-ca-config-map", "extraCA: {configMap: corporate, key: bundle.pem}\n"),
    ("proxy", "proxy: {url: 'http://proxy.example.com:8080', noProxy: [10.96.0.0/12, .svc]}\n"),
    ("proxy-with-a-password", "proxy: {secretName: proxy, port: 3129}\n"),
    (
        "monitoring",
        "monitoring:\n  docs: https://docs.example.com/shopify-tokens/*.html\n  serviceMonitor: {enabled: true, labels: {release: prometheus}, interval: 1m}\n  prometheusRule: {enabled: true, labels: {release: prometheus}}\n  dashboard: {enabled: true, label: dashboards, labelValue: yes-please, annotations: {grafana_folder: Shopify}}\n",
    ),
    ("traces", "traces: {endpoint: 'http://otel-collector.observability:4318'}\n"),
    ("no-network-policy", "networkPolicy: {enabled: false}\n"),
    (
        "network-policy",
        "networkPolicy:\n  apiServerPorts: [16443]\n  metricsFrom: []\n  installPagesFrom: [{ipBlock: {cidr: 10.0.0.0/8}}]\ninstallPages: {publicURL: 'https://tokens.example.com'}\n",
    ),
    ("resources", "resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}\n"),
    (
        "scheduling",
        "priorityClassName: system-cluster-critical\nnodeSelector: {kubernetes.io/os: linux}\ntolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]\naffinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]}}}\n",
    ),
    (
        "image",
        "image: {repository: registry.example.com/shopify-token-operator, digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', pullPolicy: Always}\nimagePullSecrets: [{name: registry}]\n",
    ),
    ("tag-and-name", "nameOverride: tokens\nimage: {tag: 0.1.0-rc.1}\n"),
    (
        "labels-and-names",
        "fullnameOverride: tokens\nextraLabels: {team: platform}\npodAnnotations: {prometheus.io/scrape: 'false'}\nserviceAccount: {annotations: {example.com/owner: platform}}\n",
    ),
    (
        "flags",
        "concurrency: 64\nrevocationTimeout: 30m\nuninstall: {timeout: 10m}\nlog: {level: debug, format: text}\nenv: [{name: TOKIO_WORKER_THREADS, value: '4'}]\n",
    ),
    ("no-definitions", "crds: {install: false}\n"),
    ("no-uninstall", "uninstall: {enabled: false}\n"),
];
