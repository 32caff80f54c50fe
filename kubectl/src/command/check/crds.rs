//! Whether the custom resources are served, and are those of this release.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use serde_json::Value;
use shopify_token_operator::api::{GROUP, VERSION, crd};

use crate::{
    call::Call,
    cluster::Cluster,
    failure::{Failure, INSTALL},
    view::checklist::Finding,
};

const SUBJECT: &str = "CRDs";
/// Where a person may not read the definitions.
const ASK: &str = "ask who installed the operator, or for the right to get customresourcedefinitions in the cluster; `kubectl explain \
                   stok.spec` shows the fields that are served";
/// How older definitions become those of a release.
const UPGRADE: &str = "upgrade the operator, its CRDs first: where they are of a Helm release, helm upgrade does both; else kubectl apply \
                       --server-side -f crds.yaml of the release (in its repository: -k crds)";

/// Whether both kinds are served in the version that this release speaks.
pub(super) async fn served(cluster: &Cluster) -> Finding {
    let version = format!("{GROUP}/{VERSION}");
    let found = match cluster.client.list_api_group_resources(&version).await {
        Ok(list) => list.resources.into_iter().map(|resource| resource.kind).collect(),
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return super::of(SUBJECT, &Failure::of(&error, &Call::of("get", "apis", None, None))),
    };
    let missing: Vec<_> =
        ["ShopifyApp", "ShopifyToken"].into_iter().filter(|kind| !found.iter().any(|k| k == kind)).collect();
    if missing.is_empty() {
        Finding::fine(SUBJECT, format!("ShopifyApp and ShopifyToken are served as {version}"))
    } else {
        let found = format!("{} of {version} isn't served", missing.join(" and "));
        Finding::wrong(SUBJECT, found, INSTALL)
    }
}

/// Whether each says what this release's says.
pub(super) async fn current(cluster: &Cluster) -> Vec<Finding> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let mut findings = Vec::new();
    for ours in crd::all() {
        let name = ours.name_any();
        findings.push(match api.get(&name).await {
            Ok(theirs) => compared(&ours, &theirs),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let found =
                    format!("you may not get customresourcedefinitions, so whether {name} is current can't be told");
                return vec![Finding::unknown(SUBJECT, found, ASK)];
            }
            Err(error) => super::of(
                SUBJECT,
                &Failure::of(&error, &Call::of("get", "customresourcedefinitions", None, Some(&name))),
            ),
        });
    }
    findings
}

fn compared(ours: &CustomResourceDefinition, theirs: &CustomResourceDefinition) -> Finding {
    let name = ours.name_any();
    let mut difference = Difference::default();
    difference.look(&schema(ours), &schema(theirs), "");
    let Difference { lacks, adds, differs } = difference;
    let of_release = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    match (lacks.first(), adds.first(), differs.first()) {
        (None, None, None) => Finding::fine(SUBJECT, format!("{name} is that of this release")),
        (Some(path), None, _) => {
            Finding::wrong(SUBJECT, format!("{name} is older than {of_release}: it lacks {path}"), UPGRADE)
        }
        (None, Some(path), _) => Finding::doubtful(
            SUBJECT,
            format!("{name} is newer than {of_release}: it has {path}"),
            "take the plugin of that release",
        ),
        (.., Some(path)) | (Some(path), Some(_), _) => Finding::doubtful(
            SUBJECT,
            format!("{name} is of another release than {of_release}: {path} differs"),
            "take CRDs, operator and plugin of one release",
        ),
    }
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let version = crd.spec.versions.iter().find(|version| version.name == VERSION);
    version
        .and_then(|version| serde_json::to_value(version.schema.as_ref()?.open_api_v3_schema.as_ref()?).ok())
        .unwrap_or_default()
}

/// Where two schemas differ, as paths of fields. The texts of descriptions don't count.
#[derive(Debug, Default, Eq, PartialEq)]
struct Difference {
    lacks: Vec<String>,
    adds: Vec<String>,
    differs: Vec<String>,
}

impl Difference {
    fn look(&mut self, ours: &Value, theirs: &Value, path: &str) {
        let empty = serde_json::Map::new();
        let fields = |schema: &'_ Value| {
            schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_else(|| empty.clone())
        };
        let (of_ours, of_theirs) = (fields(ours), fields(theirs));
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (name, ours) in &of_ours {
            match of_theirs.get(name) {
                Some(theirs) => self.look(ours, theirs, &below(name)),
                None => self.lacks.push(below(name)),
            }
        }
        self.adds.extend(of_theirs.keys().filter(|name| !of_ours.contains_key(*name)).map(|name| below(name)));
        match (ours.get("items"), theirs.get("items")) {
            (Some(ours), Some(theirs)) => self.look(ours, theirs, &format!("{path}[]")),
            (None, None) => {}
            _ => self.differs.push(path.to_owned()),
        }
        for key in
            ["type", "enum", "pattern", "x-kubernetes-validations", "required", "minimum", "maximum", "maxLength"]
        {
            if ours.get(key) != theirs.get(key) {
                self.differs.push(if path.is_empty() { key.to_owned() } else { format!("{path} ({key})") });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::checklist::Grade;

    #[test]
    fn a_definition_is_compared_by_its_fields() {
        let ours = crd::all().remove(1);
        assert_eq!(compared(&ours, &ours).grade, Grade::Fine);
        let edited = |edit: &dyn Fn(&mut Value)| {
            let mut value = serde_json::to_value(&ours).unwrap();
            edit(&mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]);
            compared(&ours, &serde_json::from_value(value).unwrap())
        };
        let older = edited(&|fields| {
            fields["spec"]["properties"].as_object_mut().unwrap().remove("suspend").unwrap();
        });
        assert_eq!(older.grade, Grade::Wrong);
        assert!(older.found.ends_with("it lacks spec.suspend"), "{older:?}");
        let newer = edited(&|fields| fields["spec"]["properties"]["later"] = serde_json::json!({"type": "string"}));
        assert_eq!(newer.grade, Grade::Doubtful);
        assert!(newer.found.ends_with("it has spec.later"), "{newer:?}");
        let other = edited(&|fields| fields["spec"]["properties"]["shop"]["maxLength"] = serde_json::json!(5));
        assert!(other.found.contains("spec.shop (maxLength) differs"), "{other:?}");
    }
}
