//! Everything applied at once, in any order: never Stalled on the way, Ready in the end.

use std::collections::BTreeSet;

use futures::{TryStreamExt, future::join_all};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use crate::world::{CLIENT_ID, CLIENT_SECRET, World, condition};

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
