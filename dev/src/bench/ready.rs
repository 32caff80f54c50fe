//! Sees when tokens become Ready and when they are renewed, by a watch.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::core::Object;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::world::{NAMESPACE, World, now, tokens};

/// As much of a ShopifyToken as counts here.
type Token = Object<Spec, Status>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Spec {}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    conditions: Vec<Condition>,
    revision: i64,
    renewal_time: Option<Time>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// What was seen of a token.
#[derive(Clone, Debug)]
struct Seen {
    ready: Option<Instant>,
    revision: i64,
    renewal_time: Option<Timestamp>,
}

#[derive(Default)]
struct State {
    tokens: HashMap<String, Seen>,
    /// When each was Ready first, whatever became of it.
    first_ready: HashMap<String, Instant>,
    ready: usize,
    /// How long after its renewal time each renewal was seen.
    late: Vec<Duration>,
    /// Those that are being deleted, each once.
    going: HashSet<String>,
}

/// A watch of all tokens of the namespace; ends when dropped.
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(world: &World) -> Self {
        Self::telling(world, |_| ())
    }

    /// The same; `goes` hears of each token that is being deleted.
    pub(super) fn telling(world: &World, goes: impl Fn(&str) + Send + 'static) -> Self {
        let api: Api<Token> = Api::namespaced_with(world.client.clone(), NAMESPACE, &tokens());
        let (state, changed) = (Arc::new(Mutex::new(State::default())), Arc::new(Notify::new()));
        let (seen, notify) = (Arc::clone(&state), Arc::clone(&changed));
        let task = tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            pin_mut!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(token) | watcher::Event::InitApply(token)) => {
                        lock(&seen).note(&token);
                        if token.metadata.deletion_timestamp.is_some() && lock(&seen).going.insert(token.name_any()) {
                            goes(&token.name_any());
                        }
                        notify.notify_waiters();
                    }
                    Ok(watcher::Event::Delete(token)) => {
                        lock(&seen).forget(&token.name_any());
                        notify.notify_waiters();
                    }
                    Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                    Err(error) => tracing::warn!(%error, "the benchmark's watch starts over"),
                }
            }
        });
        Self { state, changed, task }
    }

    /// Waits until this many tokens are Ready.
    pub(super) async fn until_ready(&self, count: usize, within: Duration) -> Result<()> {
        self.until(within, "Ready", |state| (state.ready >= count).then_some(())).await
    }

    /// Waits until this token is Ready, and says when it was.
    pub(super) async fn ready_at(&self, name: &str, within: Duration) -> Result<Instant> {
        self.until(within, name, |state| state.first_ready.get(name).copied()).await
    }

    /// Waits until there is no token any more.
    pub(super) async fn until_none(&self, within: Duration) -> Result<()> {
        self.until(within, "gone", |state| state.tokens.is_empty().then_some(())).await
    }

    async fn until<T>(&self, within: Duration, what: &str, check: impl Fn(&State) -> Option<T>) -> Result<T> {
        let found = timeout(within, async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = check(&lock(&self.state)) {
                    return found;
                }
                changed.await;
            }
        });
        if let Ok(found) = found.await {
            return Ok(found);
        }
        let (ready, all) = {
            let state = lock(&self.state);
            (state.ready, state.tokens.len())
        };
        bail!("after {within:?} not {what}: {ready} of {all} tokens are Ready")
    }

    /// How long after `began` each was Ready.
    pub(super) fn since(&self, began: &[(String, Instant)]) -> Vec<Duration> {
        let state = lock(&self.state);
        let ready = |name: &String| state.tokens.get(name).and_then(|seen| seen.ready);
        began.iter().filter_map(|(name, at)| Some(ready(name)?.saturating_duration_since(*at))).collect()
    }

    /// How late the renewals were that have been seen so far.
    pub(super) fn late(&self) -> Vec<Duration> {
        lock(&self.state).late.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn note(&mut self, token: &Token) {
        let Some(status) = &token.status else {
            let unseen = Seen { ready: None, revision: 0, renewal_time: None };
            self.tokens.entry(token.name_any()).or_insert(unseen);
            return;
        };
        let is_ready = status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True");
        let seen = Seen {
            ready: is_ready.then(Instant::now),
            revision: status.revision,
            renewal_time: status.renewal_time.as_ref().map(|at| at.0),
        };
        let before = self.tokens.get(&token.name_any());
        if let Some(Seen { revision, renewal_time: Some(due), .. }) = before
            && *revision > 0
            && status.revision > *revision
        {
            let late = now().duration_since(*due);
            self.late.push(late.try_into().unwrap_or_default());
        }
        if let Some(at) = seen.ready {
            self.first_ready.entry(token.name_any()).or_insert(at);
        }
        let first = before.and_then(|seen| seen.ready);
        match (first, seen.ready) {
            (None, Some(_)) => self.ready += 1,
            (Some(_), None) => self.ready -= 1,
            (None, None) | (Some(_), Some(_)) => {}
        }
        let first = first.filter(|_| is_ready);
        self.tokens.insert(token.name_any(), Seen { ready: first.or(seen.ready), ..seen });
    }

    fn forget(&mut self, name: &str) {
        if self.tokens.remove(name).is_some_and(|seen| seen.ready.is_some()) {
            self.ready -= 1;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
