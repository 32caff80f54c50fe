//! The only code that knows Kubernetes: streams, reconciles, and what they read and write.

mod act;
pub mod app;
pub mod consent;
pub mod context;
pub mod error;
mod events;
pub mod kept;
mod listed;
mod memory;
mod observe;
mod outcome;
pub mod reads;
pub mod reconcile;
mod recorder;
mod refusal;
pub mod rendering;
mod report;
mod shared_list;
mod uninstall;
pub mod watch;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{join_all, pending, ready},
    stream::{BoxStream, empty},
};
use kube::{
    Api, Resource, ResourceExt,
    core::{DynamicObject, NamespaceResourceScope},
    runtime::{
        Controller, WatchStreamExt,
        controller::{self, Action},
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    context::Context,
    error::Error,
    kept::TokenKey,
    watch::{
        Queue, Stores, Wakes,
        health::reason,
        streams::{debounced, restarting},
    },
};
pub use self::{
    context::Setup,
    uninstall::{Uninstalled, uninstall},
    watch::Watches,
};
use crate::{
    api::{ShopifyApp, ShopifyToken},
    core::renewal,
    kubernetes::Lenient,
};

/// Secret and status events of one write arrive apart: one look is enough for both.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Reconciles of tokens under way at most, in one namespace or in all: those that have a worker, and those that lent it while
/// they wait for Shopify. Each of these has a connection's memory.
const UNDER_WAY: u16 = 1024;

/// How often it is looked who was woken for a worker and doesn't come.
const EXPIRY: Duration = Duration::from_secs(1);

/// How long an object waits at most whose events don't stop.
const LONGEST: Duration = Duration::from_millis(500);

/// The store and writer of a kind, for one namespace or all.
struct Reflected<K: Resource<DynamicType = ()> + Clone + 'static> {
    kind: &'static str,
    reader: Store<Lenient<K>>,
    writer: reflector::store::Writer<Lenient<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Reflected<K> {
    fn new(kind: &'static str) -> Self {
        let (reader, writer) = reflector::store();
        Self { kind, reader, writer }
    }
}

/// What is done for the objects of a kind.
struct Work<K, F> {
    reconcile: fn(Arc<Lenient<K>>, Arc<Context>) -> F,
    /// How many at a time, in one namespace or in all.
    under_way: u16,
    /// Called for one that was to be reconciled, and isn't there.
    on_missing: fn(&Context, &ObjectRef<DynamicObject>),
}

/// Runs until `shutdown` is cancelled and the reconciles under way have ended.
///
/// # Errors
/// When a watch or controller ends by itself, which it never should.
pub async fn run(setup: Setup, shutdown: CancellationToken) -> anyhow::Result<()> {
    let scopes: Vec<Option<String>> =
        if setup.namespaces.is_empty() { vec![None] } else { setup.namespaces.iter().cloned().map(Some).collect() };
    let (mut stores, mut wakes, mut parts) = (Stores::default(), Wakes::default(), Vec::new());
    for scope in scopes {
        let (tokens, apps) =
            (Reflected::<ShopifyToken>::new("ShopifyToken"), Reflected::<ShopifyApp>::new("ShopifyApp"));
        stores.add(scope.clone(), tokens.reader.clone(), apps.reader.clone());
        let woken = wakes.route(scope.clone());
        parts.push((scope, tokens, apps, woken));
    }
    // With one namespace there is no other that could grant it anything.
    let labels = (setup.namespaces.len() != 1).then(reflector::store);
    stores.know(labels.as_ref().map(|(kept, _)| kept.clone()));
    if !setup.namespaces.is_empty() {
        tracing::info!(
            namespaces = setup.namespaces.join(","),
            "ShopifyApps of other namespaces can't be used, whatever they grant: that takes an operator of the whole cluster"
        );
    }
    let (visible, seen) = (stores.clone(), stores.clone());
    setup.metrics.watch_apps(move |visit| {
        for app in seen.apps() {
            if let Ok(app) = &app.0 {
                visit(app);
            }
        }
    });
    setup.metrics.watch_tokens(
        move |visit| {
            for token in visible.tokens() {
                if let Ok(token) = &token.0 {
                    visit(token);
                }
            }
        },
        setup.clock.clone(),
    );
    let context = Context::new(setup, stores, wakes);

    let mut watches = JoinSet::new();
    let workers = context.workers.clone();
    watches.spawn(Arc::clone(&context.events).in_background(move || workers.are_short()));
    watches.spawn(watch::time(Arc::clone(&context)));
    watches.spawn(watch::going::waiting(Arc::clone(&context)));
    watches.spawn(watch::history::history(Arc::clone(&context)));
    if let Some((kept, keeper)) = labels {
        watches.spawn(watch::namespaces::namespaces(Arc::clone(&context), kept, keeper));
    }
    let mut controllers = Vec::new();
    for (scope, tokens, apps, woken) in parts {
        watches.spawn(watch::secrets(Arc::clone(&context), scope.clone()));
        let (context, shutdown) = (&context, &shutdown);
        controllers.push(async move {
            futures::join!(
                control(
                    context,
                    scope.clone(),
                    tokens,
                    (woken.tokens, watch::stream(woken.at_once).boxed()),
                    watch::token_event,
                    Work { reconcile: reconcile::reconcile, under_way: UNDER_WAY, on_missing: token_missing },
                    shutdown
                ),
                control(
                    context,
                    scope,
                    apps,
                    (woken.apps, empty().boxed()),
                    watch::app_event,
                    // They ask nothing of Shopify, and take none of the tokens' workers.
                    Work {
                        reconcile: app::reconcile,
                        under_way: context.setup.concurrency.max(1),
                        on_missing: |_, _| ()
                    },
                    shutdown
                ),
            )
        });
    }
    // Before the controllers look at what ended: who has no worker by then begins nothing.
    let close = async {
        let mut ticks = tokio::time::interval(EXPIRY);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            context.workers.expire(std::time::Instant::now());
        }
        context.workers.close();
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = close => {}
        _ = join_all(controllers) => {}
        Some(ended) = watches.join_next() => anyhow::bail!("a watch ended by itself: {ended:?}"),
    }
    context.events.written().await;
    if shutdown.is_cancelled() { Ok(()) } else { anyhow::bail!("the controllers ended by themselves") }
}

