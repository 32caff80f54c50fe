//! Follows the objects of a kind: tells of each event, and wakes what has changed.

use std::{fmt::Debug, pin::pin, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        watcher::{Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    Objects, api, config,
    health::reason,
    prune,
    relations::Stored,
    store::{Held, Noted, Store},
    streams::restarting,
};
use crate::{controller::context::Context, kubernetes::Lenient};

/// Whether the object of an event is looked at for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::controller) enum Look {
    /// It is, after the pause in which its other events come.
    Soon,
    /// Whoever is told of the event sees to that, where there is anything to see.
    Told,
}

/// Follows the objects of a kind in one namespace, or in all, for ever. `on_event` is told of each once the store has noted it,
/// and of what that has changed.
pub(in crate::controller) async fn objects<K>(
    context: Arc<Context>,
    scope: Option<String>,
    (kind, store): (&'static str, Store<K>),
    woken: Objects,
    on_event: fn(&Context, &Event<Held<K>>, &Noted<K>) -> Look,
) where
    K: Stored + Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let watch = context.setup.watches.begin(kind, scope.clone(), Instant::now());
    let all: Api<Lenient<K>> = api(context.client(), scope.as_deref());
    let selected = match context.setup.selector.as_deref() {
        Some(selector) => config().labels(selector),
        None => config(),
    };
    let make = move || watcher(all.clone(), selected.clone()).default_backoff().boxed();
    let events = restarting(make, context.setup.watches.restarts())
        .inspect(|event| watch.brought(event, Instant::now()))
        .modify(prune);
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => held(event),
            Err(error) => {
                tracing::warn!(kind, error = reason(&error), "the watch is interrupted");
                continue;
            }
        };
        let look = on_event(&context, &event, &store.note(&event));
        match event {
            Event::Apply(object) if look == Look::Soon => woken.changed(store.key(&object)),
            // A list counts once the store has taken it over.
            Event::InitDone => store.keys().into_iter().for_each(|key| woken.changed(key)),
            Event::Init | Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
    }
}

/// An event of an object that many will hold, and for long.
fn held<K: Stored>(event: Event<Lenient<K>>) -> Event<Held<K>> {
    let hold = |mut object: Lenient<K>| {
        if let Ok(object) = &mut object.0 {
            object.shrink();
        }
        Arc::new(object)
    };
    match event {
        Event::Apply(object) => Event::Apply(hold(object)),
        Event::Delete(object) => Event::Delete(hold(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(hold(object)),
        Event::InitDone => Event::InitDone,
    }
}
