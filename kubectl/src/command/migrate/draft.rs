//! Objects with what is to be known of them, as YAML.

use serde_json::{Map, Value, json};
use shopify_token_operator::api::{DEFAULT_KEYS, GROUP, VERSION};

use crate::{
    failure::{Code, Failure, Result},
    screen,
};

/// What is printed: comments and objects, in their order.
#[derive(Debug, Default)]
pub(super) struct Draft {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Comment(String),
    Object(Value),
}

/// What a key of the old Secret becomes in the new one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Carried {
    /// The key.
    pub key: String,
    /// Its template.
    pub template: String,
}

impl Draft {
    /// Says something to the reader, a line each.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Comment(text.into()));
    }

    /// What has to be done before, where there is something.
    pub(super) fn first(&mut self, commands: &[String]) {
        if !commands.is_empty() {
            self.say(format!(
                "\nFirst (bash), for the keys that the operator reads; no value is shown:\n\n{}\n\n",
                commands.join("\n")
            ));
        }
    }

    /// An object of ours.
    pub(super) fn object(&mut self, kind: &str, name: &str, namespace: Option<&str>, spec: &Value) {
        let mut metadata = json!({"name": name});
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        let version = format!("{GROUP}/{VERSION}");
        self.parts.push(Part::Object(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})));
    }

    /// The YAML.
    pub(super) fn text(&self) -> Result<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Comment(comment) => {
                    text.extend(comment.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n"));
                }
                Part::Object(object) => text.extend(["---\n", &screen::yaml(object)?]),
            }
        }
        Ok(text)
    }
}

/// `spec.secret` with the keys that applications know; none for those that are there anyway.
pub(super) fn secret_spec(name: &str, carried: &[Carried]) -> Value {
    let own = |key: &str| DEFAULT_KEYS.contains(&key);
    let data: Map<String, Value> =
        carried.iter().filter(|carried| !own(&carried.key)).map(|c| (c.key.clone(), json!(c.template))).collect();
    if data.is_empty() { json!({"name": name}) } else { json!({"name": name, "template": {"data": data}}) }
}

/// How values get from one Secret into another without being seen. Names from a file may be anything: what a shell could
/// take for something else is refused.
pub(super) fn copied(from: &str, to: &str, namespace: &str, keys: &[(&str, &str)]) -> Result<String> {
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if !([from, to, namespace].into_iter().chain(keys.iter().map(|(_, old)| *old)).all(plain)) {
        return Err(Failure::new(Code::Failed, "a name or key has signs that none in Kubernetes has"));
    }
    let namespace = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
    let files = keys.iter().map(|(key, old)| {
        let path = old.replace('.', "\\.");
        let value = format!("kubectl get secret {from}{namespace} -o jsonpath='{{.data.{path}}}' | base64 -d");
        format!(" \\\n  --from-file={key}=<({value})")
    });
    Ok(format!("kubectl create secret generic {to}{namespace}{}", files.collect::<Vec<_>>().concat()))
}
