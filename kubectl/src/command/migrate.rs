//! `migrate`: what takes the place of a cron job's Secret, or of a generator of External Secrets, as YAML to review.

mod draft;
mod secret;
mod webhook;

use std::io::Read as _;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    discovery,
};
use serde_json::Value;

use crate::{
    call::Call,
    cli::MigrateOptions,
    cluster::Cluster,
    failure::{Code, Failure, Result},
    screen::print,
};

const GENERATORS: &str = "generators.external-secrets.io";
const EXTERNAL_SECRETS: &str = "external-secrets.io";

/// Prints it.
pub(super) async fn run(cluster: impl Fn() -> Result<Cluster>, options: &MigrateOptions) -> Result<()> {
    let (kind, name) = options.from.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(unclear)?;
    let file = options.filename.as_deref().map(objects_of).transpose()?;
    let draft = match (kind.to_lowercase().as_str(), file) {
        ("secret" | "secrets", Some(objects)) => secret::draft(&secret_of(one(&objects, "Secret", name)?)?, options)?,
        ("secret" | "secrets", None) => secret::draft(&secret_of_cluster(&cluster()?, name).await?, options)?,
        ("webhook" | "webhooks", Some(objects)) => {
            webhook::draft(one(&objects, "Webhook", name)?, &of_kind(&objects, "ExternalSecret"), options)?
        }
        ("webhook" | "webhooks", None) => {
            let cluster = cluster()?;
            let generator = foreign(&cluster, GENERATORS, "Webhook", Some(name)).await?;
            let generator = generator.into_iter().next().ok_or_else(|| {
                let list = format!("kubectl get webhooks.{GENERATORS} -n {}", cluster.namespace);
                missing("Webhook", name).remedy(format!("`{list}` lists what is there"))
            })?;
            webhook::draft(&generator, &foreign(&cluster, EXTERNAL_SECRETS, "ExternalSecret", None).await?, options)?
        }
        _ => return Err(unclear()),
    };
    print(&draft.text()?)
}

fn unclear() -> Failure {
    Failure::new(Code::Usage, "say what there is now: secret/NAME, or webhook/NAME for a generator of External Secrets")
}

fn missing(kind: &str, name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("{kind} {name} not found"))
}

/// The documents of a file.
fn objects_of(path: &std::path::Path) -> Result<Vec<Value>> {
    let unreadable = |error: String| Failure::new(Code::Failed, format!("{} can't be read: {error}", path.display()));
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| unreadable(error.to_string()))?;
    // What is wrong with it may quote it, and it may hold a credential.
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|_| unreadable("it is no YAML".to_owned()))?;
    Ok(documents
        .into_iter()
        .flat_map(|document| match document.get("items").and_then(Value::as_array) {
            Some(items) => items.clone(),
            None => vec![document],
        })
        .collect())
}

fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.ok_or_else(|| missing(kind, name))
}

fn secret_of(object: &Value) -> Result<Secret> {
    let unreadable = |_| Failure::new(Code::Failed, "the Secret in the file is none: its data has to be base64");
    serde_json::from_value(object.clone()).map_err(unreadable)
}

async fn secret_of_cluster(cluster: &Cluster, name: &str) -> Result<Secret> {
    let namespace = cluster.namespace.as_str();
    let call = Call::of("get", "secrets", Some(namespace), Some(name));
    cluster.api::<Secret>(namespace).get(name).await.map_err(|error| Failure::of(&error, &call))
}

/// Objects of External Secrets, in the version that the cluster prefers.
async fn foreign(cluster: &Cluster, group: &str, kind: &str, name: Option<&str>) -> Result<Vec<Value>> {
    let namespace = cluster.namespace.as_str();
    let call = Call::of(if name.is_some() { "get" } else { "list" }, group, Some(namespace), name);
    let group = discovery::group(&cluster.client, group).await.map_err(|error| match error {
        kube::Error::Discovery(_) => {
            Failure::new(Code::Failed, format!("this cluster has no {kind} of External Secrets"))
                .remedy("name a file that has it with -f")
        }
        error => Failure::of(&error, &call),
    })?;
    let found = group.recommended_kind(kind);
    let Some((resource, _)) = found else { return Ok(Vec::new()) };
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &resource);
    let objects = match name {
        Some(name) => api.get_opt(name).await.map(|object| object.into_iter().collect()),
        None => api.list(&ListParams::default()).await.map(|list| list.items),
    };
    let objects: Vec<DynamicObject> = objects.map_err(|error| Failure::of(&error, &call))?;
    Ok(objects.into_iter().filter_map(|object| serde_json::to_value(object).ok()).collect())
}