/// Runs the controller of one kind in one namespace, or in all.
async fn control<K, F>(
    context: &Arc<Context>,
    scope: Option<String>,
    reflected: Reflected<K>,
    (queue, at_once): (Queue<K>, BoxStream<'static, ObjectRef<K>>),
    on_event: fn(&Context, Option<&str>, &Event<Lenient<K>>),
    Work { reconcile, under_way, on_missing }: Work<K, F>,
    shutdown: &CancellationToken,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let config = controller::Config::default().concurrency(under_way);
    let (observer, watches) = (Arc::clone(context), &context.setup.watches);
    let health = watches.begin(reflected.kind, scope.clone(), Instant::now());
    let api: Api<Lenient<K>> = watch::api(context.client(), scope.as_deref());
    let selected = watch_config(context.setup.selector.as_deref());
    let make = move || watcher(api.clone(), selected.clone()).default_backoff().boxed();
    let (Queue { sender, receiver }, store) = (queue, reflected.reader.clone());
    let errors = restarting(make, watches.restarts())
        .inspect(move |event| health.brought(event, Instant::now()))
        .modify(watch::prune)
        .reflect(reflected.writer)
        .inspect_ok(move |event| {
            on_event(&observer, scope.as_deref(), event);
            // What changes goes the way of all that is woken. A list counts once the store has taken it over.
            let wake = |object: &Lenient<K>| drop(sender.send(reference(object)));
            match event {
                Event::Apply(object) if observer.is_own_write(object) => {}
                Event::Apply(object) => wake(object),
                Event::InitDone => store.state().iter().for_each(|object| wake(object)),
                Event::Init | Event::InitApply(_) | Event::Delete(_) => {}
            }
        })
        .filter_map(|event| ready(event.err().map(Err)));
    let store = reflected.reader.clone();
    let working = Controller::for_stream(errors, reflected.reader)
        .with_config(config)
        .reconcile_on(debounced(watch::stream(receiver).map(guarded), DEBOUNCE, LONGEST))
        .reconcile_on(at_once.map(guarded))
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(reconcile, retry, Arc::clone(context))
        .for_each(|result| async move {
            if let Err(controller::Error::ObjectNotFound(object)) = &result {
                context.errors.remove(&object.to_string());
                on_missing(context, object);
            }
            log(result);
        });
    // What was never listed has nothing under way, and would wait for its list for ever.
    let idle = async {
        shutdown.cancelled().await;
        if store.wait_until_ready().now_or_never().is_none() {
            return;
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = working => {}
        () = idle => {}
    }
}

/// A token that was woken isn't there any more: what was held for it is for others.
fn token_missing(context: &Context, token: &ObjectRef<DynamicObject>) {
    let (namespace, name) = (token.namespace.clone().unwrap_or_default(), token.name.clone());
    context.forget_waiting(&TokenKey { namespace, name });
}

fn watch_config(selector: Option<&str>) -> watcher::Config {
    let config = watch::config();
    match selector {
        Some(selector) => config.labels(selector),
        None => config,
    }
}

fn reference<K: Resource<DynamicType = ()>>(object: &Lenient<K>) -> ObjectRef<K> {
    ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default())
}

fn guarded<K: Resource<DynamicType = ()>>(object: ObjectRef<K>) -> ObjectRef<Lenient<K>> {
    ObjectRef::new(&object.name).within(&object.namespace.unwrap_or_default())
}

#[allow(clippy::needless_pass_by_value, reason = "the signature kube asks for")]
fn retry<K: Resource<DynamicType = ()>>(object: Arc<Lenient<K>>, error: &Error, context: Arc<Context>) -> Action {
    let uid = object.uid().unwrap_or_default();
    let count = context.errors.change(ObjectRef::from_obj(&*object).to_string(), |count| {
        *count = count.saturating_add(1);
        *count
    });
    error.retry_after(count, renewal::share(&uid)).map_or_else(Action::await_change, Action::requeue)
}

type Reconciled<K> = Result<(ObjectRef<Lenient<K>>, Action), controller::Error<Error, watcher::Error>>;

fn log<K: Resource<DynamicType = ()>>(result: Reconciled<K>) {
    match result {
        Err(controller::Error::ReconcilerFailed(error, object)) if error.is_conflict() => {
            tracing::debug!(kind = %K::kind(&()), namespace = object.namespace, name = object.name, %error, "another's write came first");
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            tracing::warn!(kind = %K::kind(&()), namespace = object.namespace, name = object.name, %error, "reconcile ended early");
        }
        // The latter went before its turn came.
        Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
        Err(controller::Error::QueueError(error)) => {
            tracing::warn!(kind = %K::kind(&()), error = reason(&error), "the watch is interrupted");
        }
        Err(error @ controller::Error::RunnerError(_)) => {
            tracing::warn!(kind = %K::kind(&()), %error, "the queue failed");
        }
    }
}
