//! Whether anybody else has written what is ours of a Secret since we did, by its metadata alone.
//!
//! The API server keeps for each field who set it last: whoever changes its value, or takes it out, takes it from all
//! others (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>). What is still ours is as
//! we wrote it, the data included, which the metadata doesn't show.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use super::{
    leave::Leave,
    record::{self, Record},
    vocabulary::OPERATOR,
};

/// The record in the metadata of a Secret, if all that is ours of it is as we wrote it, by the API server's account.
///
/// `None` says no more than that the Secret has to be read.
#[must_use]
pub fn untouched(metadata: &ObjectMeta) -> Option<Record> {
    let annotations = metadata.annotations.as_ref()?;
    let record = Record::parse(annotations)?;
    let here = record.place.is_some() && record.place == metadata.name;
    if !here || metadata.deletion_timestamp.is_some() || record::leave_at(annotations).is_some() {
        return None;
    }
    let entries = metadata.managed_fields.as_deref().unwrap_or_default();
    // Nobody can write an immutable one, whoever made it so. And what a server-side apply puts into `stringData` lands in
    // `data`, where it is still said to be ours.
    if entries.iter().any(|entry| sets(entry, &["immutable"]) || sets(entry, &["stringData"])) {
        return None;
    }
    let ours: Vec<_> = entries.iter().filter(|entry| is_ours(entry)).collect();
    let sets_it = |path: &[&str]| ours.iter().any(|entry| sets(entry, path));
    let fields = &record.fields;
    let recorded = annotations.keys().filter(|key| record::is_ours(key)).chain(&fields.annotations);
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.clone().find(|owner| owner.uid == record.token.uid);
    // Whose it is then, the policies of the spec tell.
    if owners.any(|other| other.controller == Some(true) && other.uid != record.token.uid) {
        return None;
    }
    let as_written = fields.data.iter().all(|key| sets_it(&["data", key]))
        && fields.labels.iter().all(|key| sets_it(&["metadata", "labels", key]))
        && recorded.clone().all(|key| sets_it(&["metadata", "annotations", key]))
        && owner.is_some() == (record.leave == Some(Leave::Delete))
        && owner.is_none_or(|owner| ours.iter().any(|entry| refers(entry, &owner.uid)));
    as_written.then_some(record)
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(OPERATOR) && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Whether an entry has a field, as <https://github.com/kubernetes-sigs/structured-merge-diff> names fields.
fn sets(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    below(entry, path).is_some()
}

fn below<'a>(entry: &'a ManagedFieldsEntry, path: &[&str]) -> Option<&'a Value> {
    let root = &entry.fields_v1.as_ref()?.0;
    path.iter().try_fold(root, |fields, name| fields.get(format!("f:{name}")))
}

