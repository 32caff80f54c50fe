//! How the watches are doing: which have listed, which fail, and whether the API server's history went back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{Resource, ResourceExt, runtime::watcher};
use tokio::{
    sync::watch::{Receiver, Sender},
    time::Instant,
};

use crate::controller::error::{answered, told};

/// A watch that lists or fails for this long is one that people should know of: a leader that has just begun has listed
/// by then, and an API server that restarts is back.
const LASTING: Duration = Duration::from_secs(10);
/// A watch that fails says so again within this time, however long its pauses are by then.
const SAID_AGAIN: Duration = Duration::from_secs(90);
/// By then watches that started over have listed: if they haven't, the process should.
const OVER: Duration = Duration::from_mins(5);

/// All watches of this process.
#[derive(Debug)]
pub struct Watches {
    state: Mutex<State>,
    restarts: Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    sights: BTreeMap<(&'static str, Option<String>), Sight>,
    started_over: Option<Instant>,
}

/// What one watch sees.
#[derive(Debug)]
struct Sight {
    began: Instant,
    listed: bool,
    /// Whether what was listed before is being listed anew: what went meanwhile no event has told.
    relists: bool,
    /// The highest `resourceVersion` among its objects.
    newest: u64,
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    what: String,
    /// It has no right to: waiting won't help.
    forbidden: bool,
}

/// One watch: a kind in a namespace, or in all.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Watch {
    watches: Arc<Watches>,
    key: (&'static str, Option<String>),
}

impl Default for Watches {
    fn default() -> Self {
        Self { state: Mutex::default(), restarts: Sender::new(0) }
    }
}

impl Watches {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to follow a watch.
    pub(in crate::controller) fn begin(
        self: &Arc<Self>,
        kind: &'static str,
        namespace: Option<String>,
        now: Instant,
    ) -> Watch {
        let key = (kind, namespace);
        self.state().sights.insert(key.clone(), Sight::begun(now));
        Watch { watches: Arc::clone(self), key }
    }

    /// What isn't seen, if anything: the first that is missing, and how many more there are. An instance without
    /// watches, as a standby is, misses nothing.
    #[must_use]
    pub fn missing(&self, now: Instant) -> Option<String> {
        let state = self.state();
        let mut missing = state.sights.iter().filter_map(|(key, sight)| sight.missing(key, now));
        let first = missing.next()?;
        let more = match missing.count() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Some(format!("{first}{more}"))
    }

    /// Whether a watch tells of every change of a kind in a namespace: it has listed them, and nothing is amiss.
    pub(in crate::controller) fn stands(&self, kind: &str, namespace: &str, now: Instant) -> bool {
        let covers = |place: &Option<String>| place.as_deref().is_none_or(|place| place == namespace);
        let state = self.state();
        let mut of_kind = state.sights.iter().filter(|((k, place), _)| *k == kind && covers(place));
        of_kind.any(|(_, sight)| sight.stands(now))
    }

    /// Whether watches that had to start over have still not listed, minutes later.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Option<String> {
        let over = self.state().started_over.is_some_and(|at| at + OVER <= now);
        self.missing(now).filter(|_| over)
    }

    /// The highest `resourceVersion` that a kind was seen with.
    pub(in crate::controller) fn newest(&self, kind: &str) -> u64 {
        let state = self.state();
        let of_kind = state.sights.iter().filter(|((k, _), _)| *k == kind);
        of_kind.map(|(_, sight)| sight.newest).max().unwrap_or_default()
    }

    /// Tells when the watches have to start over.
    pub(in crate::controller) fn restarts(&self) -> Receiver<u64> {
        self.restarts.subscribe()
    }

    /// Makes all watches start over, from a new list.
    pub(in crate::controller) fn start_over(&self, now: Instant) {
        let mut state = self.state();
        state.started_over = Some(now);
        for sight in state.sights.values_mut() {
            *sight = Sight::begun(now);
        }
        self.restarts.send_modify(|count| *count += 1);
    }
}

impl Sight {
    fn begun(now: Instant) -> Self {
        Self { began: now, listed: false, relists: false, newest: 0, trouble: None }
    }

    fn stands(&self, now: Instant) -> bool {
        self.listed && !self.relists && self.trouble.as_ref().is_none_or(|t| now - t.last >= SAID_AGAIN)
    }

    fn missing(&self, (kind, namespace): &(&'static str, Option<String>), now: Instant) -> Option<String> {
        let lasting = |t: &&Trouble| t.last - t.since >= LASTING && now - t.last < SAID_AGAIN;
        let late = !self.listed && now - self.began >= LASTING;
        let trouble = self.trouble.as_ref().filter(|t| late || lasting(t) || (!self.listed && t.forbidden));
        let place = match namespace {
            None if *kind == "Namespace" => "Namespaces".to_owned(),
            Some(namespace) => format!("{kind}s of namespace {namespace:?}"),
            None => format!("{kind}s of all namespaces"),
        };
        match trouble {
            Some(trouble) => Some(format!("can't watch the {place}: {}", trouble.what)),
            None => late.then(|| format!("the {place} aren't listed yet")),
        }
    }
}

impl Watch {
    /// Notes what a watch brought.
    pub(in crate::controller) fn brought<K: Resource>(
        &self,
        event: &Result<watcher::Event<K>, watcher::Error>,
        now: Instant,
    ) {
        let mut state = self.watches.state();
        let sight = state.sights.entry(self.key.clone()).or_insert_with(|| Sight::begun(now));
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object) | watcher::Event::InitApply(object)) => {
                sight.newest = sight.newest.max(version(object.resource_version().as_deref()));
                sight.trouble = None;
            }
            Ok(watcher::Event::InitDone) => {
                (sight.listed, sight.relists, sight.trouble) = (true, false, None);
                if state.sights.values().all(|sight| sight.listed) {
                    state.started_over = None;
                }
            }
            Ok(watcher::Event::Init) => sight.relists = true,
            Err(error) => {
                let since = sight.trouble.as_ref().filter(|t| now - t.last < SAID_AGAIN).map_or(now, |t| t.since);
                sight.trouble = Some(Trouble { since, last: now, what: reason(error), forbidden: is_forbidden(error) });
            }
        }
    }
}

