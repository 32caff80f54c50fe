//! Whom an event wakes: every dependency that appears, changes or goes is noticed by a watch. Here is what all watches share,
//! and the clock, which wakes too.

pub(super) mod apps;
pub(super) mod going;
pub(super) mod health;
pub(super) mod history;
pub(super) mod holdings;
pub(super) mod namespaces;
pub(super) mod objects;
pub(super) mod presence;
pub(super) mod relations;
pub(super) mod secrets;
pub(super) mod store;
pub(super) mod stores;
pub(super) mod streams;
pub(super) mod tokens;
pub(super) mod wake;

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, Resource, core::NamespaceResourceScope, runtime::watcher};

pub use self::{
    health::Watches,
    stores::Stores,
    wake::{Objects, Wakes},
};
use super::context::Context;

/// How far the time of day may run away from the monotonic clock before everything is looked at again.
const JUMP: chrono::TimeDelta = chrono::TimeDelta::seconds(2);

/// Takes out what `kubectl apply` keeps beside the object: all of it, once more.
pub(in crate::controller) fn prune<K: Resource>(object: &mut K) {
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
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
