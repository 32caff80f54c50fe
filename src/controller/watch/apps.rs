//! Whom an event of an app wakes: its tokens, and itself.

use kube::{
    Resource, ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};

use super::{
    objects::Look,
    store::{Held, Noted},
};
use crate::{
    api::ShopifyApp,
    controller::{context::Context, key::ObjectKey},
    kubernetes::Lenient,
};

/// Wakes the tokens that use an app, and has it looked at, when more of it has changed than what it says of itself. That alone is mostly
/// what its own look has written, and the answer may come after the event: it is counted soon, for each look while tokens are issued writes
/// another.
pub(in crate::controller) fn app_event(
    context: &Context,
    event: &Event<Held<ShopifyApp>>,
    Noted { gone, .. }: &Noted<ShopifyApp>,
) -> Look {
    for app in gone {
        app_went(context, app);
    }
    match event {
        Event::Apply(app) => match app_is(context, app) {
            _ if context.is_own_write(&**app) => {}
            Changed::Wanted => return Look::Soon,
            Changed::Said => context.count_soon(reference(app)),
        },
        Event::Delete(app) => app_went(context, app),
        // A list counts once the store has taken it over.
        Event::InitDone => context.stores.apps().for_each(|app| {
            app_is(context, &app);
        }),
        Event::Init | Event::InitApply(_) => {}
    }
    Look::Told
}

/// What may have changed of an app that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Changed {
    /// Something that it or its tokens go by, or it is new.
    Wanted,
    /// Its status, its labels or its annotations, by which nobody goes.
    Said,
}

fn app_is(context: &Context, app: &Lenient<ShopifyApp>) -> Changed {
    let meta = app.meta();
    // Its tokens wait until it speaks of their client secret.
    let judged = app.0.as_ref().ok().and_then(|app| app.status.as_ref()?.client_secret.as_ref());
    let state = format!("{:?} {:?} {:?} {judged:?}", meta.uid, meta.generation, meta.finalizers);
    let key = ObjectKey::of_object(app);
    if context.apps_seen.put(key.clone(), state.clone()) != Some(state) {
        let (namespace, name) = key.parts();
        context.stores.dependents_of_app(namespace, name).into_iter().for_each(|token| context.wakes.token(token));
        return Changed::Wanted;
    }
    Changed::Said
}

fn app_went(context: &Context, app: &Lenient<ShopifyApp>) {
    let (key, uid) = (ObjectKey::of_object(app), app.uid().unwrap_or_default());
    let (namespace, name) = key.parts();
    context.freed.notify_one();
    context.forget_refusals(&uid);
    context.errors.remove(&reference(app).to_string());
    context.apps_seen.remove(&key);
    context.schedules.remove(&key.to_string());
    context.judged.remove(&uid);
    context.own_versions.remove(&uid);
    context.stores.dependents_of_app(namespace, name).into_iter().for_each(|token| context.wakes.token(token));
}

pub(super) fn reference(app: &Lenient<ShopifyApp>) -> ObjectRef<ShopifyApp> {
    ObjectRef::new(&app.name_any()).within(&app.namespace().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        controller::{
            context::nowhere,
            watch::{Stores, Wakes},
        },
        core::scene::healthy,
    };

    #[tokio::test]
    async fn a_list_of_apps_counts_once_it_is_over_and_what_it_leaves_out_is_gone() {
        let (mut stores, mut wakes) = (Stores::default(), Wakes::default());
        let (tokens, apps) = stores.add(None);
        let woken = wakes.route(None).tokens;
        let context = Context::of_parts(nowhere(), stores, wakes);
        let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
        let token = healthy(SourceKind::ClientCredentials, json!({"source": source})).token;
        tokens.note(&Event::Apply(Arc::new(Lenient(Ok(token)))));
        let app = |generation: i64| {
            let metadata = json!({"name": "acme", "namespace": "shop", "uid": "0a1b", "generation": generation});
            let app = json!({"metadata": metadata, "spec": {"credentialsRef": {"name": "s"}}});
            Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap())))
        };
        let wakes = |event| {
            app_event(&context, &event, &apps.note(&event));
            woken.empty().into_iter().map(|token| token.name().to_owned()).collect::<Vec<_>>()
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
    async fn a_status_alone_is_no_reason_to_count_an_app_anew_at_once() {
        let mut stores = Stores::default();
        let (_, apps) = stores.add(None);
        let context = Context::of_stores(nowhere(), stores);
        let look = |version: &str, generation: i64, total: i64, hash: &str| {
            let app = json!({
                "metadata": {"name": "acme", "namespace": "shop", "uid": "0a1b", "resourceVersion": version, "generation": generation},
                "spec": {"credentialsRef": {"name": "s"}},
                "status": {"tokens": {"total": total}, "clientSecret": {"hash": hash}},
            });
            let event = Event::Apply(Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap()))));
            let look = app_event(&context, &event, &apps.note(&event));
            (look, context.counting.keys().len())
        };
        assert_eq!(look("1", 1, 0, "a"), (Look::Soon, 0), "it is new");
        context.own_versions.put("0a1b".to_owned(), (2, Some(1)));
        assert_eq!(look("2", 1, 1, "b"), (Look::Told, 0), "its own look has written it");
        assert_eq!(look("3", 1, 2, "b"), (Look::Told, 1), "or that isn't known yet");
        assert_eq!(look("4", 1, 2, "c").0, Look::Soon, "its tokens go by that");
        assert_eq!(look("5", 2, 2, "c").0, Look::Soon, "somebody has changed what is wanted");
    }
}
