//! What a real API server says to `crds/` and `deploy/`.

use std::path::Path;

use anyhow::Result;
use dev::{Cluster, Manifests, shared_cluster};
use http::{Method, Request, StatusCode, header::WARNING};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde::Deserialize;
use serde_json::{Value, json};
use shopify_token_operator::api::crd;

use super::ROOT;

/// What the API server says to a request.
struct Answer {
    status: StatusCode,
    warnings: Vec<String>,
    body: Value,
}

impl Answer {
    fn text(&self) -> String {
        format!("{} {:?} {}", self.status, self.warnings, self.body["message"])
    }
}

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Result<Answer> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", "application/json")
        .body(Body::from(serde_json::to_vec(body)?))?;
    let (head, body) = client.send(request).await?.into_parts();
    let warnings = head.headers.get_all(WARNING).iter().map(|w| format!("{w:?}")).collect();
    let body = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    Ok(Answer { status: head.status, warnings, body })
}

/// New ones, under another group's name: for those that are there the API server asks less.
#[tokio::test]
async fn an_api_server_takes_the_definitions_without_a_warning() {
    let client = shared_cluster().unwrap().client().await.unwrap();
    for mut crd in crd::all() {
        crd.spec.group = "new.shopify-operator.dev".to_owned();
        crd.metadata.name = Some(format!("{}.{}", crd.spec.names.plural, crd.spec.group));
        let mut body = serde_json::to_value(&crd).unwrap();
        body["apiVersion"] = json!("apiextensions.k8s.io/v1");
        body["kind"] = json!("CustomResourceDefinition");
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All&fieldValidation=Strict";
        let answer = ask(&client, Method::POST, path, &body).await.unwrap();
        assert!(answer.status.is_success() && answer.warnings.is_empty(), "{}", answer.text());
    }
}

/// See `src/api/cases.yaml`.
#[derive(Deserialize)]
struct Case {
    about: String,
    kind: Option<String>,
    from: Option<Value>,
    accepted: Vec<Value>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    says: String,
    specs: Vec<Value>,
}

/// Offers objects of one case to the API server.
struct Offers<'a> {
    client: &'a Client,
    path: String,
    kind: &'a str,
    /// To be updated, if it is about updates.
    old: Option<Value>,
}

impl<'a> Offers<'a> {
    async fn new(client: &'a Client, namespace: &str, case: &'a Case) -> Result<Self> {
        let kind = case.kind.as_deref().unwrap_or("ShopifyToken");
        let plural = format!("{}s", kind.to_lowercase());
        let path = format!("/apis/tokens.shopify-operator.dev/v1alpha1/namespaces/{namespace}/{plural}");
        let mut offers = Self { client, path, kind, old: None };
        if let Some(fields) = &case.from {
            let old = ask(client, Method::POST, &offers.path, &offers.object(fields)).await?;
            anyhow::ensure!(old.status.is_success(), "{}", old.text());
            offers.old = Some(old.body);
        }
        Ok(offers)
    }

