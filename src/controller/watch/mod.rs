//! Whom an event wakes: every dependency that appears, changes or goes is noticed by a watch.

pub(super) mod going;
pub(super) mod health;
pub(super) mod history;
pub(super) mod holdings;
pub(super) mod namespaces;
pub(super) mod objects;
pub(super) mod presence;
pub(super) mod relations;
pub(super) mod store;
pub(super) mod stores;
pub(super) mod streams;
pub(super) mod wake;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::ObjectRef,
        watcher::{self, Event, watcher},
    },
};

use tokio::time::Instant;

use self::{going::going, health::reason, holdings::Noted, store::Held, streams::restarting};
pub use self::{
    health::Watches,
    stores::Stores,
    wake::{Objects, Wakes},
};
use super::context::Context;
use super::kept::ObjectKey;
use crate::{
    api::{ShopifyApp, ShopifyToken},
    core::{
        condition::{find, is_rejected, obstacle},
        finalizer::{has_finalizer, keeps_issuer},
        vocabulary::{Reason, conditions},
    },
    kubernetes::{Lenient, Metadata},
};

/// How far the time of day may run away from the monotonic clock before everything is looked at again.
const JUMP: chrono::TimeDelta = chrono::TimeDelta::seconds(2);

/// Takes out what `kubectl apply` keeps beside the object: all of it, once more.
pub(in crate::controller) fn prune<K: Resource>(object: &mut K) {
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// Watches the metadata of Secrets, without keeping any, and wakes whoever reads or writes them.
pub(super) async fn secrets(context: Arc<Context>, scope: Option<String>) {
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
                    there.insert(holdings::key(&secret));
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

/// Every watch's: it ends and goes on each minute, so that one that has fallen silent is found out.
pub(super) fn config() -> watcher::Config {
    watcher::Config::default().page_size(100).timeout(60)
}

/// Objects of a namespace, or of all.
pub(super) fn api<K>(client: Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Notes whose credential a Secret holds, and wakes the token if its spec names another one. Says whether it holds any.
pub(super) fn held(context: &Context, secret: &impl ResourceExt, gone: bool) -> bool {
    let (namespace, name) = holdings::key(secret);
    // First: an answer from before it that comes now must not be noted after it.
    context.reads.told(&namespace, &name, secret.resource_version().as_deref());
    let Noted { before, now, .. } = context.note(secret, gone);
    for holder in before.iter().chain(&now) {
        let token = context.stores.token(&holder.namespace, &holder.name);
        let leaves = |token: &ShopifyToken| token.secret_name() != secret.name_any();
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

/// Wakes the tokens whose admin token this is, the admin token whose user went, and the app concerned.
pub(super) fn token_event(context: &Context, scope: Option<&str>, event: &Event<Held<ShopifyToken>>) {
    let noted = context.stores.note_token(scope, event);
    let moved = noted.as_ref().is_some_and(|noted| noted.moved);
    noted.iter().flat_map(|noted| &noted.gone).for_each(|token| token_went(context, token));
    let (token, gone) = match event {
        Event::Apply(token) => (token, false),
        Event::Delete(token) => (token, true),
        Event::InitDone => {
            // All are looked at, and what was seen before the list isn't what they have seen.
            context.admins_seen.clear();
            if moved {
                context.stores.apps().for_each(|app| context.count_soon(reference(&app)));
            }
            return;
        }
        Event::Init | Event::InitApply(_) => return,
    };
    let (namespace, name) = (token.namespace().unwrap_or_default(), token.name_any());
    let key = ObjectKey { namespace: namespace.clone(), name: name.clone() };
    let dependents = context.stores.dependents_of_token(&namespace, &name);
    if dependents.is_empty() {
        context.admins_seen.remove(&key);
    } else {
        let now = depended_on(token);
        if context.admins_seen.put(key.clone(), now.clone()) != Some(now) || gone {
            for dependent in dependents {
                context.wakes.token(dependent);
            }
        }
    }
    if gone {
        context.admins_seen.remove(&key);
        token_went(context, token);
    }
    // Nobody tells which app it named before.
    if moved {
        context.stores.apps_for(&namespace).iter().for_each(|app| context.count_soon(reference(app)));
    }
    let Ok(token) = &token.0 else { return };
    context.shown(token);
    if token.spec.source.offline.is_some() && (gone || token.metadata.deletion_timestamp.is_some()) {
        for other in context.stores.offline_of(&token.spec.shop) {
            context.wakes.token(ObjectKey::of_object(&*other));
        }
    }
    // It needs nothing any more: what was kept for it may go.
    let free = gone || !keeps_issuer(token);
    if let Some(admin) = token.admin_token().filter(|_| free)
        && context.stores.token(&namespace, admin).is_some_and(|a| has_finalizer(&*a))
    {
        context.wakes.token(ObjectKey { namespace: namespace.clone(), name: admin.to_owned() });
    }
    let rejected = token.status.as_ref().and_then(obstacle) == Some(Reason::CredentialsRejected);
    // The app counts its tokens, and this one may be new to it.
    let changed = token.status.as_ref().map(|s| s.observed_generation) != token.metadata.generation;
    if let Some(app) = app_of(context, token) {
        let status = app.0.as_ref().ok().and_then(|app| app.status.as_ref());
        let blamed = status.and_then(|s| find(&s.conditions, conditions::STALLED)).is_some();
        let freed = free && has_finalizer(&*app);
        if blamed || rejected || freed {
            context.wakes.app(reference(&app));
        } else if gone || changed {
            context.count_soon(reference(&app));
        }
    }
}

/// Nothing is kept for a token that isn't there any more.
fn token_went(context: &Context, token: &Lenient<ShopifyToken>) {
    let key = ObjectKey::of_object(token);
    context.forget(&key, &token.uid().unwrap_or_default());
    if let Ok(token) = &token.0 {
        context.setup.metrics.forget_storefront_tokens(&key.namespace, &key.name, &token.spec.shop);
    }
}

/// What of an admin token those depend on that name it, beside its Secret: that its own deletion waits for one less is told in its
/// status each time, and is none of their business.
fn depended_on(admin: &Lenient<ShopifyToken>) -> String {
    let (meta, status) = (admin.meta(), admin.0.as_ref().ok().and_then(|admin| admin.status.as_ref()));
    let (revision, rejected) = (status.map(|status| status.revision), status.is_some_and(is_rejected));
    let readable = admin.0.is_ok();
    format!(
        "{:?} {:?} {:?} {:?} {revision:?} {rejected} {readable}",
        meta.uid, meta.generation, meta.finalizers, meta.deletion_timestamp
    )
}

/// The app that a token names, or that its admin token does, if that is in its namespace or grants something.
fn app_of(context: &Context, token: &ShopifyToken) -> Option<Arc<Lenient<ShopifyApp>>> {
    let namespace = token.namespace().unwrap_or_default();
    let named = token.app().map(|(place, name)| (place.to_owned(), name.to_owned()));
    let (place, name) = named.or_else(|| {
        let app = context.stores.app_above(&namespace, token.admin_token()?)?;
        Some((app.namespace.unwrap_or_default(), app.name))
    })?;
    let may_grant = |app: &Lenient<ShopifyApp>| app.0.as_ref().is_ok_and(|app| !app.spec.grants.is_empty());
    context.stores.app(&place, &name).filter(|app| place == namespace || may_grant(app))
}

fn reference(app: &Lenient<ShopifyApp>) -> ObjectRef<ShopifyApp> {
    ObjectRef::new(&app.name_any()).within(&app.namespace().unwrap_or_default())
}

/// Wakes the tokens that use an app, when more of it has changed than its status.
pub(super) fn app_event(context: &Context, scope: Option<&str>, event: &Event<Held<ShopifyApp>>) {
    let noted = context.stores.note_app(scope, event);
    noted.iter().flat_map(|noted| &noted.gone).for_each(|app| app_went(context, app));
    match event {
        Event::Apply(app) => app_is(context, app),
        Event::Delete(app) => app_went(context, app),
        // A list counts once the store has taken it over.
        Event::InitDone => context.stores.apps().for_each(|app| app_is(context, &app)),
        Event::Init | Event::InitApply(_) => {}
    }
}

fn app_is(context: &Context, app: &Lenient<ShopifyApp>) {
    let meta = app.meta();
    // Its tokens wait until it speaks of their client secret.
    let judged = app.0.as_ref().ok().and_then(|app| app.status.as_ref()?.client_secret.as_ref());
    let state = format!("{:?} {:?} {:?} {judged:?}", meta.uid, meta.generation, meta.finalizers);
    let ObjectKey { namespace, name } = ObjectKey::of_object(app);
    if context.apps_seen.put(format!("{namespace}/{name}"), state.clone()) != Some(state) {
        context.stores.dependents_of_app(&namespace, &name).into_iter().for_each(|token| context.wakes.token(token));
    }
}

fn app_went(context: &Context, app: &Lenient<ShopifyApp>) {
    let (ObjectKey { namespace, name }, uid) = (ObjectKey::of_object(app), app.uid().unwrap_or_default());
    let key = format!("{namespace}/{name}");
    context.freed.notify_one();
    context.forget_refusals(&uid);
    context.errors.remove(&reference(app).to_string());
    context.apps_seen.remove(&key);
    context.schedules.remove(&key);
    context.judged.remove(&uid);
    context.own_versions.remove(&uid);
    context.stores.dependents_of_app(&namespace, &name).into_iter().for_each(|token| context.wakes.token(token));
}

/// Wakes the probes of shops that don't answer, and everything when the time of day has jumped: timers
/// count no time that the machine was suspended, and none by which the clock was set.
pub(super) async fn time(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let (mut wall, mut monotonic) = (context.now(), tokio::time::Instant::now());
    loop {
        ticks.tick().await;
        let now = context.now();
        context.pass_on(&context.outages.due(now));
        context.slots.expire(std::time::Instant::now());
        let passed = chrono::TimeDelta::from_std(monotonic.elapsed()).unwrap_or_default();
        if (now - wall - passed).abs() > JUMP {
            tracing::info!(
                seconds = (now - wall - passed).num_seconds(),
                "the time of day has jumped: looking at everything again"
            );
            wake_all(&context);
        }
        (wall, monotonic) = (now, tokio::time::Instant::now());
    }
}

fn wake_all(context: &Context) {
    context.stores.all_tokens().into_iter().for_each(|token| context.wakes.token(token));
    context.stores.all_apps().into_iter().for_each(|app| context.wakes.app(app));
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
    use kube::{Config, client::Body};
    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;
    use crate::{api::SourceKind, core::scene::healthy};

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

    #[tokio::test]
    async fn a_new_token_counts_for_the_app_that_it_names_and_one_that_moves_for_all_it_may_have_named() {
        let mut stores = Stores::default();
        stores.add(None);
        let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
        let context = Context::of_stores(Client::try_from(nowhere).unwrap(), stores);
        for name in ["a", "b", "c"] {
            let app =
                json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"credentialsRef": {"name": "s"}}});
            app_event(&context, None, &Event::Apply(Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap())))));
        }
        let counts = |app: &str, generation: i64| {
            let source = json!({"clientCredentials": {"appRef": {"name": app}}});
            let mut token = healthy(SourceKind::ClientCredentials, json!({"source": source})).token;
            token.metadata.generation = Some(generation);
            token_event(&context, None, &Event::Apply(Arc::new(Lenient(Ok(token)))));
            let mut counting = context.counting.keys();
            context.counting.clear();
            counting.sort_unstable();
            let name = |key: &String| Some(key.rsplit_once('/')?.1.split_once('.')?.0.to_owned());
            counting.iter().filter_map(name).collect::<Vec<_>>()
        };
        assert_eq!(counts("a", 2), ["a"], "however many apps there are");
        assert_eq!(counts("b", 3), ["a", "b", "c"], "the one before, too");
        assert_eq!(counts("b", 4), ["b"]);
        for event in [Event::Init, Event::InitDone] {
            token_event(&context, None, &event);
        }
        assert_eq!(context.counting.keys().len(), 3, "which ones those named that went meanwhile no event tells");
    }

    #[tokio::test]
    async fn a_list_of_apps_counts_once_it_is_over_and_what_it_leaves_out_is_gone() {
        let (mut stores, mut wakes) = (Stores::default(), Wakes::default());
        stores.add(None);
        let woken = wakes.route(None).tokens;
        let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
        let context = Context::of_parts(Client::try_from(nowhere).unwrap(), stores, wakes);
        let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
        let token = healthy(SourceKind::ClientCredentials, json!({"source": source})).token;
        token_event(&context, None, &Event::Apply(Arc::new(Lenient(Ok(token)))));
        let app = |generation: i64| {
            let metadata = json!({"name": "acme", "namespace": "shop", "uid": "0a1b", "generation": generation});
            let app = json!({"metadata": metadata, "spec": {"credentialsRef": {"name": "s"}}});
            Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap())))
        };
        let wakes = |event| {
            app_event(&context, None, &event);
            woken.empty().into_iter().map(|token| token.name).collect::<Vec<_>>()
        };
        let generation = || context.stores.app("shop", "acme")?.meta().generation;
        assert_eq!(wakes(Event::Apply(app(1))), ["web"]);
        assert!(wakes(Event::Init).is_empty());
        assert!(wakes(Event::InitApply(app(2))).is_empty(), "whoever looks sees the one before");
        assert_eq!(generation(), Some(1));
        assert_eq!((wakes(Event::InitDone), generation()), (vec!["web".to_owned()], Some(2)));
        for event in [Event::Init, Event::InitApply(app(2)), Event::InitDone, Event::Init] {
            assert!(wakes(event).is_empty());
        }
        context.own_versions.put("0a1b".to_owned(), (1, None));
        assert_eq!(wakes(Event::InitDone), ["web"]);
        assert!(context.apps_seen.keys().is_empty() && context.own_versions.keys().is_empty());
    }

    #[tokio::test]
    async fn what_of_an_admin_token_concerns_others_wakes_them_and_nothing_else_does() {
        let (mut stores, mut wakes) = (Stores::default(), Wakes::default());
        stores.add(None);
        let woken = wakes.route(None).tokens;
        let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
        let context = Context::of_parts(Client::try_from(nowhere).unwrap(), stores, wakes);
        let tell = |event: Event<Held<ShopifyToken>>| {
            token_event(&context, None, &event);
            woken.empty().into_iter().map(|token| token.name).collect::<Vec<_>>()
        };
        let held = |token: &ShopifyToken| Arc::new(Lenient(Ok(token.clone())));
        let apply = |token: &ShopifyToken| Event::Apply(held(token));
        let below = healthy(SourceKind::Storefront, json!({})).token;
        let mut admin = healthy(SourceKind::ClientCredentials, json!({})).token;
        admin.metadata.name = Some("admin".into());
        tell(apply(&below));
        assert_eq!(tell(apply(&admin)), ["web"]);
        let status = |admin: &mut ShopifyToken, change: fn(&mut crate::api::ShopifyTokenStatus)| {
            change(admin.status.as_mut().unwrap());
        };
        status(&mut admin, |status| status.failed_attempts = Some(1));
        assert!(tell(apply(&admin)).is_empty(), "its own affair");
        status(&mut admin, |status| status.revision = status.revision.map(|revision| revision + 1));
        assert_eq!(tell(apply(&admin)), ["web"]);
        status(&mut admin, |status| {
            for condition in status.conditions.iter_mut().filter(|c| c.type_ == conditions::TOKEN_VALID) {
                condition.status = "False".to_owned();
            }
        });
        assert_eq!(tell(apply(&admin)), ["web"], "Shopify refuses it");
        admin.metadata.generation = Some(2);
        assert_eq!(tell(apply(&admin)), ["web"]);
        assert!(tell(apply(&admin)).is_empty());
        for event in [Event::Init, Event::InitApply(held(&below)), Event::InitApply(held(&admin)), Event::InitDone] {
            tell(event);
        }
        assert_eq!(tell(apply(&admin)), ["web"], "what it was between is not known");
        assert_eq!(tell(Event::Delete(held(&admin))), ["web"]);
        assert!(context.admins_seen.keys().is_empty());
    }
}
