//! Grants: whether a ShopifyApp lets a token of another namespace be issued with it, and what a token hears that it
//! doesn't: the same whether the grant, the app or its namespace is missing.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};

use super::{failure::Failure, vocabulary::Reason};
use crate::api::{
    ShopifyApp, ShopifyToken, SourceRef,
    app::{AppSource, Grant},
};

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// What a grant stands for as shops: all of them.
const EVERY_SHOP: &str = "*.myshopify.com";

/// Whether a token that names this app may be issued with it: it is of the app's own namespace, or one grant covers the
/// labels of its namespace, its shop and its source, all three.
#[must_use]
pub fn is_granted(app: &ShopifyApp, token: &ShopifyToken, labels: &Labels) -> bool {
    let source = match token.spec.source() {
        Some(SourceRef::ClientCredentials(_)) => AppSource::ClientCredentials,
        Some(SourceRef::Offline(_)) => AppSource::Offline,
        Some(
            SourceRef::Storefront(_) | SourceRef::Delegate(_) | SourceRef::Custom(_) | SourceRef::CustomerAccount(_),
        )
        | None => return false,
    };
    app.metadata.namespace == token.metadata.namespace
        || app.spec.grants.iter().any(|grant| covers(grant, labels, &token.spec.shop, source))
}

/// A selector that is empty, or says what no selector can, is that of no namespace.
fn covers(grant: &Grant, labels: &Labels, shop: &str, source: AppSource) -> bool {
    let selected = Selector::try_from(grant.namespaces.clone());
    selected.is_ok_and(|selector| !selector.selects_all() && selector.matches(labels))
        && (grant.shops.is_empty() || grant.shops.iter().any(|named| named == EVERY_SHOP || named == shop))
        && (grant.sources.is_empty() || grant.sources.contains(&source))
}

/// What a token hears that may not use an app of another namespace. It tells nothing that the token doesn't say itself.
#[must_use]
pub fn not_granted(token: &ShopifyToken) -> Failure {
    let (namespace, shop) = (token.metadata.namespace.as_deref().unwrap_or_default(), &token.spec.shop);
    let source = token.spec.source().map(|source| source.kind().as_str()).unwrap_or_default();
    refusal(
        token,
        &format!(
            "there is none of that name, or none of its grants covers the labels of namespace {namespace:?}, {shop} and source {source}; ask its owner for one that does (spec.grants), and it goes on at once"
        ),
    )
}

/// The same where the operator's flags alone say that there is nothing to look for.
#[must_use]
pub fn not_watched(token: &ShopifyToken) -> Failure {
    refusal(
        token,
        "this operator doesn't watch that namespace; name both in its --watch-namespaces or let it watch all, with the rights of deploy/base",
    )
}

/// The same where the operator may not read the labels that grants go by.
#[must_use]
pub fn labels_unread(token: &ShopifyToken) -> Failure {
    refusal(
        token,
        "this operator may not read namespaces, whose labels grants go by; give it the rights of deploy/base",
    )
}

