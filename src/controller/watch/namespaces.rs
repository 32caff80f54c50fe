//! The labels of namespaces, which grants go by, and whether they end: nothing else of a namespace is kept. Other labels wake
//! whom they concern.

use std::{collections::BTreeSet, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::ObjectMeta,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher::{Event, watcher},
    },
};
use tokio::time::Instant;

use super::{config, health::reason, stores::Labelled, streams::restarting};
use crate::controller::context::Context;

/// Watches the namespaces that this instance serves, where it serves several: in one alone there is nobody to grant to.
pub(in crate::controller) async fn namespaces(
    context: Arc<Context>,
    kept: Store<Labelled>,
    mut keeper: Writer<Labelled>,
) {
    let watched = &context.setup.namespaces;
    // The rights of some namespaces may be all there is: then nothing is granted, and the rest works.
    let health = watched.is_empty().then(|| context.setup.watches.begin("Namespace", None, Instant::now()));
    let api: Api<Labelled> = Api::all(context.client());
    let make = move || watcher(api.clone(), config()).default_backoff().boxed();
    let mut events = Box::pin(restarting(make, context.setup.watches.restarts()));
    let (mut changed, mut anew) = (BTreeSet::new(), BTreeSet::new());
    let mut told = false;
    while let Some(mut event) = events.next().await {
        if let Some(health) = &health {
            health.brought(&event, Instant::now());
        }
        let gone = matches!(event, Ok(Event::Delete(_)));
        match &mut event {
            Ok(Event::Apply(namespace) | Event::InitApply(namespace) | Event::Delete(namespace)) => {
                let name = namespace.name_any();
                if !watched.is_empty() && !watched.contains(&name) {
                    continue;
                }
                let labels = namespace.metadata.labels.take();
                let before = kept.get(&ObjectRef::new(&name));
                if before.as_ref().map(|before| before.metadata.labels.clone()) != Some(labels.clone()) {
                    changed.insert(name.clone());
                }
                let ended = before.is_some_and(|before| before.metadata.deletion_timestamp.is_some());
                let ends = namespace.metadata.deletion_timestamp.take();
                let deletion_timestamp = ends.filter(|_| !gone);
                // Another one has its name.
                if ended && deletion_timestamp.is_none() {
                    anew.insert(name.clone());
                }
                namespace.metadata =
                    ObjectMeta { name: Some(name), labels, deletion_timestamp, ..ObjectMeta::default() };
            }
            Ok(Event::Init) => changed.clear(),
            Ok(Event::InitDone) => told = false,
            Err(error) if health.is_none() && std::mem::replace(&mut told, true) => {
                tracing::debug!(error = reason(error), "the watch of Namespaces is interrupted still");
            }
            Err(error) => tracing::warn!(
                error = reason(error),
                "the watch of Namespaces is interrupted: what is granted by their labels isn't noticed meanwhile"
            ),
        }
        let Ok(event) = event else { continue };
        keeper.apply_watcher_event(&event);
        // A list counts once the store has taken it over.
        if !matches!(event, Event::Init | Event::InitApply(_)) {
            for namespace in std::mem::take(&mut changed) {
                relabelled(&context, &namespace);
            }
            for namespace in std::mem::take(&mut anew) {
                context.stores.refs_of(&namespace).into_iter().for_each(|token| context.wakes.token(token));
            }
        }
    }
}

/// Wakes the tokens of a namespace that name an app of another one, those below them, and these apps.
fn relabelled(context: &Context, namespace: &str) {
    let (tokens, apps) = context.stores.abroad(namespace);
    for token in tokens {
        context.wakes.token(token);
    }
    for app in apps {
        context.wakes.app(app);
    }
}
