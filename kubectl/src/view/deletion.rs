//! What deleting a token will do, by its source and policies.

use shopify_token_operator::{
    api::{ShopifyToken, SourceKind, SourceRef, token::DeletionPolicy},
    core::{
        finalizer::{needs_finalizer, revocable},
        leave::Leave,
    },
};

/// What will happen, a sentence a line. `dependents` are the names of tokens that are issued with this one.
#[must_use]
pub fn told(token: &ShopifyToken, dependents: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let Some(kind) = token.spec.source().map(SourceRef::kind) else {
        return vec![
            "Its source is one that this release doesn't know: what happens is up to the operator.".to_owned(),
        ];
    };
    let status = token.status.clone().unwrap_or_default();
    let issued = status.revision.is_some();
    told.push(match (issued, revocable(token, kind), kind) {
        (false, ..) => "Nothing has been issued that could be revoked.".to_owned(),
        (true, true, _) => {
            let older = match status.previous.len() {
                0 => String::new(),
                1 => ", and one older credential in overlap".to_owned(),
                several => format!(", and {several} older credentials in overlap"),
            };
            format!("Its credential is revoked at Shopify at once{older}: applications that still use it are refused.")
        }
        (true, false, _) => lives_on(token, kind),
    });
    let secret = token.secret_name();
    told.push(match Leave::of(token) {
        Leave::Delete => format!("Secret {secret} is deleted."),
        Leave::Keep => format!("Secret {secret} stays as it is, and nobody keeps it up to date any more."),
        Leave::Withdraw => format!("Secret {secret} stays, without the operator's keys."),
    });
    if let Some(record) = token.record_secret().filter(|_| issued) {
        told.push(match token.spec.deletion_policy() {
            DeletionPolicy::Revoke => format!("Secret {record}, with the refresh token, is deleted."),
            DeletionPolicy::Retain => format!("Secret {record}, with the refresh token, stays: a ShopifyToken of this name, app and shop takes it up again."),
        });
    }
    if !dependents.is_empty() {
        let names = dependents.join(", ");
        told.push(format!("It isn't gone before these are, which are issued with it: {names}. Delete them, or give them another adminTokenRef."));
    }
    if needs_finalizer(token, kind) {
        told.push("The operator has to run for that: without it the object stays in deletion.".to_owned());
    }
    if let Some(tool) = applied_by(token) {
        told.push(format!("{tool} will make it again unless it is taken out of what that applies."));
    }
    told
}

/// Why nothing is revoked.
fn lives_on(token: &ShopifyToken, kind: SourceKind) -> String {
    let expires = token.status.as_ref().and_then(|status| status.expires_at.as_ref());
    let until = expires.map_or(String::new(), |at| format!(" until {}", at.0));
    match kind {
        SourceKind::ClientCredentials => format!("Shopify can't revoke its credential, which works{until}."),
        SourceKind::Offline => "Its credential lives on at Shopify: only uninstalling the app ends it.".to_owned(),
        SourceKind::Custom => "Its credential lives on: who made it revokes it in Shopify's admin.".to_owned(),
        SourceKind::CustomerAccount => "Its client lives on: who made it revokes it in the sales channel.".to_owned(),
        SourceKind::Storefront | SourceKind::Delegate => {
            format!("Its credential is not revoked, because of deletionPolicy Retain: it works{until}.")
                .replace("works.", "works on.")
        }
    }
}

/// The tool that would apply it again, as its marks say.
fn applied_by(token: &ShopifyToken) -> Option<&'static str> {
    let meta = &token.metadata;
    let has = |prefix: &str| {
        let labels = meta.labels.iter().flatten().map(|(name, _)| name);
        labels.chain(meta.annotations.iter().flatten().map(|(name, _)| name)).any(|name| name.starts_with(prefix))
    };
    let helm =
        meta.labels.iter().flatten().any(|(name, value)| name == "app.kubernetes.io/managed-by" && value == "Helm");
    match () {
        () if has("argocd.argoproj.io/") => Some("Argo CD"),
        () if has("kustomize.toolkit.fluxcd.io/") || has("helm.toolkit.fluxcd.io/") => Some("Flux"),
        () if helm => Some("The next upgrade of its Helm release"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn token(source: &Value, more: &Value, status: &Value) -> ShopifyToken {
        let mut spec = json!({"shop": "acme.myshopify.com", "source": source});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"argocd.argoproj.io/tracking-id": "x"}},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn every_source_and_policy_says_what_happens() {
        let app = json!({"appRef": {"name": "acme"}});
        let admin = json!({"adminTokenRef": {"name": "admin"}});
        let status = json!({
            "revision": 3, "expiresAt": "2026-11-30T09:00:00Z",
            "previous": [{"tokenID": "1", "revokeAt": "2026-11-30T09:00:00Z"}],
        });
        let mut texts = Vec::new();
        for (name, source, more, status, dependents) in [
            (
                "client credentials, depended on",
                json!({"clientCredentials": app}),
                json!({}),
                &status,
                vec!["web".to_owned()],
            ),
            ("offline", json!({"offline": app}), json!({}), &status, vec![]),
            ("offline, revoke", json!({"offline": app}), json!({"deletionPolicy": "Revoke"}), &status, vec![]),
            ("storefront", json!({"storefront": admin}), json!({}), &status, vec![]),
            ("storefront, retain", json!({"storefront": admin}), json!({"deletionPolicy": "Retain"}), &status, vec![]),
            ("storefront, nothing yet", json!({"storefront": admin}), json!({}), &json!({}), vec![]),
            (
                "delegate, merge",
                json!({"delegate": {"adminTokenRef": {"name": "admin"}, "scopes": ["a"]}}),
                json!({"secret": {"creationPolicy": "Merge"}}),
                &status,
                vec![],
            ),
            (
                "custom, orphan",
                json!({"custom": {"tokenRef": {"name": "t", "key": "k"}}}),
                json!({"secret": {"creationPolicy": "Orphan"}}),
                &status,
                vec![],
            ),
            (
                "customer account",
                json!({"customerAccount": {"credentialsRef": {"name": "c"}, "clientType": "Public"}}),
                json!({}),
                &status,
                vec![],
            ),
        ] {
            texts.push(format!("{name}\n  {}", told(&token(&source, &more, status), &dependents).join("\n  ")));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }
}
