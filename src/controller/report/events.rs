//! Writes events: what a person should hear of, once for each transition.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};

use crate::{
    controller::{context::Context, outcome::News},
    core::{bounded, vocabulary::Reason},
};

/// Writes events. One that can't be written is logged and counted, and no more.
pub(in crate::controller) async fn publish_all(context: &Context, regarding: &ObjectReference, news: &[News]) {
    for News { reason, failure, note } in news {
        let event = Event {
            type_: if reason.is_warning() { EventType::Warning } else { EventType::Normal },
            reason: reason.as_str().to_owned(),
            note: Some(bounded::text(note, bounded::NOTE).into_owned()),
            action: failure.map_or(reason.as_str(), Reason::as_str).to_owned(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, regarding).await {
            // A terminating namespace takes no new events, and nothing may hang on one.
            if is_terminating(&error) {
                tracing::debug!(
                    reason = reason.as_str(),
                    name = regarding.name,
                    "the namespace ends: event not written"
                );
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
    status.is_not_found() || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
