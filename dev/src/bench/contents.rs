//! What the floor writes of a token: as little as it can, or as much as the operator does.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::world::{NAMESPACE, World, now};

/// The key that no two Secrets have the same value of.
const ACCESS_TOKEN: &str = "access_token";

/// Of each token.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) enum Contents {
    /// What applications need, and that it is Ready.
    #[default]
    Least,
    /// All that the operator has written of one: its record, who owns the Secret, the whole status.
    AsMuch { secret: Box<Secret>, status: Value },
}

/// A token that is written of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) shop: String,
    uid: String,
}

impl Token {
    /// As the API server has it.
    pub(super) fn of(object: &DynamicObject) -> Self {
        let shop = object.data.pointer("/spec/shop").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { name: object.name_any(), shop, uid: object.uid().unwrap_or_default() }
    }
}

impl Contents {
    /// What the operator has written of the token of this name.
    pub(super) async fn of(world: &World, name: &str) -> Result<Self> {
        let token = world.tokens().get(name).await?;
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
        let Secret { metadata, data, type_, .. } = secrets.get(name).await?;
        let ObjectMeta { annotations, labels, owner_references, .. } = metadata;
        let metadata = ObjectMeta { annotations, labels, owner_references, ..ObjectMeta::default() };
        let data = data.map(|data| data.into_iter().filter(|(key, _)| key != ACCESS_TOKEN).collect());
        let secret = Box::new(Secret { metadata, data, type_, ..Secret::default() });
        Ok(Self::AsMuch { secret, status: token.data.get("status").context("a status")?.clone() })
    }

    /// The Secret with what was granted for a token.
    pub(super) fn secret(&self, token: &Token, grant: &Value) -> Result<Secret> {
        let granted = grant[ACCESS_TOKEN].as_str().context("an access token")?;
        let Self::AsMuch { secret, .. } = self else {
            return Ok(serde_json::from_value(json!({
                "metadata": {"name": token.name},
                "stringData": {ACCESS_TOKEN: granted, "shop_domain": token.shop, "scopes": grant["scope"]},
            }))?);
        };
        let mut secret = (**secret).clone();
        secret.metadata.name = Some(token.name.clone());
        // Kubernetes deletes what belongs to nobody.
        for owner in secret.metadata.owner_references.iter_mut().flatten() {
            owner.name.clone_from(&token.name);
            owner.uid.clone_from(&token.uid);
        }
        secret.string_data = Some([(ACCESS_TOKEN.to_owned(), granted.to_owned())].into());
        Ok(secret)
    }

    /// The status of a token that has its Secret.
    pub(super) fn status(&self) -> Value {
        match self {
            Self::AsMuch { status, .. } => status.clone(),
            Self::Least => {
                let ready = json!({
                    "type": "Ready", "status": "True", "reason": "Issued", "message": "",
                    "lastTransitionTime": now().to_string(),
                });
                json!({"conditions": [ready], "observedGeneration": 1, "revision": 1})
            }
        }
    }
}
