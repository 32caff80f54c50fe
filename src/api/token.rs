//! `ShopifyToken`: one credential, one Secret.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

pub use super::secret::{CreationPolicy, Preset, SecretSpec, SecretTemplate, TemplateMetadata};
use super::{
    schema,
    source::{Source, SourceRef},
    status::ShopifyTokenStatus,
};
use crate::time::{self, Duration};

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
    validation = Rule::new("!has(self.spec.source.storefront) || self.spec.source.storefront.adminTokenRef.name != self.metadata.name")
        .message("adminTokenRef must name another ShopifyToken: one that holds an Admin API token"),
    validation = Rule::new("!has(self.spec.source.delegate) || self.spec.source.delegate.adminTokenRef.name != self.metadata.name")
        .message("adminTokenRef must name another ShopifyToken: one that holds an Admin API token"),
    validation = Rule::new("!(has(self.spec.source.offline) || has(self.spec.source.customerAccount) && has(self.spec.source.customerAccount.session)) || size(self.metadata.name) <= 246")
        .message("the name of a ShopifyToken that is offline, or has a session, may have at most 246 characters: the operator keeps the refresh token in a Secret <name>-record"),
    validation = Rule::new("!(has(self.spec.source.offline) || has(self.spec.source.customerAccount) && has(self.spec.source.customerAccount.session)) || !has(self.spec.secret) || !has(self.spec.secret.name) || self.spec.secret.name != self.metadata.name + '-record'")
        .message("secret.name must not be <name>-record: the operator keeps the refresh token in that Secret, apart from the one applications mount"),
    validation = Rule::new("!has(self.spec.source.customerAccount) || !has(self.spec.requiredScopes) || size(self.spec.requiredScopes) == 0")
        .message("requiredScopes are of Admin and Storefront API tokens: a customerAccount has none, leave them out"),
    validation = Rule::new("!has(self.spec.source.customerAccount) || !has(self.spec.secret) || !has(self.spec.secret.template) || !has(self.spec.secret.template.data) || self.spec.secret.template.data.all(k, !(k in ['authorization_endpoint', 'client_id', 'client_secret', 'end_session_endpoint', 'graphql_api', 'issuer', 'jwks_uri', 'previous_client_id', 'previous_client_secret', 'token_endpoint']))")
        .message("authorization_endpoint, client_id, client_secret, end_session_endpoint, graphql_api, issuer, jwks_uri, previous_client_id, previous_client_secret, token_endpoint are the operator's own keys of a customerAccount: choose another name"),
    validation = Rule::new("!has(self.spec.source.offline) || !has(self.spec.source.offline.bootstrapRef) || !self.spec.source.offline.bootstrapRef.name.endsWith('-record')")
        .message("bootstrapRef must not end in -record: such Secrets are the operator's, which writes refresh tokens there; name one of yours"),
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
    /// Permanent domain of the shop, such as `acme.myshopify.com`, not the one that customers see. Immutable.
    #[schemars(schema_with = "schema::shop")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the shop is immutable: make a new ShopifyToken"))]
    pub shop: String,
    /// Where the credential comes from: exactly one, whose kind is immutable.
    pub source: Source,
    /// Scopes the credential must have before it is published, such as `read_products`; `write_x` implies `read_x`. Install
    /// pages ask a merchant for these. Default: whatever Shopify grants. Not of
    /// a customerAccount.
    #[schemars(schema_with = "schema::scopes")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_scopes: Vec<String>,
    /// How long before its expiry a credential is renewed, such as `8h`; up to a tenth earlier, so that not all are renewed at
    /// once. One that isn't shorter than the lifetime counts as a third of it. Excludes renewBeforePercentage. Default: a third of
    /// the lifetime.
    #[schemars(schema_with = "schema::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
    /// How long before its expiry a credential is renewed, as a percentage of its lifetime: 1 to 90. Default: a third
    /// of the lifetime.
    #[schemars(range(min = 1, max = 90))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// When a credential is replaced before it ends, and how long the old one stays valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Box<Rotation>>,
    /// How often the credential is verified at Shopify, such as `15m`; `0` never. Of a customerAccount, how often its endpoints
    /// are asked for again. Default 1h.
    #[schemars(schema_with = "schema::duration_or_zero")]
    #[serde(default, deserialize_with = "duration_or_zero", skip_serializing_if = "Option::is_none")]
    pub verify_interval: Option<Duration>,
    /// The Secret that applications mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Box<SecretSpec>>,
    /// Workloads of this namespace that are restarted after a new credential was written into the Secret. No older one is
    /// revoked until their rollouts have finished, or one overlap longer at most.
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout_restart_targets: Vec<RolloutRestartTarget>,
    /// What happens to credential and Secret when this object is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// No issue, check or revocation while true: what expires, expires. Deleting the object still revokes. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// When a credential is replaced before it ends, and how long the old one stays valid.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Age at which a storefront token is replaced, such as `720h`. Others expire, or are a person's to replace. Default: never.
    #[schemars(schema_with = "schema::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long the old credential stays valid after the new Secret has been written, such as `2h`: of a storefront token, of a
    /// delegate that doesn't expire before, and of the pair of a customerAccount. Also how long the Secret of an older
    /// secret.name is kept. Default 24h.
    #[schemars(schema_with = "schema::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
    /// Any change of this text, such as a date, is exactly one rotation; what can't be issued again is verified and read anew.
    /// The value at the first issue counts as done. Default: none.
    #[schemars(length(max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// What happens when this object is deleted. Revoke: the credential is revoked where Shopify can, and the Secret is left as secret.creationPolicy says. Retain: credential and Secret both stay. Default: Retain of source offline, which only the merchant could bring back; else Revoke.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// Revoked at Shopify, where Shopify can.
    Revoke,
    /// The credential and its Secret both stay.
    Retain,
}

