//! Follows the objects of a kind: keeps them in their store, tells whom each event concerns, and wakes what has changed.

use std::{fmt::Debug, pin::pin, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher::{Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Objects, api, config, health::reason, prune, streams::restarting};
use crate::{
    controller::{context::Context, kept::ObjectKey},
    kubernetes::Lenient,
};

/// The store and writer of a kind, for one namespace or all.
pub(in crate::controller) struct Reflected<K: Resource<DynamicType = ()> + Clone + 'static> {
    kind: &'static str,
    /// What is there.
    pub(in crate::controller) reader: Store<Lenient<K>>,
    writer: reflector::store::Writer<Lenient<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Reflected<K> {
    /// Of the kind of this name.
    pub(in crate::controller) fn new(kind: &'static str) -> Self {
        let (reader, writer) = reflector::store();
        Self { kind, reader, writer }
    }
}

/// Follows the objects of a kind in one namespace, or in all, for ever.
pub(in crate::controller) async fn objects<K>(
    context: Arc<Context>,
    scope: Option<String>,
    Reflected { kind, reader, writer }: Reflected<K>,
    woken: Objects,
    on_event: fn(&Context, Option<&str>, &Event<Lenient<K>>),
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
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
        .modify(prune)
        .reflect(writer);
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(kind, error = reason(&error), "the watch is interrupted");
                continue;
            }
        };
        on_event(&context, scope.as_deref(), &event);
        match event {
            Event::Apply(object) if context.is_own_write(&object) => {}
            Event::Apply(object) => woken.changed(ObjectKey::of_object(&object)),
            // A list counts once the store has taken it over.
            Event::InitDone => reader.state().iter().for_each(|object| woken.changed(ObjectKey::of_object(&**object))),
            Event::Init | Event::InitApply(_) | Event::Delete(_) => {}
        }
    }
}
