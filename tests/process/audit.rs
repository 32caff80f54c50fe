//! What the operator asked the API server for, as the cluster's audit log has it.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
};

use dev::Cluster;
use serde::Deserialize;

const USER: &str = "system:serviceaccount:shopify-token-operator:shopify-token-operator";

/// A moment in the log.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) const START: Self = Self(0);
}

/// A request of the operator's `ServiceAccount`.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub verb: String,
    /// With its API group before a slash, none for the core group, and its subresource after another.
    pub resource: String,
    pub namespace: String,
    #[allow(dead_code, reason = "told when a test fails")]
    pub name: String,
    pub code: u16,
    /// What the API server said.
    pub message: String,
}

impl Request {
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// Now.
pub(crate) fn mark(cluster: &Cluster) -> Mark {
    Mark(std::fs::metadata(cluster.audit_log_path()).unwrap().len())
}

/// The operator's requests since a moment, in the order of their ends. A watch counts from its begin.
pub(crate) fn since(cluster: &Cluster, mark: Mark) -> Vec<Request> {
    let mut log = File::open(cluster.audit_log_path()).unwrap();
    log.seek(SeekFrom::Start(mark.0)).unwrap();
    // The last line may be half written.
    BufReader::new(log).lines().filter_map(|line| request(&line.unwrap())).collect()
}

/// Those of one namespace.
pub(crate) fn in_namespace(cluster: &Cluster, namespace: &str, mark: Mark) -> Vec<Request> {
    since(cluster, mark).into_iter().filter(|r| r.namespace == namespace).collect()
}

fn request(line: &str) -> Option<Request> {
    if !line.contains(USER) {
        return None;
    }
    let Line { stage, user, verb, object_ref, response_status } = serde_json::from_str(line).ok()?;
    let told = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if user.username != USER || stage != told {
        return None;
    }
    let object = object_ref?;
    let parts = [object.api_group, object.resource, object.subresource];
    Some(Request {
        verb,
        resource: parts.into_iter().flatten().collect::<Vec<_>>().join("/"),
        namespace: object.namespace.unwrap_or_default(),
        name: object.name.unwrap_or_default(),
        code: response_status.code,
        message: response_status.message.unwrap_or_default(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    user: User,
    verb: String,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    api_group: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Default, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
    message: Option<String>,
}
