//! `spec.secret`: the Secret that applications mount.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The Secret that applications mount.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Name of the Secret. Default: the name of this object. After a change the old Secret is kept for `rotation.overlap`.
    #[schemars(schema_with = "schema::object_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// Adds keys with the environment names that a consumer expects: Hydrogen (of a storefront, delegate or customerAccount), Shopify's Node, Ruby or Python library (of all but a customerAccount), or an OpenID Connect client (OIDC, of a customerAccount). Default: none.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Preset {
    /// Shopify Hydrogen: `PUBLIC_STOREFRONT_API_TOKEN`, `PUBLIC_CUSTOMER_ACCOUNT_API_CLIENT_ID`, `PUBLIC_STORE_DOMAIN`, …
    Hydrogen,
    /// Shopify's Node library: `SHOPIFY_ACCESS_TOKEN`, `SHOPIFY_SHOP`, `SHOPIFY_API_VERSION`, …
    Node,
    /// Shopify's Ruby library: `SHOPIFY_ACCESS_TOKEN`, `SHOPIFY_SHOP_DOMAIN`, `SHOPIFY_API_VERSION`, …
    Ruby,
    /// Shopify's Python library: `SHOPIFY_ACCESS_TOKEN`, `SHOPIFY_SHOP_URL`, `SHOPIFY_API_VERSION`, …
    Python,
    /// OpenID Connect clients: `OIDC_ISSUER`, `OIDC_CLIENT_ID`, `OIDC_CLIENT_SECRET`, …
    #[serde(rename = "OIDC")]
    Oidc,
}

/// Type, metadata and further keys of the Secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Type of the Secret: Opaque, or a type of your own. It can't be changed once the Secret exists. Default: Opaque.
    #[schemars(schema_with = "schema::secret_type")]
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Labels and annotations of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Further keys: text with Jinja expressions such as `{{ access_token }}`. docs/reference.md lists what they can say.
    #[schemars(schema_with = "schema::template_data")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

/// Labels and annotations of the Secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels, taken literally. Not those under kubernetes.io, k8s.io or tokens.shopify-operator.dev.
    #[schemars(schema_with = "schema::template_labels")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, taken literally. Not those under kubernetes.io, k8s.io or tokens.shopify-operator.dev.
    #[schemars(schema_with = "schema::template_annotations")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Owner: the Secret is made and owned by the operator, and goes with this object. Orphan: made by the operator, and stays. Merge: the operator's keys in an Opaque Secret that is there, taken out on deletion. Default: Owner.
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
