//! Tells what a person should hear of.

use k8s_openapi::api::core::v1::ObjectReference;

use crate::controller::{context::Context, outcome::News};

/// Tells of an object what a person should hear, once for each transition.
pub(in crate::controller) async fn publish_all(context: &Context, regarding: &ObjectReference, news: &[News]) {
    for news in news {
        context.events.tell(regarding, news, context.now()).await;
    }
}
