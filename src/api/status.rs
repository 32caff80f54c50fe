//! `ShopifyToken.status`: a projection for people and pipelines, never evidence of what was issued.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{schema, source::SourceKind};

/// Where the credential stands. Never holds a credential's value.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopifyTokenStatus {
    /// The `metadata.generation` that this status speaks of; -1 before the operator has seen the object.
    #[schemars(schema_with = "schema::observed_generation")]
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready (the credential that applications hold works) and TokenValid (what Shopify last said of it); while they are True,
    /// Reconciling (heals by itself), Stalled (a person must act) and Suspended; of a customerAccount SafeToRevokeOldSecret.
    /// docs/reasons.md says of each reason what to do.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(transform = schema::items_as_one_field)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Kind of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceKind>,
    /// Shopify's id of the credential, where it has one; of a delegate or a customerAccount a hash. Ids are not secret.
    #[serde(skip_serializing_if = "Option::is_none", rename = "tokenID")]
    pub token_id: Option<String>,
    /// Scopes of the credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// How many credentials have been issued for this object, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When the credential was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// When the credential expires; absent if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the refresh token of an offline token expires, without which a merchant must approve again. It is replaced long
    /// before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_expires_at: Option<Time>,
    /// When the credential is renewed next, before it expires, or rotated by `rotation.interval`; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// When Shopify last confirmed the credential, by issuing or by verifying it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// Older credentials that still live, newest last: at most 5, a further rotation waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousToken>,
    /// Attempts that failed in a row; absent after one that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i64>,
    /// When the last attempt failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// When the next attempt is made, unless something it depends on changes before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// Hash of all that the failed attempt depended on: when something of it changes, the back-off ends. Salted by the
    /// operator's process, so that it tells nothing of a credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_inputs: Option<Box<str>>,
    /// Last value of the `reconcile.fluxcd.io/requestedAt` annotation that was acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<Box<str>>,
    /// Last value of `spec.rotation.trigger` that was acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_trigger: Option<Box<str>>,
    /// Last value of the `tokens.shopify-operator.dev/rotate-at` annotation that was acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate_at: Option<Box<str>>,
    /// The Secret that holds the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<TokenSecretStatus>,
    /// The address to open in a browser while an approval is missing (ConsentRequired, RefreshTokenDead): for somebody who may
    /// install apps on the shop, or, of a session, for its customer alone. Absent unless the operator has a --public-url.
    #[serde(skip_serializing_if = "Option::is_none", rename = "installURL")]
    pub install_url: Option<Box<str>>,
}

/// An older credential that still lives.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousToken {
    /// Shopify's id of the credential.
    #[serde(rename = "tokenID")]
    pub token_id: String,
    /// When it is revoked: `rotation.overlap` after its successor was written.
    pub revoke_at: Time,
}

/// The Secret that holds the credential.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::as_one_field)]
pub struct TokenSecretStatus {
    /// Its name.
    pub name: String,
    /// Revision of the credential in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
}

fn unseen() -> i64 {
    -1
}

impl Default for ShopifyTokenStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            source: None,
            token_id: None,
            scopes: Vec::new(),
            revision: None,
            issued_at: None,
            expires_at: None,
            refresh_token_expires_at: None,
            renewal_time: None,
            last_verified_time: None,
            previous: Vec::new(),
            failed_attempts: None,
            last_failure_time: None,
            next_attempt_time: None,
            failed_inputs: None,
            last_handled_reconcile_at: None,
            last_handled_trigger: None,
            last_handled_rotate_at: None,
            secret: None,
            install_url: None,
        }
    }
}
