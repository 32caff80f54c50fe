//! Publishes events of `events.k8s.io/v1`: one of its own for each news, one more of a series where it was told just now.

use std::{
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    sync::atomic::{AtomicUsize, Ordering},
};

use chrono::TimeDelta;
use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, Patch, PatchParams, PostParams, Request},
};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::{
    controller::{error::found, outcome::News},
    core::{
        bounded,
        vocabulary::{EventReason, OPERATOR, Reason},
    },
    shared::Shared,
    shopify::unsigned,
    time::{self, Timestamp},
};

/// How long after an event an equal one is counted to it, as kube's and client-go's recorders do.
const TOGETHER: TimeDelta = TimeDelta::minutes(6);

/// After how many events those that are no series any more are forgotten.
const SWEPT: usize = 256;

/// Publishes events. The name of each fits the API server, however long the object's is: kube's recorder has no bound.
pub(super) struct Recorder {
    client: Client,
    /// Which operator tells: its pod's name.
    instance: String,
    /// By hashes of their subjects, for there may be very many.
    told: Shared<u64, Told>,
    hasher: RandomState,
    /// How many events so far.
    published: AtomicUsize,
}

/// What events have in common that are one series.
#[derive(Hash)]
struct Subject<'a> {
    kind: Option<&'a str>,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    uid: Option<&'a str>,
    reason: &'static str,
    action: &'static str,
    about: Option<&'a str>,
    /// Hash of what is said, where that counts.
    note: Option<u64>,
}

/// An event that was published.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// When it was, in nanoseconds since 1970: what its name ends with.
    first: i64,
    /// How many equal ones there were.
    count: i32,
    /// When the last one was.
    last: Timestamp,
}

impl Recorder {
    /// A recorder that has told nothing yet.
    #[must_use]
    pub(super) fn new(client: Client) -> Self {
        let instance = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
        Self {
            client,
            instance: instance.unwrap_or_else(|| OPERATOR.to_owned()),
            told: Shared::default(),
            hasher: RandomState::new(),
            published: AtomicUsize::new(0),
        }
    }

    /// Publishes one event, with one request: where it is one more of a series, the series is counted on.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub(in crate::controller) async fn publish(
        &self,
        regarding: &ObjectReference,
        news: &News,
        now: Timestamp,
    ) -> Result<(), kube::Error> {
        // A clock that was set back makes no series endless. There may be thousands: not at each event.
        let goes_on = |told: &Told| (now - told.last).abs() < TOGETHER;
        if self.published.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEPT) {
            self.told.retain(|_, told| goes_on(told));
        }
        let namespace = regarding.namespace.as_deref().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let subject = self.hasher.hash_one(Subject::of(regarding, news));
        let object = regarding.name.as_deref().unwrap_or(OPERATOR);
        if let Some(told) = self.told.get(&subject).filter(goes_on) {
            let again = Told { count: told.count.saturating_add(1), last: now, ..told };
            let series = json!({"series": {"count": again.count, "lastObservedTime": time::to_micro(now)}});
            let patched = events
                .patch(&bounded::event_name(object, again.first), &PatchParams::default(), &Patch::Merge(&series))
                .await;
            // It may be gone by now: then the news is told anew.
            if found(patched)?.is_some() {
                self.told.put(subject, again);
                return Ok(());
            }
        }
        let first = now.timestamp_nanos_opt().unwrap_or_default();
        let event = self.event(regarding, news, now, bounded::event_name(object, first));
        self.create(namespace, &event).await?;
        self.told.put(subject, Told { first, count: 1, last: now });
        Ok(())
    }

    /// Of the answer nothing matters but that it is one.
    async fn create(&self, namespace: &str, event: &Event) -> Result<(), kube::Error> {
        let body = serde_json::to_vec(event).map_err(kube::Error::SerdeError)?;
        let path = Event::url_path(&(), Some(namespace));
        let request = Request::new(path).create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
        self.client.request::<IgnoredAny>(request).await.map(drop)
    }

    fn event(&self, regarding: &ObjectReference, news: &News, now: Timestamp, name: String) -> Event {
        Event {
            metadata: ObjectMeta { namespace: regarding.namespace.clone(), name: Some(name), ..ObjectMeta::default() },
            type_: Some(if news.reason.is_warning() { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(news.reason.as_str().to_owned()),
            action: Some(action(news).to_owned()),
            note: Some(bounded::text(&news.note, bounded::NOTE).into_owned()),
            regarding: Some(regarding.clone()),
            related: news.about.as_deref().cloned(),
            event_time: Some(time::to_micro(now)),
            reporting_controller: Some(OPERATOR.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

impl<'a> Subject<'a> {
    fn of(regarding: &'a ObjectReference, news: &'a News) -> Self {
        Self {
            kind: regarding.kind.as_deref(),
            namespace: regarding.namespace.as_deref(),
            name: regarding.name.as_deref(),
            uid: regarding.uid.as_deref(),
            reason: news.reason.as_str(),
            action: action(news),
            about: news.about.as_ref().and_then(|object| object.name.as_deref()),
            note: stands_alone(news.reason).then(|| hash(&unsigned(&news.note))),
        }
    }
}

/// Whether events of a reason that say different things aren't one series: somebody has to do each of them, or they name what is nowhere
/// else by then. Whom a deletion waits for is news of the same thing, and there may be thousands.
fn stands_alone(reason: EventReason) -> bool {
    match reason {
        EventReason::DeletionWaits => false,
        EventReason::Revoked | EventReason::Retained => true,
        _ => reason.is_warning(),
    }
}

fn hash(text: &str) -> u64 {
    // Within this process alone, and always the same in it.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn action(news: &News) -> &'static str {
    news.failure.map_or(news.reason.as_str(), Reason::as_str)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use chrono::DateTime;
    use http::{Method, Request, Response};
    use kube::client::Body;

    use super::*;

    #[tokio::test]
    async fn what_says_something_else_is_an_event_of_its_own_and_what_says_the_same_is_counted() {
        let methods = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&methods);
        let server = tower::service_fn(move |request: Request<Body>| {
            asked.lock().unwrap().push(request.method().clone());
            let event = json!({"metadata": {"name": "e"}, "eventTime": null}).to_string().into_bytes();
            async { Ok::<_, Infallible>(Response::new(Body::from(event))) }
        });
        let recorder = Recorder::new(Client::new(server, "default"));
        let web: ObjectReference = serde_json::from_value(json!({"namespace": "shop", "name": "web"})).unwrap();
        let told = async |reason: EventReason, note: &str| {
            recorder.publish(&web, &News::of(reason, note), DateTime::UNIX_EPOCH).await.unwrap();
            methods.lock().unwrap().pop().unwrap()
        };
        let failed = EventReason::RevocationFailed;
        assert_eq!(told(failed, "let go without revoking 1: 503 (x-request-id a); delete it").await, Method::POST);
        assert_eq!(told(failed, "let go without revoking 2: 503 (x-request-id b); delete it").await, Method::POST);
        let again = told(failed, "let go without revoking 2: 503 (x-request-id c); delete it").await;
        assert_eq!(again, Method::PATCH, "the same refusal has another number each time");
        assert_eq!(told(EventReason::Rotated, "revision 2").await, Method::POST);
        assert_eq!(told(EventReason::Rotated, "revision 3").await, Method::PATCH, "the status says where it is");
        assert_eq!(told(EventReason::DeletionWaits, "until web and app are revoked").await, Method::POST);
        assert_eq!(told(EventReason::DeletionWaits, "until app is revoked").await, Method::PATCH);
    }
}
