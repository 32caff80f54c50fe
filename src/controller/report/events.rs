//! Writes events: what a person should hear of, once for each transition.

use crate::controller::{context::Context, outcome::News};
use k8s_openapi::api::core::v1::ObjectReference;

/// Writes events. One that can't be written is logged and counted, and no more.
pub(in crate::controller) async fn publish_all(context: &Context, regarding: &ObjectReference, news: &[News]) {
    for news in news {
        if let Err(error) = context.recorder.publish(regarding, news, context.now()).await {
            let reason = news.reason;
            // A terminating namespace takes no new events, and nothing may hang on one.
            if is_terminating(&error) {
                let (reason, namespace, name) = (reason.as_str(), &regarding.namespace, &regarding.name);
                // What a person has to do elsewhere, now that the namespace goes, is said nowhere but here.
                if news.reason.is_warning() {
                    tracing::warn!(reason, namespace, name, note = news.note, "the namespace ends: event not written");
                } else {
                    tracing::debug!(reason, namespace, name, "the namespace ends: event not written");
                }
                continue;
            }
            context.setup.metrics.event_lost();
            tracing::warn!(reason = reason.as_str(), namespace = regarding.namespace, name = regarding.name, %error, "event not written");
        }
    }
}

fn is_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 404 || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
