//! Whether the API server has stored a Secret as it was written: a mutating admission webhook changes it on its way, under
//! the writer's own name.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::core::record::{self, Fields};

/// The fields of ours that came back otherwise than they were written, without their values.
#[must_use]
pub fn altered(written: &Secret, stored: &Secret) -> Vec<String> {
    let fields = Fields::parse(written.annotations()).unwrap_or_default();
    let mut altered = Vec::new();
    let data = |secret: &Secret, key: &String| secret.data.as_ref().and_then(|data| data.get(key)).cloned();
    altered.extend(
        fields.data.iter().filter(|key| data(written, key) != data(stored, key)).map(|key| format!("data.{key}")),
    );
    let labels = fields.labels.iter().filter(|key| written.labels().get(*key) != stored.labels().get(*key));
    altered.extend(labels.map(|key| format!("metadata.labels[{key:?}]")));
    let ours = written.annotations().keys().filter(|key| record::is_ours(key) || fields.annotations.contains(key));
    let annotations = ours.filter(|key| written.annotations().get(*key) != stored.annotations().get(*key));
    altered.extend(annotations.map(|key| format!("metadata.annotations[{key:?}]")));
    let holder = record::holder(written.annotations());
    let owned = |secret: &Secret| {
        secret.owner_references().iter().any(|owner| holder.as_ref().is_some_and(|holder| owner.uid == holder.uid))
    };
    if owned(written) != owned(stored) {
        altered.push("metadata.ownerReferences".to_owned());
    }
    altered
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::SourceKind,
        core::scene::{healthy, record},
    };

    #[test]
    fn what_came_back_otherwise_is_named_without_its_value() {
        let record = crate::core::record::Record {
            fields: Fields {
                data: vec!["access_token".into(), "shop_domain".into()],
                labels: vec!["team".into()],
                annotations: vec!["example.com/team".into()],
            },
            ..record(SourceKind::Storefront)
        };
        let mut annotations = json!(record.annotations());
        annotations["example.com/team"] = json!("web");
        let owner = json!({"apiVersion": "a/v1", "kind": "ShopifyToken", "name": "web", "uid": healthy(SourceKind::Storefront, json!({})).identity.uid});
        let written = json!({
            "metadata": {"name": "web", "annotations": annotations, "labels": {"team": "web"}, "ownerReferences": [owner]},
            "data": {"access_token": "Y2FuYXJ5", "shop_domain": "YQ=="},
        });
        let secret = |value: &Value| -> Secret { serde_json::from_value(value.clone()).unwrap() };
        let mut stored = written.clone();
        let theirs = json!({"apiVersion": "b/v1", "kind": "Vault", "name": "web", "uid": "9"});
        stored["metadata"]["ownerReferences"].as_array_mut().unwrap().push(theirs);
        stored["metadata"]["resourceVersion"] = json!("7");
        stored["metadata"]["labels"]["theirs"] = json!("x");
        stored["metadata"]["annotations"]["theirs"] = json!("x");
        stored["data"]["theirs"] = json!("eA==");
        assert!(altered(&secret(&written), &secret(&stored)).is_empty(), "what isn't ours anybody may add");
        for (pointer, name) in [
            ("/data/access_token", "data.access_token"),
            ("/metadata/labels/team", "metadata.labels[\"team\"]"),
            ("/metadata/annotations/example.com~1team", "metadata.annotations[\"example.com/team\"]"),
            (
                "/metadata/annotations/tokens.shopify-operator.dev~1revision",
                "metadata.annotations[\"tokens.shopify-operator.dev/revision\"]",
            ),
        ] {
            let mut stored = written.clone();
            *stored.pointer_mut(pointer).unwrap() = json!("ZXZpbA==");
            assert_eq!(altered(&secret(&written), &secret(&stored)), [name]);
        }
        let mut stored = written.clone();
        stored["data"].as_object_mut().unwrap().remove("shop_domain");
        stored["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        let both = ["data.shop_domain", "metadata.ownerReferences"];
        assert_eq!(altered(&secret(&written), &secret(&stored)), both);
    }
}
