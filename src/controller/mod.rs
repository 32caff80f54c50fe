//! The only code that knows Kubernetes: streams, reconciles, and what they read and write.

mod act;
pub mod app;
pub mod consent;
pub mod context;
pub mod error;
mod events;
pub mod kept;
pub mod key;
mod listed;
mod look;
mod memory;
mod observe;
mod outcome;
pub mod paces;
pub mod reads;
pub mod reconcile;
mod recorder;
mod refusal;
pub mod rendering;
mod report;
mod shared_list;
mod uninstall;
mod unreadable;
pub mod watch;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use kube::runtime::reflector;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::{
    context::Setup,
    uninstall::{Uninstalled, uninstall},
    watch::Watches,
};
use self::{
    context::{Context, Turn},
    key::ObjectKey,
    look::{Work, look},
    watch::{Stores, Wakes, apps::app_event, objects::objects, secrets::secrets, tokens::token_event},
};
use crate::workers::Workers;

/// Reconciles of tokens under way at most, in one namespace or in all: those that have a worker, and those that lent it while
/// they wait for Shopify. Each of these has a connection's memory.
const UNDER_WAY: usize = 1024;

/// How often it is looked who was woken for a worker and doesn't come.
const EXPIRY: Duration = Duration::from_secs(1);

/// Runs until `shutdown` is cancelled and the reconciles under way have ended.
///
/// # Errors
/// When a watch or controller ends by itself, which it never should.
pub async fn run(setup: Setup, shutdown: CancellationToken) -> anyhow::Result<()> {
    let scopes: Vec<Option<String>> =
        if setup.namespaces.is_empty() { vec![None] } else { setup.namespaces.iter().cloned().map(Some).collect() };
    let (mut stores, mut wakes, mut parts) = (Stores::default(), Wakes::default(), Vec::new());
    for scope in scopes {
        let (tokens, apps) = stores.add(scope.clone());
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
        move |tell| {
            let tokens: Vec<_> = visible.tokens().collect();
            tell(&tokens.iter().filter_map(|token| token.0.as_ref().ok()).collect::<Vec<_>>());
        },
        setup.clock.clone(),
    );
    let context = Context::until(shutdown.clone(), setup, stores, wakes);

    let mut watches = JoinSet::new();
    let workers = context.workers.clone();
    watches.spawn(Arc::clone(&context.events).in_background(move || workers.are_busy()));
    watches.spawn(passed_on(context.workers.clone()));
    watches.spawn(watch::time(Arc::clone(&context)));
    watches.spawn(watch::going::waiting(Arc::clone(&context)));
    watches.spawn(watch::history::history(Arc::clone(&context)));
    if let Some((kept, keeper)) = labels {
        watches.spawn(watch::namespaces::namespaces(Arc::clone(&context), kept, keeper));
    }
    let mut controllers = Vec::new();
    for (scope, tokens, apps, woken) in parts {
        let (of_tokens, of_apps) = (("ShopifyToken", tokens.clone()), ("ShopifyApp", apps.clone()));
        watches.spawn(secrets(Arc::clone(&context), scope.clone()));
        let (for_tokens, for_apps) = (Arc::clone(&woken.tokens), Arc::clone(&woken.apps));
        watches.spawn(objects(Arc::clone(&context), scope.clone(), of_tokens, for_tokens, token_event));
        watches.spawn(objects(Arc::clone(&context), scope, of_apps, for_apps, app_event));
        let (context, shutdown) = (&context, &shutdown);
        controllers.push(async move {
            let to_tokens = Work { reconcile: reconcile::reconcile, under_way: UNDER_WAY, on_missing: token_missing };
            // They ask nothing of Shopify, and take none of the tokens' workers.
            let under_way = context.setup.concurrency.max(1).into();
            let to_apps = Work { reconcile: app::reconcile, under_way, on_missing: |_, _| () };
            futures::join!(
                look(context, &woken.tokens, tokens, to_tokens, shutdown),
                look(context, &woken.apps, apps, to_apps, shutdown),
            )
        });
    }
    tokio::select! {
        biased;
        _ = join_all(controllers) => {}
        Some(ended) = watches.join_next() => anyhow::bail!("a watch ended by itself: {ended:?}"),
    }
    context.events.written().await;
    if shutdown.is_cancelled() { Ok(()) } else { anyhow::bail!("the controllers ended by themselves") }
}

/// Keeps no worker for those who were woken and don't come.
async fn passed_on(workers: Workers<ObjectKey, Turn>) {
    let mut ticks = tokio::time::interval(EXPIRY);
    loop {
        ticks.tick().await;
        workers.expire(std::time::Instant::now());
    }
}

/// A token that was woken isn't there any more: what was held for it is for others.
fn token_missing(context: &Context, token: &ObjectKey) {
    context.forget_waiting(token);
}
