//! Events on their way: written beside the work, those of an object in their order.

use std::{
    fmt::Display,
    hash::{BuildHasher, RandomState},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::{
    sync::mpsc::{Permit, Receiver, Sender, channel},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{
    controller::{outcome::News, recorder::Recorder},
    core::bounded,
    metrics::Metrics,
    shared::Shared,
    time::Timestamp,
};

/// Events that are written at a time.
const LANES: usize = 4;
/// How many wait in each lane, cut as the API server wants them, half a kilobyte each, with a long note two: together ten
/// megabytes. Half as many, a
/// burst of ten thousand, make way for work.
const WAITING: usize = 5120;
/// How long an event makes way for work: it says what is in order.
const BEHIND: Duration = Duration::from_mins(1);
/// How long, where a warning is on its way.
const PRESSING: Duration = Duration::from_secs(5);
/// And how often it looks whether there is any.
const A_MOMENT: Duration = Duration::from_millis(50);
/// How long one waits for a place in its lane while the API server answers none at all. Where they are only slow, whoever
/// tells one is slowed down to it.
const PATIENCE: Duration = Duration::from_secs(2);
/// And how long at most.
const SLOWEST: Duration = Duration::from_secs(20);
/// Longest that the writing of one takes.
const LONGEST: Duration = Duration::from_mins(1);
/// How long nothing is written into a namespace that was found to end: what goes with it may be very much.
const ENDS: Duration = Duration::from_secs(10);
/// How long the operator that stops waits for what is on its way.
const DRAIN: Duration = Duration::from_secs(5);

/// Writes events. One that can't be written is logged and counted, and no more. Nobody waits for one, unless very many are on
/// their way, and then not for long where none is answered.
pub(super) struct Events {
    recorder: Recorder,
    metrics: Arc<Metrics>,
    lanes: OnceLock<Vec<Sender<Told>>>,
    on_their_way: TaskTracker,
    /// How many of them warn of something.
    warnings: AtomicUsize,
    /// How many the API server has answered, whatever it said.
    answered: AtomicU64,
    /// How many it had when one found no place in time: until there is another nobody waits for a place.
    stuck_at: AtomicU64,
    /// The namespaces that were found to end, and when.
    ending: Shared<String, Instant>,
    hasher: RandomState,
}

/// An event on its way.
struct Told {
    regarding: ObjectReference,
    news: News,
    now: Timestamp,
    /// The same, as it passes.
    since: Instant,
    /// Held as long as it is.
    _on_its_way: TaskTrackerToken,
}

impl Events {
    /// Each event is written at once, until [`Events::in_background`] is run.
    pub(super) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            recorder: Recorder::new(client),
            metrics,
            lanes: OnceLock::new(),
            on_their_way: TaskTracker::new(),
            warnings: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            stuck_at: AtomicU64::new(u64::MAX),
            ending: Shared::default(),
            hasher: RandomState::new(),
        }
    }

    /// Writes from now on what is told, for ever. While `busy` says that there is work, an event waits a little: what
    /// applications need goes first.
    pub(super) async fn in_background(self: Arc<Self>, busy: impl Fn() -> bool + Send + Sync) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..LANES).map(|_| channel(WAITING)).unzip();
        self.lanes.get_or_init(|| senders);
        join_all(receivers.into_iter().map(|lane| self.follow(lane, &busy))).await;
    }

    async fn follow(&self, mut lane: Receiver<Told>, busy: &(impl Fn() -> bool + Sync)) {
        while let Some(Told { regarding, news, now, since, _on_its_way }) = lane.recv().await {
            while busy()
                && lane.len() < WAITING / 2
                && since.elapsed() < self.patience()
                && !self.on_their_way.is_closed()
            {
                sleep(A_MOMENT).await;
            }
            let written = AssertUnwindSafe(self.write(&regarding, &news, now)).catch_unwind();
            match timeout(LONGEST, written).await {
                Ok(Ok(())) => {}
                Ok(Err(_panic)) => self.lose(&regarding, &news, &"the writing of it panicked"),
                Err(elapsed) => self.lose(&regarding, &news, &elapsed),
            }
            if news.reason.is_warning() {
                self.warnings.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// How long an event makes way.
    fn patience(&self) -> Duration {
        if self.warnings.load(Ordering::Relaxed) > 0 { PRESSING } else { BEHIND }
    }

    /// Returns once everything that was told before is written, or lost because that takes too long.
    pub(super) async fn written(&self) {
        self.on_their_way.close();
        if timeout(DRAIN, self.on_their_way.wait()).await.is_err() {
            let lost = self.on_their_way.len();
            (0..lost).for_each(|_| self.metrics.event_lost());
            tracing::warn!(lost, after = ?DRAIN, "events not written before the stop");
        }
    }

    /// Tells of an object.
    pub(super) async fn tell(&self, regarding: &ObjectReference, news: &News, now: Timestamp) {
        let object = self.hasher.hash_one((&regarding.namespace, &regarding.name));
        let lane = self.lanes.get().and_then(|lanes| lanes.get(usize::try_from(object).unwrap_or_default() % LANES));
        let Some(lane) = lane.filter(|lane| !lane.is_closed()) else { return self.write(regarding, news, now).await };
        let news = News { note: bounded::text(&news.note, bounded::NOTE).into_owned(), ..news.clone() };
        let place = match lane.try_reserve() {
            Ok(place) => Some(place),
            Err(_) => timeout(SLOWEST, self.place(lane)).await.ok().flatten(),
        };
        if let Some(place) = place {
            if news.reason.is_warning() {
                self.warnings.fetch_add(1, Ordering::Relaxed);
            }
            let told = Told {
                regarding: regarding.clone(),
                news,
                now,
                since: Instant::now(),
                _on_its_way: self.on_their_way.token(),
            };
            place.send(told);
        } else {
            self.lose(regarding, &news, &"too many are on their way");
        }
    }

    /// A place in a lane that is full; none where nothing goes on.
    async fn place<'a>(&self, lane: &'a Sender<Told>) -> Option<Permit<'a, Told>> {
        let mut place = pin!(lane.reserve());
        loop {
            let before = self.answered.load(Ordering::Relaxed);
            if self.stuck_at.load(Ordering::Relaxed) == before {
                return None;
            }
            if let Ok(place) = timeout(PATIENCE, &mut place).await {
                return place.ok();
            }
            if self.answered.load(Ordering::Relaxed) == before {
                self.stuck_at.store(before, Ordering::Relaxed);
            }
        }
    }

    async fn write(&self, regarding: &ObjectReference, news: &News, now: Timestamp) {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        if self.ending.get(&namespace).is_some_and(|since| since.elapsed() < ENDS) {
            return unwritten(regarding, news);
        }
        let published = self.recorder.publish(regarding, news, now).await;
        if matches!(published, Ok(()) | Err(kube::Error::Api(_))) {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        let Err(error) = published else { return };
        // A terminating namespace takes no new events, and nothing may hang on one.
        if !is_terminating(&error) {
            return self.lose(regarding, news, &error);
        }
        if says_terminating(&error) {
            self.ending.retain(|_, since| since.elapsed() < ENDS);
            self.ending.put(namespace, Instant::now());
        }
        unwritten(regarding, news);
    }

    fn lose(&self, regarding: &ObjectReference, news: &News, why: &dyn Display) {
        self.metrics.event_lost();
        let (reason, namespace, name) = (news.reason.as_str(), &regarding.namespace, &regarding.name);
        // What a person has to do may be said nowhere else.
        let note = news.reason.is_warning().then_some(&news.note);
        tracing::warn!(reason, namespace, name, note, error = %why, "event not written");
    }
}

/// The namespace ends.
fn unwritten(regarding: &ObjectReference, news: &News) {
    let (reason, namespace, name) = (news.reason.as_str(), &regarding.namespace, &regarding.name);
    if news.reason.is_warning() {
        // What a person has to do elsewhere, now that the namespace goes, is said nowhere but here.
        tracing::warn!(reason, namespace, name, note = news.note, "the namespace ends: event not written");
    } else {
        tracing::debug!(reason, namespace, name, "the namespace ends: event not written");
    }
}

fn is_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404) || says_terminating(error)
}

