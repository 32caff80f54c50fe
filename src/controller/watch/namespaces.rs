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

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use http::{Request, Response};
    use kube::{Client, client::Body, runtime::reflector};
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        controller::watch::{Stores, Wakes},
        core::scene::healthy,
        kubernetes::Lenient,
    };

    /// A namespace ends, and somebody makes another one of its name, whose token was left to the end of the first.
    #[tokio::test(start_paused = true)]
    async fn the_tokens_of_a_namespace_that_is_made_anew_are_looked_at() {
        let namespace = |uid: &str, ends: Option<&str>| {
            let metadata = json!({"name": "shop", "uid": uid, "resourceVersion": uid, "deletionTimestamp": ends});
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
        };
        let list = json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"},
            "items": [namespace("1", Some("2026-11-30T00:00:00Z"))],
        });
        // `type` goes first, as the API server has it.
        let event = format!(r#"{{"type":"ADDED","object":{}}}"#, namespace("2", None));
        let begun = AtomicU64::new(0);
        let server = tower::service_fn(move |request: Request<Body>| {
            let watch = request.uri().query().is_some_and(|query| query.contains("watch="));
            let answer = match watch.then(|| begun.fetch_add(1, Ordering::SeqCst)) {
                None => Some(list.to_string()),
                Some(0) => Some(format!("{event}\n")),
                Some(_) => None,
            };
            async move {
                match answer {
                    Some(answer) => Ok::<_, Infallible>(Response::new(Body::from(answer.into_bytes()))),
                    None => std::future::pending().await,
                }
            }
        });
        let (kept, keeper) = reflector::store();
        let (mut stores, mut wakes) = (Stores::default(), Wakes::default());
        let (tokens, _) = stores.add(None);
        stores.know(Some(kept.clone()));
        let woken = wakes.route(None).tokens;
        let context = Context::of_parts(Client::new(server, "default"), stores, wakes);
        let token = Lenient(Ok(healthy(SourceKind::ClientCredentials, json!({})).token));
        tokens.note(&Event::Apply(Arc::new(token)));
        let following = tokio::spawn(namespaces(Arc::clone(&context), kept, keeper));
        let first = tokio::time::timeout(Duration::from_mins(1), woken.next()).await;
        assert_eq!(first.expect("it is woken").what().name(), "web");
        assert_eq!(context.stores.ends_since("shop"), None);
        following.abort();
    }
}
