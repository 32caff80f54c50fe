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

/// What the name of a field begins with.
const FIELD: &str = "f:";

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
    let fields = &record.fields;
    let recorded = annotations.keys().filter(|key| record::is_ours(key)).chain(&fields.annotations);
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.clone().find(|owner| owner.uid == record.token.uid);
    // Whose it is then, the policies of the spec tell.
    if owners.any(|other| other.controller == Some(true) && other.uid != record.token.uid) {
        return None;
    }
    let as_written = set_all(&ours, &["data"], &fields.data)
        && set_all(&ours, &["metadata", "labels"], &fields.labels)
        && set_all(&ours, &["metadata", "annotations"], recorded)
        && owner.is_some() == (record.leave == Some(Leave::Delete))
        && owner.is_none_or(|owner| ours.iter().any(|entry| refers(entry, &owner.uid)));
    as_written.then_some(record)
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(OPERATOR) && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Whether these entries, one or another, have each of these fields of a map.
fn set_all<'a>(entries: &[&ManagedFieldsEntry], map: &[&str], keys: impl IntoIterator<Item = &'a String>) -> bool {
    let fields: Vec<&Value> = entries.iter().filter_map(|entry| below(entry, map)).collect();
    let mut name = String::from(FIELD);
    keys.into_iter().all(|key| {
        name.truncate(FIELD.len());
        name.push_str(key);
        fields.iter().any(|fields| fields.get(&name).is_some())
    })
}

/// Whether an entry has a field, as <https://github.com/kubernetes-sigs/structured-merge-diff> names fields.
fn sets(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    below(entry, path).is_some()
}

fn below<'a>(entry: &'a ManagedFieldsEntry, path: &[&str]) -> Option<&'a Value> {
    let root = &entry.fields_v1.as_ref()?.0;
    path.iter().try_fold(root, |fields, name| fields.get(format!("{FIELD}{name}")))
}

/// Whether an entry has the owner reference to an object.
fn refers(entry: &ManagedFieldsEntry, uid: &str) -> bool {
    let key = format!("k:{}", serde_json::json!({ "uid": uid }));
    below(entry, &["metadata", "ownerReferences"]).is_some_and(|owners| owners.get(key).is_some())
}

#[cfg(test)]
mod tests;
