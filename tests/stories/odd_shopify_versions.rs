//! API versions that Shopify doesn't serve yet, and such as it has retired.

use chrono::TimeDelta;
use serde_json::json;
use shopify_token_operator::api::ShopifyToken;

use crate::{
    specs::{client_credentials, custom, storefront, with},
    world::{World, message, revision},
};

/// `acme` asks for this API version, over that API.
async fn ask_for(world: &World, version: &str, api: &str) {
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "apiVersion": version, "adminApi": api});
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
}

/// What a Secret says of the version: the key, what the record says of it, and what was asked for.
async fn versions(world: &World, name: &str) -> [Option<String>; 3] {
    let secret = world.secret(name).await.unwrap();
    let of = |name| secret.record(name).map(str::to_owned);
    [secret.data.get("api_version").cloned(), of("api-version"), of("asked-api-version")]
}

fn named(served: &str, asked: Option<&str>) -> [Option<String>; 3] {
    [Some(served.to_owned()), Some(served.to_owned()), asked.map(str::to_owned)]
}

/// A request to look now, and that it was acted upon.
async fn verify(world: &World, name: &str) {
    let wish = world.clock.now().to_rfc3339();
    world.change(name, json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": &wish}}})).await;
    let seen =
        |t: &ShopifyToken| t.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some(wish.as_str());
    world.until(name, "looked at", seen).await;
}

async fn warnings(world: &World, name: &str) -> Vec<String> {
    let news = world.news(name).await.into_iter();
    news.filter(|event| event.type_.as_deref() == Some("Warning")).map(|event| event.note.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_to_come_is_named_and_lets_no_deletion_leak() {
    for api in ["GraphQL", "REST"] {
        let world = World::with_storefront("versions-future", json!({})).await;
        ask_for(&world, "2030-01", api).await;
        world.storefront("new", json!({})).await;
        for token in [world.because("new", "Stalled", "UnknownApiVersion").await, {
            world.delete("web").await;
            world.because("web", "Stalled", "UnknownApiVersion").await
        }] {
            let told = message(&token, "Stalled");
            assert!(told.contains("spec.apiVersion of the ShopifyApp") && told.contains("\"2030-01\""), "{told}");
        }
        world.a_while().await;
        assert_eq!(world.live().len(), 1, "{api}");

        // Corrected, all goes on at once.
        ask_for(&world, "2026-10", api).await;
        world.ready("new").await;
        world.gone("web").await;
        assert_eq!(world.live().len(), 1, "{api}: the new one");
        // Told once the object has gone.
        let last = async || world.news("web").await.pop().unwrap().note.unwrap();
        world.eventually("the revocation is told", async || last().await.contains("revoked")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_that_is_served_is_published_and_said_once() {
    for api in ["GraphQL", "REST"] {
        let mut world = World::with_app("versions-past").await;
        ask_for(&world, "2024-01", api).await;
        let rotation = json!({"rotation": {"trigger": "1"}});
        world.token("admin", client_credentials()).await;
        world.ready("admin").await;
        world.token("web", with(storefront(), rotation)).await;
        world.ready("web").await;
        // The token endpoint has no version: it shows when the Admin API is asked.
        assert_eq!(versions(&world, "admin").await, named("2024-01", None));
        assert_eq!(versions(&world, "web").await, named("2026-01", Some("2024-01")));
        verify(&world, "admin").await;
        for name in ["admin", "web"] {
            assert_eq!(versions(&world, name).await, named("2026-01", Some("2024-01")), "{name}");
            world.eventually("told", async || !warnings(&world, name).await.is_empty()).await;
        }

        // From here on it is no news: not to a verification, a renewal, a rotation, a restart.
        world.a_while().await;
        let (written, calls) = (world.writes().len(), world.sim.total_calls());
        world.stop().await;
        world.start().await;
        world.a_while().await;
        assert_eq!(world.writes()[written..], [""; 0], "{api}");
        assert_eq!(world.sim.total_calls(), calls, "{api}");
        let before = world.secret("web").await.unwrap().version;
        verify(&world, "web").await;
        assert_eq!(world.secret("web").await.unwrap().version, before, "{api}");
        world.pass(TimeDelta::hours(17));
        world.until("admin", "renewed", |t| revision(t) == 2).await;
        world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
        world.until("web", "rotated", |t| revision(t) == 2).await;
        world.a_while().await;
        for name in ["admin", "web"] {
            assert_eq!(versions(&world, name).await, named("2026-01", Some("2024-01")), "{api} {name}");
            let [told] = &warnings(&world, name).await[..] else { panic!("{name} was told more than once") };
            assert!(told.contains("2026-01 in place of 2024-01") && told.contains("spec.apiVersion"), "{told}");
        }

        // Another one is asked for.
        ask_for(&world, "2026-07", api).await;
        for name in ["admin", "web"] {
            world.eventually("the version", async || versions(&world, name).await == named("2026-07", None)).await;
            verify(&world, name).await;
            assert_eq!(versions(&world, name).await, named("2026-07", None), "{api} {name}");
            assert_eq!(warnings(&world, name).await.len(), 1, "{api} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_retired_later_is_noticed_without_an_app() {
    let world = World::with_app("versions-retired").await;
    world.hand_in().await;
    world.token("shop", custom()).await;
    world.ready("shop").await;
    assert_eq!(versions(&world, "shop").await, named("2026-10", None));
    world.sim.set_api_versions(["2027-04", "2027-07"]);
    verify(&world, "shop").await;
    assert_eq!(versions(&world, "shop").await, named("2027-04", Some("2026-10")));
    world.eventually("told", async || warnings(&world, "shop").await.len() == 1).await;
    verify(&world, "shop").await;
    assert_eq!(versions(&world, "shop").await, named("2027-04", Some("2026-10")));
    assert_eq!(warnings(&world, "shop").await.len(), 1);
    world.sim.set_api_versions(["2027-07"]);
    verify(&world, "shop").await;
    assert_eq!(versions(&world, "shop").await, named("2027-07", Some("2026-10")));
}
