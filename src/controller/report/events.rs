//! Events on their way: written beside the work, those of an object in their order, so that no credential waits for one.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock},
};

use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::sync::{
    mpsc::{Receiver, Sender, channel},
    oneshot,
};

use crate::{
    controller::{context::Context, outcome::News, recorder::Recorder},
    metrics::Metrics,
    time::Timestamp,
};

/// Events that are written at a time: few, for what applications need goes first.
const LANES: usize = 4;
/// How many wait in each lane before those who tell of more have to wait themselves: together some megabytes.
const WAITING: usize = 512;

/// Writes events. One that can't be written is logged and counted, and no more.
pub(in crate::controller) struct Events {
    recorder: Recorder,
    metrics: Arc<Metrics>,
    lanes: OnceLock<Vec<Sender<Letter>>>,
    hasher: RandomState,
}

/// What comes by a lane.
enum Letter {
    /// Write this.
    Event(Box<(ObjectReference, News, Timestamp)>),
    /// Say when everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// Tells of an object what a person should hear, once for each transition.
pub(in crate::controller) async fn publish_all(context: &Context, regarding: &ObjectReference, news: &[News]) {
    for news in news {
        context.events.tell(regarding, news, context.now()).await;
    }
}

impl Events {
    /// Each event is written at once, until [`Events::in_background`] is run.
    pub(in crate::controller) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { recorder: Recorder::new(client), metrics, lanes: OnceLock::new(), hasher: RandomState::new() }
    }

    /// Writes from now on what is told, for ever.
    pub(in crate::controller) async fn in_background(self: Arc<Self>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..LANES).map(|_| channel(WAITING)).unzip();
        self.lanes.get_or_init(|| senders);
        join_all(receivers.into_iter().map(|lane| self.follow(lane))).await;
    }

    async fn follow(&self, mut lane: Receiver<Letter>) {
        while let Some(letter) = lane.recv().await {
            match letter {
                Letter::Event(event) => self.write(&event.0, &event.1, event.2).await,
                // Whoever wanted to know may have given up.
                Letter::Flush(done) => done.send(()).unwrap_or_default(),
            }
        }
    }

    /// Returns once everything that was told before is written.
    pub(in crate::controller) async fn written(&self) {
        for lane in self.lanes.get().into_iter().flatten() {
            let (done, written) = oneshot::channel();
            if lane.send(Letter::Flush(done)).await.is_ok() {
                // An error says that nobody writes any more.
                written.await.unwrap_or_default();
            }
        }
    }

    async fn tell(&self, regarding: &ObjectReference, news: &News, now: Timestamp) {
        let object = self.hasher.hash_one((&regarding.namespace, &regarding.name));
        let lane = self.lanes.get().and_then(|lanes| lanes.get(usize::try_from(object).unwrap_or_default() % LANES));
        let event = || Letter::Event(Box::new((regarding.clone(), news.clone(), now)));
        match lane {
            // It is closed where nobody writes any more.
            Some(lane) if lane.send(event()).await.is_ok() => {}
            Some(_) | None => self.write(regarding, news, now).await,
        }
    }

    async fn write(&self, regarding: &ObjectReference, news: &News, now: Timestamp) {
        let Err(error) = self.recorder.publish(regarding, news, now).await else { return };
        let (reason, namespace, name) = (news.reason.as_str(), &regarding.namespace, &regarding.name);
        // A terminating namespace takes no new events, and nothing may hang on one.
        if !is_terminating(&error) {
            self.metrics.event_lost();
            tracing::warn!(reason, namespace, name, %error, "event not written");
        } else if news.reason.is_warning() {
            // What a person has to do elsewhere, now that the namespace goes, is said nowhere but here.
            tracing::warn!(reason, namespace, name, note = news.note, "the namespace ends: event not written");
        } else {
            tracing::debug!(reason, namespace, name, "the namespace ends: event not written");
        }
    }
}

fn is_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 404 || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex, time::Duration};

    use futures::FutureExt;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::{task::unconstrained, time::sleep};

    use super::*;
    use crate::core::vocabulary::EventReason;

    /// Objects and what was told of them, in order.
    type Notes = Arc<Mutex<Vec<(String, String)>>>;

    /// An API server that takes a second for each event, and the notes that it has taken.
    fn server() -> (Arc<Context>, Notes) {
        let notes = Notes::default();
        let taken = Arc::clone(&notes);
        let server = tower::service_fn(move |request: Request<Body>| {
            let taken = Arc::clone(&taken);
            async move {
                sleep(Duration::from_secs(1)).await;
                let body = request.into_body().collect_bytes().await.unwrap();
                let event: Value = serde_json::from_slice(&body).unwrap();
                let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap().to_owned();
                taken.lock().unwrap().push((text("/regarding/name"), text("/note")));
                Ok::<_, Infallible>(Response::new(Body::from(body.to_vec())))
            }
        });
        (Context::of_client(Client::new(server, "default")), notes)
    }

    async fn tell(context: &Context, object: &str, note: &str) {
        let reference: ObjectReference =
            serde_json::from_value(json!({"namespace": "shop", "name": object, "uid": note})).unwrap();
        publish_all(context, &reference, &[News::of(EventReason::Issued, note)]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_event_and_those_of_an_object_keep_their_order() {
        let (context, notes) = server();
        let lanes = tokio::spawn(Arc::clone(&context.events).in_background());
        tokio::task::yield_now().await;
        let notes_of = |object: &str| {
            let notes = notes.lock().unwrap();
            notes.iter().filter(|(name, _)| name == object).map(|(_, note)| note.clone()).collect::<Vec<_>>()
        };
        for note in ["1", "2", "3"] {
            for object in ["a", "b"] {
                tell(&context, object, note).now_or_never().expect("it is on its way");
            }
        }
        assert!(notes.lock().unwrap().is_empty());
        context.events.written().await;
        assert_eq!(notes_of("a"), ["1", "2", "3"]);
        assert_eq!(notes_of("b"), ["1", "2", "3"]);
        // Nobody writes in the background any more: whoever tells writes.
        lanes.abort();
        drop(lanes.await);
        tell(&context, "a", "4").await;
        context.events.written().await;
        assert_eq!(notes_of("a").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_tells_very_much_waits_and_nothing_is_lost() {
        let (context, notes) = server();
        let _lanes = tokio::spawn(Arc::clone(&context.events).in_background());
        tokio::task::yield_now().await;
        let mut told = 0;
        while unconstrained(tell(&context, "a", &told.to_string())).now_or_never().is_some() {
            told += 1;
        }
        assert_eq!((told, notes.lock().unwrap().len()), (WAITING, 0), "what waits is bounded");
        tell(&context, "a", "last").await;
        context.events.written().await;
        assert_eq!(notes.lock().unwrap().len(), told + 1);
    }
}
