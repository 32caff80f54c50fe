//! `ShopifyToken`: one credential, one Secret.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    schema,
    source::{Source, SourceRef},
    status::ShopifyTokenStatus,
};
use crate::duration::{self, Duration};

/// One Shopify credential, kept alive and written into one Secret.
#[derive(Clone, CustomResource, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "tokens.shopify-operator.dev",
    version = "v1alpha1",
    kind = "ShopifyToken",
    namespaced,
    shortname = "stok",
    category = "shopify",
    status = "ShopifyTokenStatus",
    derive = "PartialEq",
    doc = "One Shopify credential, kept alive and written into one Secret.",
    selectable = ".spec.shop",
    selectable = ".status.source",
    printcolumn(name = "Source", type_ = "string", json_path = ".status.source"),
    printcolumn(name = "Shop", type_ = "string", json_path = ".spec.shop"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Renewal", type_ = "string", json_path = ".status.renewalTime"),
    printcolumn(
        name = "Secret",
        type_ = "string",
        json_path = ".status.secret.name",
        priority = "1"
    ),
    printcolumn(
        name = "Revision",
        type_ = "integer",
        json_path = ".status.revision",
        priority = "1"
    ),
    printcolumn(
        name = "Scopes",
        type_ = "string",
        json_path = ".status.scopes",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.renewBefore) && has(self.renewBeforePercentage))")
        .message("renewBefore and renewBeforePercentage exclude each other: set one"),
)]
pub struct ShopifyTokenSpec {
    /// Permanent domain of the shop, such as `acme.myshopify.com`. Immutable.
    #[schemars(
        length(min = 15, max = 255),
        regex(pattern = r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the shop is immutable: make a new ShopifyToken"))]
    pub shop: String,
    /// Where the credential comes from: exactly one.
    pub source: Source,
    /// Scopes the credential must have before it is published. `write_x` implies `read_x`.
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 100), regex(pattern = r"^[a-z0-9_]+$"))
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_scopes: Vec<String>,
    /// How long before its expiry a credential is renewed, such as `8h`.
    #[schemars(schema_with = "schema::duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
    /// The same as a percentage of its lifetime. Default 33.
    #[schemars(range(min = 1, max = 90))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// Rotation of credentials that don't expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How often the credential is verified at Shopify; `0` never. Default 1h.
    #[schemars(schema_with = "schema::duration_or_zero")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_interval: Option<Duration>,
    /// The Secret that applications mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSpec>,
    /// Workloads of this namespace that are restarted after the Secret has changed.
    #[schemars(length(max = 20))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout_restart_targets: Vec<RolloutRestartTarget>,
    /// What happens to the credential when this object is deleted. Default Revoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// No issue, check or revocation while true; deleting the object still revokes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// When a credential that doesn't expire is replaced, and how long the old one stays valid.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Age at which a credential that never expires is replaced. Default: never.
    #[schemars(schema_with = "schema::duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long the old credential stays valid after the new Secret has been written. Default 24h.
    #[schemars(schema_with = "schema::duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
    /// Any change of this text is exactly one rotation. The value at the first issue counts as done.
    #[schemars(length(max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// The Secret that applications mount.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Name of the Secret. Default: the name of this object.
    #[schemars(schema_with = "schema::object_name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Adds the keys that a consumer expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Type, metadata and further keys of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<SecretTemplate>,
    /// Who makes and owns the Secret. Default Owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_policy: Option<CreationPolicy>,
}

/// A set of environment names that a consumer expects.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Preset {
    /// Shopify Hydrogen: `PUBLIC_STOREFRONT_API_TOKEN`, `PUBLIC_STORE_DOMAIN`, …
    Hydrogen,
    /// Shopify's Node library: `SHOPIFY_ACCESS_TOKEN`, `SHOPIFY_SHOP`, `SHOPIFY_API_VERSION`, …
    Node,
    /// Shopify's Ruby library: `SHOPIFY_ACCESS_TOKEN`, `SHOPIFY_SHOP_DOMAIN`, `SHOPIFY_API_VERSION`, …
    Ruby,
    /// Shopify's Python library: `SHOPIFY_ACCESS_TOKEN`, `SHOPIFY_SHOP_URL`, `SHOPIFY_API_VERSION`, …
    Python,
}

/// Type, metadata and further keys of the Secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Type of the Secret. Default Opaque. It can't be changed once the Secret exists.
    #[schemars(schema_with = "schema::secret_type")]
    #[serde(rename = "type")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Labels and annotations of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Further keys: text with minijinja expressions such as `{{ access_token }}`.
    #[schemars(schema_with = "schema::template_data")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

/// Labels and annotations of the Secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels.
    #[schemars(schema_with = "schema::template_metadata")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[schemars(schema_with = "schema::template_metadata")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Who makes and owns the Secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CreationPolicy {
    /// Made and owned by the operator; goes with the ShopifyToken.
    #[default]
    Owner,
    /// Made by the operator; stays when the ShopifyToken goes.
    Orphan,
    /// The operator's keys in a Secret that is there; taken out on deletion.
    Merge,
}

/// What happens to the credential when its ShopifyToken is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// Revoked at Shopify, where Shopify can.
    #[default]
    Revoke,
    /// The credential and its Secret both stay.
    Retain,
}

/// A workload of this namespace that is restarted after the Secret has changed.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRestartTarget {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Kinds of workload that have rollouts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

impl ShopifyTokenSpec {
    /// The one source; `None` if the object got past the schema with none or several.
    #[must_use]
    pub fn source(&self) -> Option<SourceRef<'_>> {
        self.source.one()
    }

    /// How long an old credential stays valid. Default 24 h.
    #[must_use]
    pub fn overlap(&self) -> chrono::TimeDelta {
        self.rotation
            .as_ref()
            .and_then(|r| r.overlap)
            .map_or(chrono::TimeDelta::hours(24), duration::to_delta)
    }

    /// Age at which a credential that never expires is replaced.
    #[must_use]
    pub fn rotation_interval(&self) -> Option<chrono::TimeDelta> {
        self.rotation
            .as_ref()
            .and_then(|r| r.interval)
            .map(duration::to_delta)
    }

    /// The text whose change asks for a rotation.
    #[must_use]
    pub fn rotation_trigger(&self) -> Option<&str> {
        self.rotation.as_ref().and_then(|r| r.trigger.as_deref())
    }

    /// How often the credential is verified; `None` never. Default 1 h.
    #[must_use]
    pub fn verify_interval(&self) -> Option<chrono::TimeDelta> {
        let interval = self
            .verify_interval
            .map_or(chrono::TimeDelta::hours(1), duration::to_delta);
        (interval > chrono::TimeDelta::zero()).then_some(interval)
    }

    /// Whether the operator leaves this object alone.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or_default()
    }

    /// Who makes and owns the Secret. Default Owner.
    #[must_use]
    pub fn creation_policy(&self) -> CreationPolicy {
        self.secret
            .as_ref()
            .and_then(|s| s.creation_policy)
            .unwrap_or_default()
    }

    /// What happens to the credential on deletion. Default Revoke.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// Template of the Secret, if any.
    #[must_use]
    pub fn template(&self) -> Option<&SecretTemplate> {
        self.secret.as_ref().and_then(|s| s.template.as_ref())
    }
}

impl ShopifyToken {
    /// Name of the Secret that applications mount. Default: the name of this object.
    #[must_use]
    pub fn secret_name(&self) -> &str {
        self.spec
            .secret
            .as_ref()
            .and_then(|s| s.name.as_deref())
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }
}
