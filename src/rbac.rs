//! The operator's rights in Kubernetes, and its users': the one table that the roles of `deploy/` are made of.
//!
//! `make rbac` writes them. The stories run with exactly these rights, and `tests/process/rbac.rs` wants each of them used.

/// A rule of a role.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// API group; empty is the core group.
    pub group: &'static str,
    /// Plural names, with a subresource after a slash.
    pub resources: &'static [&'static str],
    /// What may be done with them.
    pub verbs: &'static [&'static str],
    /// Why, as a comment; may be empty.
    pub why: &'static str,
}

const OURS: &str = "tokens.shopify-operator.dev";

/// In the namespaces that the operator watches.
pub const WATCHED: &[Rule] = &[
    Rule {
        group: OURS,
        resources: &["shopifyapps", "shopifytokens"],
        verbs: &["get", "list", "watch", "patch"],
        why: "Finalizers are patched on the objects; spec is never written.",
    },
    Rule { group: OURS, resources: &["shopifyapps/status", "shopifytokens/status"], verbs: &["patch"], why: "" },
    Rule {
        group: "",
        resources: &["secrets"],
        verbs: &["get", "list", "watch", "create", "update", "patch", "delete"],
        why: "Secrets are watched as metadata only, which RBAC can't express. They go by their owner reference; one that an older
spec named is deleted.",
    },
    Rule { group: "events.k8s.io", resources: &["events"], verbs: &["create", "patch"], why: "" },
    Rule {
        group: "apps",
        resources: &["daemonsets", "deployments", "statefulsets"],
        verbs: &["get", "patch"],
        why: "spec.rolloutRestartTargets.",
    },
];

/// In the namespaces that the operator watches, where somebody asks for it: Argo Rollouts isn't everywhere.
pub const ROLLOUTS: &[Rule] = &[Rule {
    group: "argoproj.io",
    resources: &["rollouts"],
    verbs: &["get", "patch"],
    why: "spec.rolloutRestartTargets of kind Rollout.",
}];

/// Of the cluster, where the operator watches all namespaces: grants of `ShopifyApp`s go by their labels.
pub const GRANTS: &[Rule] = &[Rule {
    group: "",
    resources: &["namespaces"],
    verbs: &["get", "list", "watch"],
    why: "Read and watched as metadata only, which RBAC can't express.",
}];

/// In the operator's own namespace: leader election.
pub const LEASES: &[Rule] =
    &[Rule { group: "coordination.k8s.io", resources: &["leases"], verbs: &["get", "create", "update"], why: "" }];

/// What those see who see a namespace. No Secret: a token's status and record name no value.
pub const VIEW: &[Rule] =
    &[Rule { group: OURS, resources: &["shopifyapps", "shopifytokens"], verbs: &["get", "list", "watch"], why: "" }];

/// What those do beside it who edit or administer a namespace.
pub const EDIT: &[Rule] = &[Rule {
    group: OURS,
    resources: &["shopifyapps", "shopifytokens"],
    verbs: &["create", "delete", "deletecollection", "patch", "update"],
    why: "",
}];
