//! The CustomResourceDefinitions, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::{ShopifyApp, ShopifyToken};

/// Both CustomResourceDefinitions, as `crds/` holds them.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![finish(ShopifyApp::crd()), finish(ShopifyToken::crd())]
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = crd.spec.versions.iter_mut();
    for schema in schemas.filter_map(|v| v.schema.as_mut()?.open_api_v3_schema.as_mut()) {
        each(schema, null_is_absent);
        each(schema, lines_are_joined);
        let properties = schema.properties.iter_mut().flatten();
        for (_, status) in properties.filter(|(name, _)| *name == "status") {
            unseen_by_default(status);
        }
    }
    crd
}

/// Defaults `status.observedGeneration` to -1, so that kstatus never takes a first-seen object for "Current".
fn unseen_by_default(status: &mut JSONSchemaProps) {
    status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
}

/// The derive makes every `Option` nullable. The API server drops a null of a field that isn't, so
/// that `has()` in a rule, and every reader, sees the same for `rotation: null` as for no rotation.
fn null_is_absent(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
}

/// `kubectl explain` breaks lines itself, and keeps those of the comments: of both it makes ragged ones.
fn lines_are_joined(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<_> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
}

/// Changes a schema, and all within it.
fn each(schema: &mut JSONSchemaProps, change: fn(&mut JSONSchemaProps)) {
    change(schema);
    let properties = schema.properties.iter_mut().flatten();
    properties.for_each(|(_, schema)| each(schema, change));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        each(items, change);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each(values, change);
    }
}