/// Whether an entry has the owner reference to an object.
fn refers(entry: &ManagedFieldsEntry, uid: &str) -> bool {
    let key = format!("k:{}", serde_json::json!({ "uid": uid }));
    below(entry, &["metadata", "ownerReferences"]).is_some_and(|owners| owners.get(key).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::scene::{healthy, record as recorded},
    };

    const SERVER_SIDE: &str = "tokens.shopify-operator.dev/";

    /// The metadata of a Secret that the operator has made, as an API server shows it.
    fn made() -> Value {
        let o = healthy(SourceKind::Storefront, json!({}));
        let record = Record {
            place: Some("web".into()),
            leave: Some(Leave::Delete),
            fields: record::Fields {
                data: vec!["access_token".into(), "shop_domain".into()],
                labels: vec!["app.kubernetes.io/managed-by".into()],
                annotations: vec!["example.com/team".into()],
            },
            ..recorded(SourceKind::Storefront)
        };
        let uid = &o.identity.uid;
        let mut annotations = record.annotations();
        annotations.insert("example.com/team".into(), "web".into());
        let fields = |keys: &mut dyn Iterator<Item = &String>| -> Value {
            keys.map(|key| (format!("f:{key}"), json!({}))).collect::<serde_json::Map<_, _>>().into()
        };
        let owner = format!("k:{{\"uid\":\"{uid}\"}}");
        json!({
            "name": "web", "namespace": "shop", "annotations": annotations,
            "labels": {"app.kubernetes.io/managed-by": "shopify-token-operator"},
            "ownerReferences": [{"apiVersion": "a/v1", "kind": "ShopifyToken", "name": "web", "uid": uid, "controller": true}],
            "managedFields": [{"manager": "shopify-token-operator", "operation": "Update", "fieldsV1": {
                "f:data": fields(&mut record.fields.data.iter()),
                "f:metadata": {
                    "f:annotations": fields(&mut annotations.keys()),
                    "f:labels": fields(&mut record.fields.labels.iter()),
                    "f:ownerReferences": {owner: {}},
                },
                "f:type": {},
            }}],
        })
    }

    fn is_untouched(metadata: &Value) -> bool {
        untouched(&serde_json::from_value(metadata.clone()).unwrap()).is_some()
    }

    #[test]
    fn what_is_ours_is_as_we_wrote_it_while_we_are_said_to_have_set_it() {
        assert!(is_untouched(&made()));
        let mut foreign = made();
        let theirs =
            json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:theirs": {}}}});
        foreign["managedFields"].as_array_mut().unwrap().push(theirs);
        assert!(is_untouched(&foreign), "a key of somebody else's");
    }

    #[test]
    fn whatever_another_has_taken_over_has_to_be_read() {
        let taken = [
            "/managedFields/0/fieldsV1/f:data/f:access_token",
            "/managedFields/0/fieldsV1/f:metadata/f:labels/f:app.kubernetes.io~1managed-by",
            "/managedFields/0/fieldsV1/f:metadata/f:annotations/f:example.com~1team",
            "/managedFields/0/fieldsV1/f:metadata/f:annotations/f:tokens.shopify-operator.dev~1revision",
            "/managedFields/0/fieldsV1/f:metadata/f:ownerReferences",
            "/managedFields/0/manager",
            "/managedFields",
            "/ownerReferences",
            "/annotations/tokens.shopify-operator.dev~1fields",
            "/annotations/tokens.shopify-operator.dev~1secret",
        ];
        for pointer in taken {
            let mut edited = made();
            let (above, name) = pointer.rsplit_once('/').unwrap();
            let object = edited.pointer_mut(above).unwrap().as_object_mut().unwrap();
            assert!(object.remove(&name.replace("~1", "/")).is_some(), "{pointer}");
            assert!(!is_untouched(&edited), "{pointer}");
        }
    }

    #[test]
    fn a_secret_that_goes_or_is_frozen_or_is_a_copy_has_to_be_read() {
        let changes = [
            json!({"deletionTimestamp": "2026-11-22T00:00:00Z"}),
            json!({"name": "copy"}),
            json!({"annotations": {format!("{SERVER_SIDE}leave-at"): "2026-11-22T00:00:00Z"}}),
        ];
        for change in changes {
            let mut edited = made();
            for (key, value) in change.as_object().unwrap() {
                match (value.as_object(), edited[key].as_object_mut()) {
                    (Some(more), Some(there)) => there.extend(more.clone()),
                    _ => edited[key] = value.clone(),
                }
            }
            assert!(!is_untouched(&edited), "{change}");
        }
        let mut controlled = made();
        let theirs = json!({"apiVersion": "b/v1", "kind": "Vault", "name": "web", "uid": "9", "controller": true});
        controlled["ownerReferences"].as_array_mut().unwrap().push(theirs);
        assert!(!is_untouched(&controlled), "another controller's");
        controlled["ownerReferences"][1]["controller"] = json!(false);
        assert!(is_untouched(&controlled), "it goes with something else, too");
        for fields in [json!({"f:immutable": {}}), json!({"f:stringData": {"f:access_token": {}}})] {
            let mut written = made();
            let theirs = json!({"manager": "flux", "operation": "Apply", "fieldsV1": fields});
            written["managedFields"].as_array_mut().unwrap().push(theirs);
            assert!(!is_untouched(&written), "{fields}");
        }
    }
}