/// A workload of this namespace that is restarted after the Secret has changed.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRestartTarget {
    /// Kind of the workload; a Rollout is one of Argo Rollouts.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Kind of the workload: Deployment, StatefulSet or DaemonSet of `apps/v1`, or Rollout of Argo Rollouts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `argoproj.io/v1alpha1` Rollout.
    Rollout,
}

impl WorkloadKind {
    /// Its group and version.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Rollout => "argoproj.io/v1alpha1",
        }
    }
}

/// YAML reads `verifyInterval: 0` as a number.
fn duration_or_zero<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Input {
        Duration(Duration),
        Seconds(u8),
    }
    match Option::<Input>::deserialize(input)? {
        Some(Input::Duration(duration)) => Ok(Some(duration)),
        Some(Input::Seconds(0)) => Ok(Some(std::time::Duration::ZERO.into())),
        Some(Input::Seconds(_)) => Err(D::Error::custom("a duration needs a unit, such as 1h")),
        None => Ok(None),
    }
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
        self.rotation.as_ref().and_then(|r| r.overlap).map_or(chrono::TimeDelta::hours(24), time::to_delta)
    }

    /// Age at which a credential that never expires is replaced.
    #[must_use]
    pub fn rotation_interval(&self) -> Option<chrono::TimeDelta> {
        self.rotation.as_ref().and_then(|r| r.interval).map(time::to_delta)
    }

    /// The text whose change asks for a rotation.
    #[must_use]
    pub fn rotation_trigger(&self) -> Option<&str> {
        self.rotation.as_ref().and_then(|r| r.trigger.as_deref())
    }

    /// How often the credential is verified; `None` never. Default 1 h.
    #[must_use]
    pub fn verify_interval(&self) -> Option<chrono::TimeDelta> {
        let interval = self.verify_interval.map_or(chrono::TimeDelta::hours(1), time::to_delta);
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
        self.secret.as_ref().and_then(|s| s.creation_policy).unwrap_or_default()
    }

    /// What happens to the credential on deletion. Default Revoke, and Retain of an offline token: only the merchant can
    /// end it, and bring it back.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        let offline = self.source.offline.is_some();
        self.deletion_policy.unwrap_or(if offline { DeletionPolicy::Retain } else { DeletionPolicy::Revoke })
    }

    /// Template of the Secret, if any.
    #[must_use]
    pub fn template(&self) -> Option<&SecretTemplate> {
        self.secret.as_ref().and_then(|s| s.template.as_ref())
    }
}

impl ShopifyToken {
    /// Name of the admin token it is issued with.
    #[must_use]
    pub fn admin_token(&self) -> Option<&str> {
        self.spec.source().and_then(SourceRef::admin_token_ref).map(|r| r.name.as_str())
    }

    /// Namespace and name of the app that it is issued with.
    #[must_use]
    pub fn app(&self) -> Option<(&str, &str)> {
        let reference = self.spec.source().and_then(SourceRef::app_ref)?;
        let own = self.metadata.namespace.as_deref().unwrap_or_default();
        Some((reference.namespace.as_deref().unwrap_or(own), &reference.name))
    }

    /// Name of the Secret of its namespace that a person fills for it.
    #[must_use]
    pub fn credentials_secret(&self) -> Option<&str> {
        self.spec.source().and_then(SourceRef::credentials_secret)
    }

    /// Name of the Secret where the operator keeps the refresh token of an offline token, or of a customer's session.
    #[must_use]
    pub fn record_secret(&self) -> Option<String> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        self.spec.source().and_then(SourceRef::approval).map(|_| format!("{name}-record"))
    }

    /// Whether the session of a customer is to stand beside the client of the Customer Account API.
    #[must_use]
    pub fn wants_session(&self) -> bool {
        self.spec.source.customer_account.as_ref().is_some_and(|source| source.session.is_some())
    }

    /// Name of the Secret that applications mount. Default: the name of this object.
    #[must_use]
    pub fn secret_name(&self) -> &str {
        self.spec.secret.as_ref().and_then(|s| s.name.as_deref()).or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}
