//! kubeconform's judgement of every rendering and every kustomization, by the schemas of the API server itself.
//!
//! kubeconform would fetch schemas from the network. Here they come from a real API server, which also serves the
//! definitions of the kinds that aren't Kubernetes' own, so no object is skipped. Where a schema names fields and says
//! nothing of others, others are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dev::{Manifests, shared_cluster};
use kube::Client;
use serde_json::{Value, json};

use super::{
    ROOT,
    chart::{OPTIONS, judges, text},
};

/// Has the API server serve the kinds of others that the manifests use.
pub(crate) async fn serve_kinds_of_others() {
    for definition in &judges().definitions {
        shared_cluster().unwrap().apply(&Manifests::Path(definition.clone()), "default").await.unwrap();
    }
}

async fn get(client: &Client, path: &str) -> Value {
    client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
}

/// Refuses fields that a schema doesn't name, wherever it names some.
fn close(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        let open = fields.contains_key("additionalProperties")
            || fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        if fields.get("properties").is_some_and(Value::is_object) && !open {
            fields.insert("additionalProperties".to_owned(), json!(false));
        }
        fields.values_mut().for_each(close);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(close);
    }
}

/// A file for each kind that the API server has, named `{apiVersion's last part}_{kind}.json` in a directory of its group.
async fn schemas(client: &Client, kinds: &BTreeSet<(String, String)>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let paths = get(client, "/openapi/v3").await;
    let mut of_version: BTreeMap<String, Value> = BTreeMap::new();
    for (version, kind) in kinds {
        let path = if version.contains('/') { format!("apis/{version}") } else { format!("api/{version}") };
        if !of_version.contains_key(version) {
            let url = paths["paths"][&path]["serverRelativeURL"].as_str();
            let mut served = get(client, url.unwrap_or_else(|| panic!("{version} isn't served"))).await;
            close(&mut served["components"]["schemas"]);
            of_version.insert(version.clone(), served);
        }
        let components = &of_version[version]["components"];
        let (group, last) = version.rsplit_once('/').unwrap_or(("", version));
        let ours = |schema: &Value| {
            schema["x-kubernetes-group-version-kind"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|gvk| gvk["group"] == group && gvk["version"] == last && gvk["kind"] == kind.as_str())
        };
        let (name, _) = components["schemas"].as_object().unwrap().iter().find(|(_, schema)| ours(schema)).unwrap();
        let schema = json!({"$ref": format!("#/components/schemas/{name}"), "components": components});
        let file = file_of(dir.path(), version, kind);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, serde_json::to_vec(&schema).unwrap()).unwrap();
    }
    dir
}

fn file_of(dir: &Path, version: &str, kind: &str) -> PathBuf {
    let (group, last) = version.rsplit_once('/').unwrap_or((version, version));
    dir.join(group).join(format!("{last}_{}.json", kind.to_lowercase()))
}

/// What kubeconform says: whether all is well, and its words.
fn judged(schemas: &Path, manifests: &str) -> (bool, String) {
    let location =
        format!("{}/{{{{.Group}}}}/{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json", schemas.display());
    let mut judge = Command::new(&judges().kubeconform)
        .args(["-strict", "-summary", "-output", "json", "-schema-location", &location, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = judge.stdin.take().unwrap();
    let manifests = manifests.to_owned();
    let writer = std::thread::spawn(move || input.write_all(manifests.as_bytes()).unwrap());
    let output = judge.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

/// What kustomize makes, by where it comes from.
pub(crate) fn kustomizations() -> Vec<(&'static str, String)> {
    let cluster = shared_cluster().unwrap();
    let rendered = |dir: &'static str| {
        let objects = cluster.kustomization(&Path::new(ROOT).join(dir)).unwrap();
        let documents: Vec<_> = objects.iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
        (dir, documents.join("---\n"))
    };
    let dirs = [
        "deploy/base",
        "deploy/uninstall",
        "deploy/overlays/namespaced",
        "deploy/overlays/high-availability",
        "deploy/overlays/install-pages",
        "deploy/overlays/monitoring",
        "deploy/samples",
        "deploy/policies",
    ];
    dirs.map(rendered).into()
}

/// Everything that is deployed, by where it comes from.
fn manifests() -> Vec<(String, String)> {
    let mut all: Vec<_> = OPTIONS.iter().map(|(name, values)| (format!("chart: {name}"), text(values))).collect();
    all.extend(kustomizations().into_iter().map(|(dir, text)| (dir.to_owned(), text)));
    let route = format!("{ROOT}/deploy/components/install-pages-gateway/http_route.yaml");
    all.push(("the component's HTTPRoute".to_owned(), fs::read_to_string(route).unwrap()));
    all
}

#[tokio::test]
async fn everything_conforms_to_the_schemas_of_the_api_server() {
    serve_kinds_of_others().await;
    let client = shared_cluster().unwrap().client().await.unwrap();
    let manifests = manifests();
    let mut kinds = BTreeSet::new();
    for (_, text) in &manifests {
        for object in serde_saphyr::from_multiple::<Value>(text).unwrap() {
            let of = |field: &str| object[field].as_str().unwrap().to_owned();
            kinds.insert((of("apiVersion"), of("kind")));
        }
    }
    assert!(kinds.contains(&("monitoring.coreos.com/v1".to_owned(), "ServiceMonitor".to_owned())), "{kinds:?}");
    assert!(kinds.contains(&("gateway.networking.k8s.io/v1".to_owned(), "HTTPRoute".to_owned())), "{kinds:?}");
    let schemas = schemas(&client, &kinds).await;
    for (from, text) in &manifests {
        let (well, said) = judged(schemas.path(), text);
        assert!(well && said.contains("\"skipped\": 0"), "{from}: {said}");
        // It would take nothing for granted.
        assert!(!said.contains("\"valid\": 0,"), "{from}: {said}");
    }

    // The judge judges.
    let deployment = &manifests[0].1;
    for (right, wrong) in [("replicas: 1", "replicas: one"), ("enableServiceLinks:", "enableServiceLink:")] {
        assert!(deployment.contains(right));
        let (well, said) = judged(schemas.path(), &deployment.replace(right, wrong));
        assert!(!well, "{wrong}: {said}");
    }
}
