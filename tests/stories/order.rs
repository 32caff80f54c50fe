//! Everything applied at once, in any order: never Stalled on the way, without a Warning, Ready in the end.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use futures::{TryStreamExt, future::join_all};
use k8s_openapi::api::events::v1::Event;
use kube::{
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

use crate::world::{CLIENT_ID, CLIENT_SECRET, World, condition, message};

async fn apply(world: &World, what: &str) {
    match what {
        "secret" => world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await,
        "app" => {
            let spec = json!({"credentialsRef": {"name": "acme-app"}});
            world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
        }
        "admin" => world.admin_token("admin").await,
        _ => world.storefront("web", json!({})).await,
    }
}

/// Every reason that a token was Stalled for, as pipelines see it.
async fn stalled(world: &World) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut changes = Box::pin(watcher(world.tokens(), watcher::Config::default()).applied_objects());
    while let Some(token) = changes.try_next().await.unwrap() {
        let stalled = condition(&token, "Stalled");
        seen.extend(stalled.map(|(_, reason)| reason));
        // Ready is said after all that came before.
        if token.metadata.name.as_deref() == Some("web") && condition(&token, "Ready").is_some_and(|c| c.0 == "True") {
            break;
        }
    }
    seen
}

/// The Warnings of the namespace: of what, and the reason of its condition.
async fn warnings(world: &World) -> BTreeSet<(String, String)> {
    let events = world.api::<Event>().list(&ListParams::default()).await.unwrap();
    let warnings = events.items.into_iter().filter(|e| e.type_.as_deref() == Some("Warning"));
    warnings.map(|e| (e.regarding.unwrap().name.unwrap(), e.action.unwrap())).collect()
}

async fn ends_ready(order: [&str; 4]) {
    let mut world = World::new("order").await;
    world.start().await;
    let (seen, ()) = tokio::join!(stalled(&world), async {
        for what in order {
            apply(&world, what).await;
        }
        world.ready("web").await;
    });
    assert_eq!(seen, BTreeSet::new(), "{order:?}");
    world.ready("admin").await;
    world.ready_app("acme").await;
    assert_eq!(warnings(&world).await, BTreeSet::new(), "{order:?}");
    assert_eq!(world.live().len(), 1, "{order:?}");
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1, "{order:?}");
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 1, "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_any_order() {
    let orders = [
        ["secret", "app", "admin", "web"],
        ["web", "admin", "app", "secret"],
        ["app", "web", "secret", "admin"],
        ["admin", "secret", "web", "app"],
        ["web", "secret", "admin", "app"],
        ["app", "admin", "web", "secret"],
    ];
    join_all(orders.map(ends_ready)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_there_before_the_operator() {
    let mut world = World::new("order-late").await;
    for what in ["web", "admin", "app", "secret"] {
        apply(&world, what).await;
    }
    world.start().await;
    assert_eq!(stalled(&world).await, BTreeSet::new());
    world.ready("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_within_seconds_is_no_warning() {
    let mut world = World::new("order-grace").await;
    world.start().await;
    for (what, waits_for) in [("web", "AdminTokenNotReady"), ("admin", "AppNotFound"), ("app", ""), ("secret", "")] {
        apply(&world, what).await;
        if !waits_for.is_empty() {
            world.because(what, "Reconciling", waits_for).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.ready("web").await;
    world.pass(TimeDelta::seconds(15));
    world.a_while().await;
    assert_eq!(warnings(&world).await, BTreeSet::new());
    world.told("web", &["Issued"]).await;
    world.told("admin", &["Issued"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_is_a_warning_and_one_only() {
    let mut world = World::new("order-warning").await;
    world.start().await;
    for what in ["web", "admin", "app"] {
        apply(&world, what).await;
    }
    world.because("web", "Reconciling", "AdminTokenNotReady").await;
    let admin = world.because("admin", "Reconciling", "CredentialsMissing").await;
    assert!(message(&admin, "Reconciling").ends_with("; a warning follows if that lasts"), "{admin:?}");
    // Another process knows what wasn't told.
    world.stop().await;
    assert_eq!(warnings(&world).await, BTreeSet::new());
    world.start().await;
    world.pass(TimeDelta::seconds(10));
    let warning = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    let expected = BTreeSet::from([warning("admin", "CredentialsMissing"), warning("web", "AdminTokenNotReady")]);
    world.eventually("warned", async || warnings(&world).await == expected).await;
    world.until("admin", "told", |t| !message(t, "Reconciling").contains("a warning follows")).await;
    // And what was.
    world.stop().await;
    world.start().await;
    world.pass(TimeDelta::minutes(8));
    for name in ["web", "admin"] {
        world.nudge(name).await;
    }
    world.a_while().await;
    world.told("web", &["IssueFailed"]).await;
    world.told("admin", &["IssueFailed"]).await;
    apply(&world, "secret").await;
    world.ready("web").await;
}

/// Nothing happens at the moment at which the grace is over: the token is looked at for that.
#[tokio::test(flavor = "multi_thread")]
async fn the_warning_comes_by_itself() {
    let mut world = World::new("order-wake").await;
    world.start().await;
    apply(&world, "web").await;
    world.because("web", "Reconciling", "AdminTokenNotReady").await;
    world.told("web", &["IssueFailed"]).await;
    let event = world.news("web").await.remove(0);
    let created = world.tokens().get("web").await.unwrap().metadata.creation_timestamp.unwrap();
    let seconds = event.event_time.unwrap().0.as_second() - created.0.as_second();
    assert!((9..=13).contains(&seconds), "{seconds} s after it was applied");
    assert!(event.note.unwrap().ends_with("it goes on as soon as it is"), "the note is whole, and that alone");
}
