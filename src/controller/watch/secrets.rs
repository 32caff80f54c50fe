//! Follows the Secrets, and wakes whoever reads or writes them.

use std::{collections::HashSet, sync::Arc};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{Event, watcher},
    },
};
use tokio::time::Instant;

use super::{api, config, going::going, health::reason, holdings::Noted, streams::restarting, wake_all};
use crate::{
    api::ShopifyToken,
    controller::{context::Context, key::ObjectKey},
    kubernetes::Metadata,
};

/// Watches the metadata of Secrets, without keeping any, and wakes whoever reads or writes them.
pub(in crate::controller) async fn secrets(context: Arc<Context>, scope: Option<String>) {
    let watch = context.setup.watches.begin("Secret", scope.clone(), Instant::now());
    let api: Api<Metadata<Secret>> = api(context.client(), scope.as_deref());
    let make = move || watcher(api.clone(), config()).default_backoff().boxed();
    let mut events = Box::pin(restarting(make, context.setup.watches.restarts()));
    let (mut there, mut listed_before) = (HashSet::new(), false);
    let present = |secret: &Metadata<Secret>, gone| context.presence.note(scope.as_deref(), secret, gone);
    while let Some(event) = events.next().await {
        // Of what went while no watch looked no event tells, neither before the list nor after it.
        if matches!(event, Err(_) | Ok(Event::Init | Event::InitDone)) {
            context.reads.clear(scope.as_deref());
        }
        // What was listed counts before the watch is said to stand.
        if matches!(event, Ok(Event::InitDone)) {
            context.presence.listed(scope.as_deref());
            context.holdings.listed(scope.as_deref(), &std::mem::take(&mut there));
        }
        watch.brought(&event, Instant::now());
        match event {
            Ok(Event::Apply(secret)) => {
                present(&secret, false);
                held(&context, &secret, false);
                secret_event(&context, &secret);
            }
            Ok(Event::Delete(secret)) => {
                present(&secret, true);
                held(&context, &secret, true);
                secret_event(&context, &secret);
            }
            Ok(Event::InitDone) => {
                // The first list finds everything being reconciled anyway; a later one may hide a deletion.
                if std::mem::replace(&mut listed_before, true) {
                    wake_all(&context);
                }
            }
            Ok(Event::InitApply(secret)) => {
                present(&secret, false);
                if held(&context, &secret, false) {
                    there.insert(ObjectKey::of_object(&secret));
                }
                going(&context, &secret);
            }
            Ok(Event::Init) => {
                there.clear();
                context.presence.listing(scope.as_deref());
                context.holdings.listing(scope.as_deref());
            }
            Err(error) => tracing::warn!(error = reason(&error), "the watch of Secrets is interrupted"),
        }
    }
}

/// Notes whose credential a Secret holds, and wakes the token if its spec names another one. Says whether it holds any.
pub(in crate::controller) fn held(context: &Context, secret: &impl ResourceExt, gone: bool) -> bool {
    let key = ObjectKey::of_object(secret);
    // First: an answer from before it that comes now must not be noted after it.
    context.reads.told(&key, secret.resource_version().as_deref());
    let Noted { before, now, .. } = context.note(secret, gone);
    for holder in before.iter().chain(&now) {
        let token = context.stores.token(&holder.namespace, &holder.name);
        let leaves = |token: &ShopifyToken| token.secret_name() != key.name();
        if token.is_some_and(|token| token.0.as_ref().is_ok_and(leaves)) {
            context.wakes.token(ObjectKey::of(holder));
        }
    }
    now.is_some()
}

fn secret_event(context: &Context, secret: &Metadata<Secret>) {
    let (apps, tokens) =
        context.stores.dependents_of_secret(&secret.namespace().unwrap_or_default(), &secret.name_any());
    for app in apps {
        context.wakes.app(app);
    }
    for token in tokens {
        context.wakes.token(token);
    }
    going(context, secret);
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    use http::{Request, Response};
    use kube::{Client, client::Body};
    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;

    /// A Secret `shop/acme` was written and deleted while the watch had to start over.
    #[tokio::test(start_paused = true)]
    async fn what_went_while_no_watch_looked_is_not_kept() {
        let (context, over) = (Arc::new(OnceLock::<Arc<Context>>::new()), Arc::new(Notify::new()));
        let reads = Arc::new(AtomicU64::new(0));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "shop", "name": "acme", "resourceVersion": "15"}});
        let (told, follows, counted) = (Arc::clone(&context), Arc::clone(&over), Arc::clone(&reads));
        let (lists, watches) = (AtomicU64::new(0), AtomicU64::new(0));
        let server = tower::service_fn(move |request: Request<Body>| {
            let answer = if request.uri().path().ends_with("/acme") {
                counted.fetch_add(1, Ordering::SeqCst);
                Some(secret.clone())
            } else if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                let too_old = json!({"type": "ERROR", "object": {
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": ""
                }});
                let first = watches.fetch_add(1, Ordering::SeqCst) == 0;
                if !first {
                    follows.notify_one();
                }
                first.then_some(too_old)
            } else {
                if let (1, Some(context)) = (lists.fetch_add(1, Ordering::SeqCst), told.get()) {
                    let mut secret = serde_json::from_value(secret.clone()).unwrap();
                    context.reads.ask("shop", "acme").wrote(&mut secret, |_| ());
                }
                Some(
                    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "20"}, "items": []}),
                )
            };
            async move {
                match answer {
                    Some(answer) => Ok::<_, Infallible>(Response::new(Body::from(format!("{answer}\n").into_bytes()))),
                    None => std::future::pending().await,
                }
            }
        });
        let context = context.get_or_init(|| Context::of_client(Client::new(server, "default")));
        tokio::spawn(secrets(Arc::clone(context), None));
        over.notified().await;
        context.shared_secret("shop", "acme").await.unwrap();
        assert_eq!(reads.load(Ordering::SeqCst), 1, "nobody tells that it is gone");
    }
}
