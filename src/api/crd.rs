//! The CustomResourceDefinitions, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::CustomResourceExt;

use super::{ShopifyApp, ShopifyToken};

/// Both CustomResourceDefinitions, as `crds/` holds them.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        unseen_by_default(ShopifyApp::crd()),
        unseen_by_default(ShopifyToken::crd()),
    ]
}

/// Defaults `status.observedGeneration` to -1, so that kstatus never takes a first-seen object for "Current".
fn unseen_by_default(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let status = crd.spec.versions.iter_mut().filter_map(|v| {
        v.schema
            .as_mut()?
            .open_api_v3_schema
            .as_mut()?
            .properties
            .as_mut()?
            .get_mut("status")
    });
    for schema in status {
        schema.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
    }
    crd
}