fn refusal(token: &ShopifyToken, why: &str) -> Failure {
    let (own, (named, _)) = (token.metadata.namespace.as_deref().unwrap_or_default(), token.app().unwrap_or_default());
    let message = format!(
        "appRef names a ShopifyApp of namespace {named:?} that can't be used: {why}; or use a ShopifyApp of namespace {own:?}"
    );
    Failure::new(Reason::NotGranted, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn app(grants: &Value) -> ShopifyApp {
        let spec = json!({"credentialsRef": {"name": "acme-app"}, "grants": grants});
        let metadata = json!({"name": "acme", "namespace": "platform"});
        let api = "tokens.shopify-operator.dev/v1alpha1";
        serde_json::from_value(json!({"apiVersion": api, "kind": "ShopifyApp", "metadata": metadata, "spec": spec}))
            .unwrap()
    }

    fn token(namespace: &str, source: &str) -> ShopifyToken {
        let source = json!({source: {"appRef": {"name": "acme", "namespace": "platform"}}});
        let spec = json!({"shop": "acme.myshopify.com", "source": source});
        let metadata = json!({"name": "admin", "namespace": namespace});
        let api = "tokens.shopify-operator.dev/v1alpha1";
        serde_json::from_value(json!({"apiVersion": api, "kind": "ShopifyToken", "metadata": metadata, "spec": spec}))
            .unwrap()
    }

    #[test]
    fn one_grant_covers_labels_shop_and_source_or_nothing_is_granted() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<Labels>();
        let web = json!({"matchLabels": {"team": "web"}});
        let expression = |operator: &str, values: Option<Value>| {
            let mut expression = json!({"key": "team", "operator": operator});
            if let Some(values) = values {
                expression["values"] = values;
            }
            json!({"matchExpressions": [expression]})
        };
        let named = |values: Value| Some(values);
        #[rustfmt::skip]
        let cases = [
            ("no grant", json!([]), false),
            ("any shop and source", json!([{"namespaces": web}]), true),
            ("another label", json!([{"namespaces": {"matchLabels": {"team": "app"}}}]), false),
            ("one label of two", json!([{"namespaces": {"matchLabels": {"team": "web", "tier": "gold"}}}]), false),
            ("an empty selector", json!([{"namespaces": {}}]), false),
            ("one that is empty twice", json!([{"namespaces": {"matchLabels": {}, "matchExpressions": []}}]), false),
            ("one of some values", json!([{"namespaces": expression("In", named(json!(["app", "web"])))}]), true),
            ("none of some values", json!([{"namespaces": expression("NotIn", named(json!(["web"])))}]), false),
            ("not another value", json!([{"namespaces": expression("NotIn", named(json!(["app"])))}]), true),
            ("the key", json!([{"namespaces": expression("Exists", None)}]), true),
            ("not the key", json!([{"namespaces": expression("DoesNotExist", None)}]), false),
            ("no such operator", json!([{"namespaces": expression("Like", named(json!(["web"])))}]), false),
            ("this shop", json!([{"namespaces": web, "shops": ["other.myshopify.com", "acme.myshopify.com"]}]), true),
            ("another shop", json!([{"namespaces": web, "shops": ["other.myshopify.com"]}]), false),
            ("every shop", json!([{"namespaces": web, "shops": ["*.myshopify.com"]}]), true),
            ("this source", json!([{"namespaces": web, "sources": ["ClientCredentials"]}]), true),
            ("another source", json!([{"namespaces": web, "sources": ["Offline"]}]), false),
            ("both sources", json!([{"namespaces": web, "sources": ["Offline", "ClientCredentials"]}]), true),
            ("the second grant", json!([{"namespaces": {"matchLabels": {"team": "app"}}}, {"namespaces": web}]), true),
            ("a bit of each of two", json!([
                {"namespaces": web, "shops": ["other.myshopify.com"]},
                {"namespaces": {"matchLabels": {"team": "app"}}, "shops": ["acme.myshopify.com"]},
            ]), false),
        ];
        let team = labels(&[("team", "web"), ("kubernetes.io/metadata.name", "team")]);
        for (what, grants, granted) in cases {
            assert_eq!(is_granted(&app(&grants), &token("team", "clientCredentials"), &team), granted, "{what}");
        }
        let offline = json!([{"namespaces": web, "sources": ["Offline"]}]);
        assert!(is_granted(&app(&offline), &token("team", "offline"), &team));
        let any = json!([{"namespaces": web}]);
        assert!(!is_granted(&app(&any), &token("team", "clientCredentials"), &Labels::new()), "without labels");
    }

    #[test]
    fn the_apps_own_namespace_needs_no_grant() {
        assert!(is_granted(&app(&json!([])), &token("platform", "clientCredentials"), &Labels::new()));
    }

    #[test]
    fn what_is_refused_tells_what_the_object_says_itself_and_what_to_do() {
        let Failure { reason, message, .. } = not_granted(&token("team", "clientCredentials"));
        assert_eq!(reason, Reason::NotGranted);
        assert_eq!(
            message,
            "appRef names a ShopifyApp of namespace \"platform\" that can't be used: there is none of that name, or none of its grants covers the labels of namespace \"team\", acme.myshopify.com and source ClientCredentials; ask its owner for one that does (spec.grants), and it goes on at once; or use a ShopifyApp of namespace \"team\""
        );
    }
}
