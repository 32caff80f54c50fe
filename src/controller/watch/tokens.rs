//! Whom an event of a token wakes: itself, its admin token, those that depend on it, and its app.

use std::sync::Arc;

use kube::{Resource, ResourceExt, runtime::watcher::Event};

use super::{
    apps::reference,
    objects::Look,
    store::{Held, Noted},
};
use crate::{
    api::{ShopifyApp, ShopifyToken},
    controller::{context::Context, key::ObjectKey},
    core::{
        condition::{find, is_rejected, obstacle},
        finalizer::{has_finalizer, keeps_issuer},
        vocabulary::{Reason, conditions},
    },
    kubernetes::Lenient,
};

/// Wakes the tokens whose admin token this is, the admin token whose user went, and the app concerned.
pub(in crate::controller) fn token_event(
    context: &Context,
    event: &Event<Held<ShopifyToken>>,
    Noted { moved, gone }: &Noted<ShopifyToken>,
) -> Look {
    for token in gone {
        token_went(context, token);
    }
    let (token, gone) = match event {
        Event::Apply(token) => (token, false),
        Event::Delete(token) => (token, true),
        Event::InitDone => {
            // All are looked at, and what was seen before the list isn't what they have seen.
            context.admins_seen.clear();
            if *moved {
                context.stores.apps().for_each(|app| context.count_soon(reference(&app)));
            }
            return Look::Told;
        }
        Event::Init | Event::InitApply(_) => return Look::Told,
    };
    let (namespace, name) = (token.namespace().unwrap_or_default(), token.name_any());
    let key = ObjectKey::new(&namespace, &name);
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
    if *moved {
        context.stores.apps_for(&namespace).iter().for_each(|app| context.count_soon(reference(app)));
    }
    let Ok(token) = &token.0 else { return Look::Soon };
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
        context.wakes.token(ObjectKey::new(&namespace, admin));
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
    Look::Soon
}

/// Nothing is kept for a token that isn't there any more.
fn token_went(context: &Context, token: &Lenient<ShopifyToken>) {
    let key = ObjectKey::of_object(token);
    context.forget(&key, &token.uid().unwrap_or_default());
    if let Ok(token) = &token.0 {
        context.setup.metrics.forget_storefront_tokens(key.namespace(), key.name(), &token.spec.shop);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        controller::{
            context::nowhere,
            watch::{Stores, Wakes, apps::app_event},
        },
        core::scene::healthy,
    };

    #[tokio::test]
    async fn an_event_looks_at_what_it_concerns_and_at_nothing_else() {
        let mut stores = Stores::default();
        let (tokens, apps) = stores.add(None);
        let context = Context::of_stores(nowhere(), stores);
        let token = |namespace: &str, name: &str, app: &str| -> ShopifyToken {
            let source = json!({"clientCredentials": {"appRef": {"name": app}}});
            let mut token = healthy(SourceKind::ClientCredentials, json!({"source": source})).token;
            (token.metadata.namespace, token.metadata.name) = (Some(namespace.into()), Some(name.into()));
            token
        };
        for n in 0..300 {
            let app = json!({"metadata": {"name": "acme", "namespace": format!("team-{n}")}, "spec": {"credentialsRef": {"name": "s"}}});
            apps.note(&Event::Apply(Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap())))));
            tokens.note(&Event::Apply(Arc::new(Lenient(Ok(token(&format!("team-{n}"), "web", "acme"))))));
            tokens.note(&Event::Apply(Arc::new(Lenient(Ok(token("team-7", &format!("web-{n}"), "other"))))));
        }
        for event in [Event::Apply, Event::Delete] {
            let event = event(Arc::new(Lenient(Ok(token("team-7", "web", "acme")))));
            token_event(&context, &event, &tokens.note(&event));
            assert!(tokens.shown() <= 2 && apps.shown() <= 2);
        }
        let (of_apps, of_tokens) = context.stores.dependents_of_secret("team-8", "s");
        assert_eq!((of_apps.len(), of_tokens.len()), (1, 1));
        assert!(tokens.shown() <= 3 && apps.shown() <= 1);
    }

    #[tokio::test]
    async fn a_new_token_counts_for_the_app_that_it_names_and_one_that_moves_for_all_it_may_have_named() {
        let mut stores = Stores::default();
        let (tokens, apps) = stores.add(None);
        let context = Context::of_stores(nowhere(), stores);
        for name in ["a", "b", "c"] {
            let app =
                json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"credentialsRef": {"name": "s"}}});
            let event = Event::Apply(Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap()))));
            app_event(&context, &event, &apps.note(&event));
        }
        let counts = |app: &str, generation: i64| {
            let source = json!({"clientCredentials": {"appRef": {"name": app}}});
            let mut token = healthy(SourceKind::ClientCredentials, json!({"source": source})).token;
            token.metadata.generation = Some(generation);
            let event = Event::Apply(Arc::new(Lenient(Ok(token))));
            token_event(&context, &event, &tokens.note(&event));
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
            token_event(&context, &event, &tokens.note(&event));
        }
        assert_eq!(context.counting.keys().len(), 3, "which ones those named that went meanwhile no event tells");
    }

    #[tokio::test]
    async fn what_of_an_admin_token_concerns_others_wakes_them_and_nothing_else_does() {
        let (mut stores, mut wakes) = (Stores::default(), Wakes::default());
        let (tokens, _) = stores.add(None);
        let woken = wakes.route(None).tokens;
        let context = Context::of_parts(nowhere(), stores, wakes);
        let tell = |event: Event<Held<ShopifyToken>>| {
            token_event(&context, &event, &tokens.note(&event));
            woken.empty().into_iter().map(|token| token.name().to_owned()).collect::<Vec<_>>()
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