fn says_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use super::*;
    use crate::core::vocabulary::EventReason;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    /// Objects and what was told of them, in order.
    type Notes = Arc<Mutex<Vec<(String, String)>>>;

    /// An API server that takes so long for each event, and the notes that it has taken.
    fn server(each: Duration) -> (Arc<Events>, Notes) {
        let notes = Notes::default();
        let taken = Arc::clone(&notes);
        let server = tower::service_fn(move |request: Request<Body>| {
            let taken = Arc::clone(&taken);
            async move {
                sleep(each).await;
                let body = request.into_body().collect_bytes().await.unwrap();
                let event: Value = serde_json::from_slice(&body).unwrap();
                let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap().to_owned();
                taken.lock().unwrap().push((text("/regarding/name"), text("/note")));
                Ok::<_, Infallible>(Response::new(Body::from(body.to_vec())))
            }
        });
        (events(Client::new(server, "default")), notes)
    }

    fn events(client: Client) -> Arc<Events> {
        Arc::new(Events::new(client, Arc::new(Metrics::new())))
    }

    async fn tell(events: &Events, object: &str, note: &str) {
        let reference: ObjectReference =
            serde_json::from_value(json!({"namespace": "shop", "name": object, "uid": note})).unwrap();
        events.tell(&reference, &News::of(EventReason::Issued, note), chrono::DateTime::UNIX_EPOCH).await;
    }

    async fn warn(events: &Events, object: &str) {
        let reference = serde_json::from_value(json!({"namespace": "shop", "name": object, "uid": object})).unwrap();
        events.tell(&reference, &News::of(EventReason::IssueFailed, ""), chrono::DateTime::UNIX_EPOCH).await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_event_and_those_of_an_object_keep_their_order() {
        let (events, notes) = server(Duration::from_millis(100));
        let lanes = tokio::spawn(Arc::clone(&events).in_background(|| false));
        tokio::task::yield_now().await;
        let notes_of = |object: &str| {
            let notes = notes.lock().unwrap();
            notes.iter().filter(|(name, _)| name == object).map(|(_, note)| note.clone()).collect::<Vec<_>>()
        };
        for note in ["1", "2", "3"] {
            for object in ["a", "b"] {
                tell(&events, object, note).now_or_never().expect("it is on its way");
            }
        }
        assert!(notes.lock().unwrap().is_empty());
        events.written().await;
        assert_eq!(notes_of("a"), ["1", "2", "3"]);
        assert_eq!(notes_of("b"), ["1", "2", "3"]);
        // Nobody writes in the background any more: whoever tells writes.
        lanes.abort();
        drop(lanes.await);
        tell(&events, "a", "4").await;
        events.written().await;
        assert_eq!(notes_of("a").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn where_events_are_not_taken_nobody_waits_long_and_the_lost_are_counted() {
        let hangs = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let events = events(Client::new(hangs, "default"));
        let _lanes = tokio::spawn(Arc::clone(&events).in_background(|| false));
        tokio::task::yield_now().await;
        let lost = || {
            let page = events.metrics.encode().unwrap();
            let line = page.lines().find_map(|line| line.strip_prefix("kubernetes_events_lost_total "));
            line.and_then(|count| count.trim().parse::<usize>().ok()).unwrap()
        };
        let began = tokio::time::Instant::now();
        let told = 2 * WAITING;
        for note in 0..told {
            tell(&events, "a", &note.to_string()).await;
        }
        assert!(began.elapsed() <= PATIENCE, "{:?}: only the first waits for a place", began.elapsed());
        let on_their_way = told - lost();
        assert!((WAITING..=WAITING + 1).contains(&on_their_way), "{on_their_way}");
        events.written().await;
        assert!(began.elapsed() <= PATIENCE + DRAIN);
        assert_eq!(lost(), told, "the one that hangs, too");
    }

    #[tokio::test(start_paused = true)]
    async fn where_events_are_slow_none_is_lost() {
        let (events, notes) = server(Duration::from_secs(1));
        let _lanes = tokio::spawn(Arc::clone(&events).in_background(|| false));
        tokio::task::yield_now().await;
        let told = WAITING + 50;
        for note in 0..told {
            tell(&events, "a", &note.to_string()).await;
        }
        // Ten who tell at once wait for ten seconds.
        let more: Vec<String> = (0..10).map(|more| format!("more {more}")).collect();
        join_all(more.iter().map(|note| tell(&events, "a", note))).await;
        sleep(Duration::from_secs(2 * WAITING as u64)).await;
        assert_eq!(notes.lock().unwrap().len(), told + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_as_short_as_it_is_written() {
        let (events, notes) = server(Duration::from_millis(100));
        let _lanes = tokio::spawn(Arc::clone(&events).in_background(|| false));
        tokio::task::yield_now().await;
        tell(&events, "a", &"long ".repeat(10_000)).await;
        events.written().await;
        assert!(notes.lock().unwrap()[0].1.len() <= bounded::NOTE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_makes_way_for_work_and_not_for_long() {
        let (events, notes) = server(Duration::from_millis(1));
        let _lanes = tokio::spawn(Arc::clone(&events).in_background(|| true));
        tokio::task::yield_now().await;
        let written = || notes.lock().unwrap().len();
        for note in 0..10 {
            tell(&events, "a", &note.to_string()).await;
        }
        sleep(BEHIND / 2).await;
        assert_eq!(written(), 0);
        sleep(BEHIND).await;
        assert_eq!(written(), 10, "each waits from when it was told");
        tell(&events, "a", "10").await;
        warn(&events, "b").await;
        sleep(PRESSING / 2).await;
        assert_eq!(written(), 10);
        sleep(PRESSING).await;
        assert_eq!(written(), 12, "nobody waits that long for a warning, whatever is before it");
        tell(&events, "a", "11").await;
        sleep(BEHIND / 2).await;
        assert_eq!(written(), 12);
        sleep(BEHIND).await;
        for note in 13..=13 + WAITING / 2 {
            tell(&events, "a", &note.to_string()).await;
        }
        sleep(Duration::from_millis(100)).await;
        assert!(written() > 13, "where very many wait the first ones go");
        let began = Instant::now();
        events.written().await;
        assert_eq!(written(), 13 + WAITING / 2 + 1);
        assert!(began.elapsed() < DRAIN, "who stops waits for no work");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_ends_is_asked_once_in_a_while() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&asked);
        let server = tower::service_fn(move |request: Request<Body>| {
            let [ends, lost] = ["/ends/", "/lost/"].map(|namespace| request.uri().path().contains(namespace));
            taken.lock().unwrap().push(ends);
            let terminating = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403, "reason": "Forbidden", "message": "",
                "details": {"causes": [{"reason": "NamespaceTerminating"}]},
            });
            async move {
                let not_found =
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
                let (code, body) = match (ends, lost) {
                    (true, _) => (403, terminating),
                    (false, true) => (404, not_found),
                    (false, false) => (200, json!({"metadata": {}, "eventTime": null})),
                };
                let body = Body::from(body.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        let events = events(Client::new(server, "default"));
        let tell = async |namespace: &str, note: &str| {
            let reference = json!({"namespace": namespace, "name": "web", "uid": note});
            let reference: ObjectReference = serde_json::from_value(reference).unwrap();
            events.tell(&reference, &News::of(EventReason::Issued, note), chrono::DateTime::UNIX_EPOCH).await;
            asked.lock().unwrap().drain(..).collect::<Vec<_>>()
        };
        assert_eq!(tell("ends", "1").await, [true]);
        assert!(tell("ends", "2").await.is_empty());
        assert_eq!(tell("stays", "3").await, [false]);
        tokio::time::advance(ENDS).await;
        assert_eq!(tell("ends", "4").await, [true], "another one may have its name");
        assert!(events.metrics.encode().unwrap().contains("events_lost_total 0"));
        // What isn't found may be something else.
        assert_eq!((tell("lost", "5").await, tell("lost", "6").await), (vec![false], vec![false]));
    }
}
