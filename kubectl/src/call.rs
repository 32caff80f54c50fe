//! A call to the API server, in words.

use std::fmt;

/// A call as authorisation names it, for what a person is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    verb: &'a str,
    resource: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A call; without a namespace it is of all of them.
    #[must_use]
    pub fn of(verb: &'a str, resource: &'a str, namespace: Option<&'a str>, name: Option<&'a str>) -> Self {
        Self { verb, resource, namespace, name }
    }

    /// Whether it is of our own kinds.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.resource, "shopifytokens" | "shopifyapps")
    }

    /// Whether what it is about is in no namespace.
    fn is_of_cluster(&self) -> bool {
        matches!(
            self.resource,
            "apis" | "customresourcedefinitions" | "namespaces" | "selfsubjectaccessreviews" | "version"
        )
    }

    /// The object that it is about.
    #[must_use]
    pub fn object(&self) -> String {
        let kind = match self.resource {
            "shopifytokens" => "ShopifyToken",
            "shopifyapps" => "ShopifyApp",
            "secrets" => "Secret",
            other => other,
        };
        let name = self.name.unwrap_or("it");
        self.namespace.map_or_else(|| format!("{kind} {name}"), |namespace| format!("{kind} {namespace}/{name}"))
    }

    /// The command that lists what is there instead of the object that it is about.
    #[must_use]
    pub fn listing(&self) -> String {
        match (self.resource, self.namespace) {
            ("shopifytokens", _) => "kubectl shopify-token status -A".to_owned(),
            (resource, Some(namespace)) => format!("kubectl get {resource} -n {namespace}"),
            (resource, None) if self.is_of_cluster() => format!("kubectl get {resource}"),
            (resource, None) => format!("kubectl get {resource} -A"),
        }
    }

    /// Which role has the right.
    #[must_use]
    pub fn role(&self) -> String {
        let role = match (self.is_ours(), self.verb) {
            (true, "get" | "list" | "watch") => "view",
            (true, _) => "edit",
            (false, _) => return "ask for that right; the ClusterRole edit has it in a namespace".to_owned(),
        };
        let place =
            self.namespace.map_or("every namespace (a ClusterRoleBinding), or name one with -n", |_| "that namespace");
        format!("ask for the ClusterRole {role} in {place}: shopify-token-operator-{role} adds this right to it")
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        match self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None if self.is_of_cluster() => Ok(()),
            None => f.write_str(" in every namespace"),
        }
    }
}
