//! `ShopifyApp`: the identity tokens are issued with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{schema, source::LocalRef};
use crate::time::{self, Duration};

/// The newest API version this release knows (<https://shopify.dev/docs/api/usage/versioning>).
pub const NEWEST_API_VERSION: &str = "2026-10";

/// The identity tokens are issued with: client id, client secret, API version.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "tokens.shopify-operator.dev",
    version = "v1alpha1",
    kind = "ShopifyApp",
    namespaced,
    shortname = "sapp",
    category = "shopify",
    status = "ShopifyAppStatus",
    derive = "PartialEq",
    doc = "The identity Shopify tokens are issued with: client id, client secret, API version.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Tokens", type_ = "integer", json_path = ".status.tokens.total"),
    printcolumn(
        name = "On Current Secret",
        type_ = "integer",
        json_path = ".status.tokens.onCurrentSecret",
        priority = "1"
    ),
    printcolumn(
        name = "Safe To Revoke Old",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"SafeToRevokeOldSecret\")].status",
        priority = "1"
    ),
    printcolumn(name = "API Version", type_ = "string", json_path = ".spec.apiVersion", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct ShopifyAppSpec {
    /// Secret of this namespace with `client_id` and `client_secret`; a `previous_client_secret` beside them is one that install
    /// pages take, too, during a rotation.
    pub credentials_ref: LocalRef,
    /// Version of the Admin and Storefront API, such as `2026-10`. Default: the newest this release knows.
    #[schemars(schema_with = "schema::api_version")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The Admin API that storefront tokens are managed with. Default: GraphQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_api: Option<AdminApi>,
    /// Which tokens of other namespaces may be issued with this app: those that one of these allows. Default: none.
    #[schemars(length(max = 50))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// How the app's tokens are issued again when its client secret changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_rotation: Option<SecretRotation>,
}

/// How the app's tokens are issued again when its client secret changes.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRotation {
    /// Time over which these issues are spread evenly, such as `30m`: 1s to 24h. Longer is gentler, shorter is sooner. Default 10m.
    #[schemars(schema_with = "schema::duration_of_a_day")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// The Admin API that storefront tokens are managed with: GraphQL, or REST, which is legacy. Default: GraphQL.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AdminApi {
    /// GraphQL Admin API.
    #[default]
    GraphQL,
    /// REST Admin API: legacy since October 2024.
    REST,
}

/// Lets other namespaces issue tokens with an app: those that namespaces, shops and sources of one grant all allow.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Namespaces, by their labels. It has to name some: an empty selector would be every namespace.
    #[schemars(schema_with = "schema::namespace_selector")]
    pub namespaces: LabelSelector,
    /// Shops: a domain, or `*.myshopify.com` for every one. Default: every shop.
    #[schemars(schema_with = "schema::shops")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shops: Vec<String>,
    /// Sources of the tokens that name the app. What hangs below such a token needs no grant. Default: both.
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<AppSource>,
}

/// A source that names an app: ClientCredentials or Offline.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AppSource {
    /// OAuth client-credentials grant.
    ClientCredentials,
    /// Offline token with a rotating refresh token.
    Offline,
}

/// Where the app stands.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopifyAppStatus {
    /// The `metadata.generation` that this status speaks of; -1 before the operator has seen the object.
    #[schemars(schema_with = "schema::observed_generation")]
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, SafeToRevokeOldSecret, and, while they are True, Reconciling (heals by itself) or Stalled (a person must act).
    /// docs/reasons.md says of each reason what to do.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(transform = schema::items_as_one_field)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How many credentials of this app are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<AppTokens>,
    /// The client secret that `tokens` and SafeToRevokeOldSecret speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<AppSecret>,
    /// The last refusal of the app's credentials by Shopify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<AppFailure>,
}

/// How many credentials of an app are held by ShopifyTokens, delegates included.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::as_one_field)]
pub struct AppTokens {
    /// All of them.
    #[schemars(range(min = 0))]
    pub total: i64,
    /// Those that the current client secret has minted.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_current_secret: Option<i64>,
}

/// A client secret of the app, by its hash.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::as_one_field)]
pub struct AppSecret {
    /// Hash of it, salted with the app's namespace and name: it can be compared with nothing else.
    pub hash: String,
    /// When the operator found it in place of another one; absent before any rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A refusal of the app's credentials.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::as_one_field)]
pub struct AppFailure {
    /// The shop that refused them.
    pub shop: String,
    /// The reason, as in the conditions of the ShopifyToken concerned.
    pub reason: String,
    /// When it did.
    pub time: Time,
}

fn unseen() -> i64 {
    -1
}

impl Default for ShopifyAppStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            tokens: None,
            client_secret: None,
            last_failure: None,
        }
    }
}

impl ShopifyAppSpec {
    /// The API version to use.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.api_version.as_deref().unwrap_or(NEWEST_API_VERSION)
    }

    /// Time over which the app's tokens are issued again when its client secret changes. Default 10 minutes.
    #[must_use]
    pub fn rotates_within(&self) -> chrono::TimeDelta {
        let within = self.secret_rotation.as_ref().and_then(|rotation| rotation.within);
        within.map_or(chrono::TimeDelta::minutes(10), time::to_delta)
    }

    /// The Admin API storefront tokens are managed with.
    #[must_use]
    pub fn admin_api(&self) -> AdminApi {
        self.admin_api.unwrap_or_default()
    }
}