/// A `resourceVersion` as a number; 0 if it is none, which is older than all.
pub(in crate::controller) fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// What is wrong with a watch, without the API server's own words.
pub(in crate::controller) fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => answered(status),
        watcher::Error::NoResourceVersion => "an object has no resourceVersion".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::runtime::watcher::{Error, Event};

    use super::*;

    fn forbidden() -> Result<Event<Secret>, Error> {
        let status = kube::core::Status { code: 403, reason: "Forbidden".into(), ..kube::core::Status::default() };
        Err(Error::InitialListFailed(kube::Error::Api(Box::new(status))))
    }

    fn secret(version: &str) -> Event<Secret> {
        let mut secret = Secret::default();
        secret.metadata.resource_version = Some(version.into());
        Event::Apply(secret)
    }

    #[test]
    fn what_is_missing_is_named() {
        let (watches, now) = (Arc::new(Watches::default()), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(watches.missing(now), None, "a standby");
        let secrets = watches.begin("Secret", None, now);
        let apps = watches.begin("ShopifyApp", Some("shop".into()), now);
        assert_eq!(watches.missing(after(1)), None, "it has just begun");
        assert_eq!(watches.missing(after(10)).unwrap(), "the Secrets of all namespaces aren't listed yet; and 1 more");
        secrets.brought(&Ok(Event::<Secret>::InitDone), now);
        apps.brought(&forbidden(), now);
        let missing = "can't watch the ShopifyApps of namespace \"shop\": the API server answered 403 (Forbidden)";
        assert_eq!(watches.missing(now).unwrap(), missing);
        apps.brought(&Ok(Event::<Secret>::InitDone), now);
        assert_eq!(watches.missing(now), None);
        let namespaces = watches.begin("Namespace", None, now);
        namespaces.brought(&forbidden(), now);
        let unseen = "can't watch the Namespaces: the API server answered 403 (Forbidden)";
        assert_eq!(watches.missing(now).unwrap(), unseen, "they are in no namespace");
        namespaces.brought(&Ok(Event::<Secret>::InitDone), now);

        apps.brought(&forbidden(), after(1));
        assert_eq!(watches.missing(after(1)), None, "an API server that restarts");
        apps.brought(&forbidden(), after(12));
        assert_eq!(watches.missing(after(20)).unwrap(), missing);
        assert_eq!(watches.missing(after(110)), None, "nothing was heard since: the watch is quiet");
        apps.brought(&forbidden(), after(120));
        apps.brought(&Ok(secret("7")), after(121));
        assert_eq!(watches.missing(after(121)), None);
    }

    #[test]
    fn a_watch_stands_while_it_tells_of_every_change() {
        let (watches, now) = (Arc::new(Watches::default()), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let stands = |seconds| watches.stands("ShopifyApp", "shop", after(seconds));
        assert!(!stands(0), "there is none");
        let apps = watches.begin("ShopifyApp", Some("shop".into()), now);
        assert!(!stands(0), "it hasn't listed");
        apps.brought(&Ok(Event::<Secret>::InitDone), now);
        assert!(stands(0) && !watches.stands("ShopifyApp", "other", now) && !watches.stands("Secret", "shop", now));
        apps.brought(&forbidden(), after(1));
        assert!(!stands(1) && !stands(90), "it may have been told of the next try");
        assert!(stands(91), "it goes on, and nothing happens");
        apps.brought(&forbidden(), after(100));
        apps.brought(&Ok(Event::<Secret>::Init), after(101));
        apps.brought(&Ok(secret("7")), after(101));
        assert!(!stands(300), "what isn't listed yet may be gone");
        apps.brought(&Ok(Event::<Secret>::InitDone), after(300));
        assert!(stands(300));
        watches.start_over(after(301));
        assert!(!stands(301));
    }

    #[test]
    fn watches_that_start_over_are_waited_for() {
        let (watches, now) = (Arc::new(Watches::default()), Instant::now());
        let secrets = watches.begin("Secret", None, now);
        let mut restarts = watches.restarts();
        secrets.brought(&Ok(Event::<Secret>::InitDone), now);
        secrets.brought(&Ok(secret("41")), now);
        secrets.brought(&Ok(secret("7")), now);
        secrets.brought(&Ok(secret("opaque")), now);
        assert_eq!((watches.newest("Secret"), watches.newest("ShopifyApp")), (41, 0));
        watches.start_over(now);
        assert!(restarts.has_changed().unwrap());
        restarts.mark_unchanged();
        assert_eq!(watches.newest("Secret"), 0);
        assert!(watches.missing(now + LASTING).is_some() && watches.stuck(now + LASTING).is_none());
        assert!(watches.stuck(now + OVER).is_some());
        secrets.brought(&Ok(Event::<Secret>::InitDone), now);
        assert_eq!((watches.missing(now), watches.stuck(now + OVER)), (None, None));
    }
}