    fn object(&self, fields: &Value) -> Value {
        let mut spec = match self.kind {
            "ShopifyApp" => json!({"credentialsRef": {"name": "acme"}}),
            _ => {
                json!({"shop": "acme.myshopify.com", "source": {"clientCredentials": {"appRef": {"name": "acme"}}}})
            }
        };
        for (name, value) in fields.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        let metadata = self.old.as_ref().map_or_else(|| json!({"name": "case"}), |old| old["metadata"].clone());
        json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": self.kind,
            "metadata": metadata, "spec": spec,
        })
    }

    async fn make(&self, fields: &Value) -> Result<Answer> {
        let (method, path) = if self.old.is_some() {
            (Method::PUT, format!("{}/case", self.path))
        } else {
            (Method::POST, self.path.clone())
        };
        let path = format!("{path}?dryRun=All&fieldValidation=Strict");
        ask(self.client, method, &path, &self.object(fields)).await
    }

    async fn end(self) -> Result<()> {
        if self.old.is_some() {
            ask(self.client, Method::DELETE, &format!("{}/case", self.path), &json!({})).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_api_server_accepts_and_refuses_what_the_unit_tests_say() {
    let cluster = shared_cluster().unwrap();
    let client = cluster.client().await.unwrap();
    let namespace = cluster.create_namespace("crd").await.unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("../../src/api/cases.yaml")).unwrap();
    let mut surprises = Vec::new();
    for case in &cases {
        let offers = Offers::new(&client, &namespace, case).await.unwrap();
        for fields in &case.accepted {
            let answer = offers.make(fields).await.unwrap();
            if !answer.status.is_success() || !answer.warnings.is_empty() {
                surprises.push(format!("{}: {fields} is refused: {}", case.about, answer.text()));
            }
        }
        for Refused { says, specs } in &case.refused {
            for fields in specs {
                let answer = offers.make(fields).await.unwrap();
                let message = answer.body["message"].as_str().unwrap_or_default();
                if answer.status != StatusCode::UNPROCESSABLE_ENTITY || !message.contains(says) {
                    let answer = answer.text();
                    surprises.push(format!("{}: {fields} should be refused with {says:?}: {answer}", case.about));
                }
            }
        }
        offers.end().await.unwrap();
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// kstatus must not take an object that nobody has looked at for a finished one.
#[tokio::test]
async fn a_new_object_is_seen_as_unobserved() {
    let cluster = shared_cluster().unwrap();
    let namespace = cluster.create_namespace("crd").await.unwrap();
    let samples = Manifests::Path(Path::new(ROOT).join("deploy/samples"));
    let applied = cluster.apply(&samples, &namespace).await.unwrap();
    let ours = |kind: &str| matches!(kind, "ShopifyApp" | "ShopifyToken");
    let ours: Vec<_> = applied.iter().filter(|o| o.types.as_ref().is_some_and(|t| ours(&t.kind))).collect();
    assert_eq!(ours.len(), 8);
    for object in ours {
        assert_eq!(object.data["status"], json!({"observedGeneration": -1}), "{:?}", object.metadata.name);
    }
}

/// Every example of the pages is one that can be applied.
#[tokio::test]
async fn examples_of_the_pages_are_accepted() {
    let cluster = shared_cluster().unwrap();
    let client = cluster.client().await.unwrap();
    let namespace = cluster.create_namespace("examples").await.unwrap();
    let mut seen = 0;
    for page in ["README", "docs/reference", "docs/sources/offline", "docs/guides/gitops", "docs/guides/migrate"] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(page).with_extension("md")).unwrap();
        let yaml = dev::book::code(&text).into_iter().filter(|(language, _)| language.as_deref() == Some("yaml"));
        for document in yaml.flat_map(|(_, text)| text.split("\n---\n").map(str::to_owned).collect::<Vec<_>>()) {
            if !document.contains("apiVersion: tokens.shopify-operator.dev/v1alpha1") {
                continue;
            }
            seen += 1;
            let mut object: Value = serde_saphyr::from_str(&document).unwrap();
            object["metadata"]["namespace"] = json!(namespace);
            let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
            let path = format!(
                "/apis/tokens.shopify-operator.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict"
            );
            let answer = ask(&client, Method::POST, &path, &object).await.unwrap();
            assert!(answer.status.is_success() && answer.warnings.is_empty(), "{page}: {}\n{document}", answer.text());
        }
    }
    assert!(seen >= 8, "{seen} examples");
}

/// Whether they are applied by `-k` or by `-f`, the samples are the same.
#[test]
fn the_kustomization_of_the_samples_has_all_of_them() {
    let cluster = shared_cluster().unwrap();
    let named = |kind: &Value, name: &Value| format!("{} {}", kind.as_str().unwrap(), name.as_str().unwrap());
    let by_kustomization = kustomize(cluster, "deploy/samples").unwrap();
    let mut by_kustomization: Vec<_> =
        by_kustomization.iter().map(|o| named(&o["kind"], &o["metadata"]["name"])).collect();
    let by_file = Manifests::Path(Path::new(ROOT).join("deploy/samples")).objects().unwrap();
    let by_file = by_file.iter().map(|object| serde_json::to_value(object).unwrap());
    let mut by_file: Vec<_> = by_file.map(|o| named(&o["kind"], &o["metadata"]["name"])).collect();
    by_kustomization.sort();
    by_file.sort();
    assert_eq!(by_kustomization, by_file);
}

/// The objects of a kustomization.
pub(super) fn kustomize(cluster: &Cluster, dir: &str) -> Result<Vec<Value>> {
    cluster.kustomization(&Path::new(ROOT).join(dir))
}

#[test]
fn kustomizations_build() {
    let cluster = shared_cluster().unwrap();
    for (dir, objects) in [
        ("crds", 2),
        ("deploy/base", 15),
        ("deploy/overlays/namespaced", 11),
        ("deploy/overlays/high-availability", 16),
        ("deploy/overlays/install-pages", 17),
        ("deploy/samples", 12),
        ("deploy/uninstall", 1),
    ] {
        assert_eq!(kustomize(cluster, dir).unwrap().len(), objects, "{dir}");
    }
}

/// The pages are served where the overlay says so, and nowhere else.
#[tokio::test]
async fn the_install_pages_are_a_port_a_service_and_a_way_in() {
    let cluster = shared_cluster().unwrap();
    let of = |objects: &[Value], kind: &str, name: &str| -> Value {
        let found = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.cloned().unwrap_or_default()
    };
    let base = kustomize(cluster, "deploy/base").unwrap();
    assert!(!base.iter().any(|object| object.to_string().contains("oauth")), "they are off");
    let objects = kustomize(cluster, "deploy/overlays/install-pages").unwrap();
    let container = &of(&objects, "Deployment", "shopify-token-operator")["spec"]["template"]["spec"]["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    assert!(ports.contains(&json!({"name": "oauth", "containerPort": 8081})) && ports.len() == 2, "{ports:?}");
    assert_eq!(container["env"], json!([{"name": "PUBLIC_URL", "value": "https://tokens.example.com"}]));
    let policy = &of(&objects, "NetworkPolicy", "shopify-token-operator")["spec"];
    assert_eq!(policy["ingress"].as_array().unwrap().len(), 2, "metrics as before, and the pages");
    assert_eq!(policy["ingress"][0], of(&base, "NetworkPolicy", "shopify-token-operator")["spec"]["ingress"][0]);

    let client = cluster.client().await.unwrap();
    let namespace = cluster.create_namespace("crd").await.unwrap();
    for (kind, path) in [
        ("Service", "/api/v1/namespaces/{}/services"),
        ("Ingress", "/apis/networking.k8s.io/v1/namespaces/{}/ingresses"),
    ] {
        let mut object = of(&objects, kind, "shopify-token-operator-install");
        object["metadata"]["namespace"] = json!(namespace);
        let path = format!("{}?dryRun=All&fieldValidation=Strict", path.replace("{}", &namespace));
        let answer = ask(&client, Method::POST, &path, &object).await.unwrap();
        assert!(answer.status.is_success() && answer.warnings.is_empty(), "{}", answer.text());
    }
}

/// The component for the Gateway API, whose kinds aren't Kubernetes' own, leads to the same Service.
#[test]
fn a_route_leads_to_the_service_of_the_pages() {
    let read = |file: &str| -> Value {
        let text = std::fs::read_to_string(Path::new(ROOT).join("deploy/components").join(file)).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    };
    let (route, service) = (read("install-pages-gateway/http_route.yaml"), read("install-pages/service.yaml"));
    let backend = &route["spec"]["rules"][0]["backendRefs"][0];
    assert_eq!(
        (&backend["name"], &backend["port"]),
        (&service["metadata"]["name"], &service["spec"]["ports"][0]["port"])
    );
}

/// An installation for one namespace has no right beyond it. Discovery, which everybody may use, tells of the definitions.
#[test]
fn the_namespaced_overlay_has_no_cluster_role() {
    let objects = kustomize(shared_cluster().unwrap(), "deploy/overlays/namespaced").unwrap();
    let names = |kind: &str| -> Vec<&str> {
        let ours = objects.iter().filter(|o| o["kind"] == kind);
        ours.filter_map(|o| o["metadata"]["name"].as_str()).collect()
    };
    assert_eq!(names("ClusterRole"), [""; 0]);
    assert_eq!(names("ClusterRoleBinding"), [""; 0]);
    assert_eq!(names("Role"), ["shopify-token-operator", "shopify-token-operator-leases"]);
    assert_eq!(names("RoleBinding"), ["shopify-token-operator", "shopify-token-operator-leases"]);
}
