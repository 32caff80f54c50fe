//! Connections that end in good order, and answers that a proxy has packed: nobody has to hear of them.

use serde_json::json;
use shopify_sim::{Fault, FaultKind};

use crate::world::World;

/// What happened to a token, none of it a Warning.
async fn without_a_warning(world: &World, name: &str, reasons: &[&str]) {
    world.told(name, reasons).await;
    for event in world.news(name).await {
        assert_eq!(event.type_.as_deref(), Some("Normal"), "{:?}: {:?}", event.reason, event.note);
    }
}

/// The first call of each kind is told that nothing of it was begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_begun_is_repeated_at_once() {
    const CALLS: [&str; 4] = [
        "oauth.clientCredentials",
        "admin.storefrontAccessTokens",
        "admin.storefrontAccessTokenCreate",
        "admin.storefrontAccessTokenDelete",
    ];
    for kind in [FaultKind::RefusedStream, FaultKind::GoAway] {
        let world = World::with_app("transport-refused").await;
        for call in CALLS {
            world.sim.inject(Fault::new(call, kind.clone()).times(2));
        }
        world.admin_token("admin").await;
        world.ready("admin").await;
        world.storefront("web", json!({})).await;
        let web = world.ready("web").await;
        assert_eq!(web.status.unwrap().failed_attempts, None);
        assert_eq!(world.live().len(), 1);
        without_a_warning(&world, "admin", &["Issued"]).await;
        without_a_warning(&world, "web", &["Issued"]).await;
        world.delete("web").await;
        world.gone("web").await;
        assert!(world.live().is_empty());
        without_a_warning(&world, "web", &["Issued", "Revoked"]).await;
        for call in CALLS {
            assert!(world.sim.calls(call) >= 3, "{call} was struck");
        }
    }
}

/// An end is an end all the same: it is retried later, and nothing is made twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_begins_is_not_asked_for_ever() {
    let world = World::with_app("transport-never").await;
    world.sim.inject(Fault::new("oauth.clientCredentials", FaultKind::RefusedStream));
    world.sim.mark();
    world.admin_token("admin").await;
    world.because("admin", "Reconciling", "BackingOff").await;
    assert_eq!(world.sim.calls_since_mark(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_and_byte_order_marks_are_read() {
    for kind in [FaultKind::Gzip, FaultKind::Bom] {
        let world = World::with_app("transport-packed").await;
        world.sim.inject(Fault::new("*", kind.clone()));
        world.admin_token("admin").await;
        world.ready("admin").await;
        world.storefront("web", json!({})).await;
        world.ready("web").await;
        world.delete("web").await;
        world.gone("web").await;
        assert!(world.live().is_empty());
        without_a_warning(&world, "web", &["Issued", "Revoked"]).await;
    }
}
