//! What nothing costs nothing, and what a first issue and a renewal cost.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::json;
use shopify_token_operator::api::ShopifyApp;

use crate::{
    counts::since,
    specs::{client_credentials, custom, storefront, with},
    world::{World, revision},
};

const TOKENS: [&str; 3] = ["cc", "sf", "custom"];

/// A world with a Ready token of each source.
async fn three(name: &str) -> World {
    let world = World::with_custom_admin(name).await;
    let rotation = json!({"rotation": {"overlap": "24h", "trigger": "1"}});
    for (name, spec) in [("cc", client_credentials()), ("sf", with(storefront(), rotation)), ("custom", custom())] {
        world.token(name, spec).await;
        world.ready(name).await;
    }
    world
}

#[allow(clippy::print_stdout, reason = "numbers for people, shown by --nocapture")]
fn print(what: &str, requests: &BTreeMap<String, u64>) {
    println!("{what}: {} requests to Kubernetes", requests.values().sum::<u64>());
    for (labels, count) in requests {
        println!("  {count} {labels}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn label_and_annotation_edits_call_nobody() {
    let world = three("quiet-edits").await;
    world.a_while().await;
    let (calls, writes) = (world.sim.total_calls(), world.writes().len());
    for name in TOKENS {
        let metadata = json!({"metadata": {
            "labels": {"argocd.argoproj.io/instance": "shop", "team": "web"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "example.com/a": "b"},
        }});
        world.change(name, metadata).await;
        world.change(name, json!({"metadata": {"labels": {"team": null}}})).await;
    }
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls);
    assert_eq!(world.writes()[writes..], [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_healthy_tokens_calls_and_writes_nothing() {
    let mut world = three("quiet-restart").await;
    // One in an overlap, too.
    world.change("sf", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("sf", "rotated", |t| revision(t) == 2).await;
    world.a_while().await;
    world.stop().await;
    let (calls, writes, reconciles) = (world.sim.total_calls(), world.writes().len(), world.reconciles());
    world.start().await;
    world.eventually("all are looked at", async || world.reconciles() >= reconciles + 4).await;
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls);
    assert_eq!(world.writes()[writes..], [""; 0]);
    for name in TOKENS {
        world.ready(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_of_a_first_issue_and_of_a_renewal() {
    let world = World::with_app("quiet-price").await;
    world.a_while().await;
    let (requests, reconciles, writes) = (world.requests(), world.reconciles(), world.writes().len());
    world.token("web", with(client_credentials(), json!({"verifyInterval": "0s"}))).await;
    world.ready("web").await;
    world.a_while().await;
    print("first issue", &since(&requests, world.requests()));
    assert!(world.reconciles() - reconciles <= 3, "{}", world.reconciles() - reconciles);
    // The Secret, two status (of the token, and of the app that counts it), the event.
    assert_eq!(world.writes()[writes..].len(), 4, "{:?}", &world.writes()[writes..]);

    let (requests, reconciles, writes) = (world.requests(), world.reconciles(), world.writes().len());
    world.pass(TimeDelta::hours(16));
    world.until("web", "renewed", |t| revision(t) == 2).await;
    world.a_while().await;
    print("renewal", &since(&requests, world.requests()));
    assert!(world.reconciles() - reconciles <= 2, "{}", world.reconciles() - reconciles);
    let mut written = world.writes()[writes..].to_vec();
    written.iter_mut().filter(|w| w.contains(" events/")).for_each(|w| "event".clone_into(w));
    assert_eq!(written, ["update secrets/web/ 200", "patch shopifytokens/web/status 200", "event"]);
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);
    assert_eq!(world.sim.total_calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_of_an_app_wakes_no_other_one() {
    let world = three("quiet-new").await;
    world.a_while().await;
    let reconciles = world.reconciles();
    world.token("new", client_credentials()).await;
    world.ready("new").await;
    let app = world.api::<ShopifyApp>().get("acme").await.unwrap();
    assert_eq!(app.status.unwrap().tokens.unwrap().total, 2, "cc and the new one");
    world.a_while().await;
    assert!(world.reconciles() - reconciles <= 3, "{}", world.reconciles() - reconciles);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_of_a_rotation_and_of_the_end_of_its_overlap() {
    let world = World::with_custom_admin("quiet-rotation").await;
    let rotation = json!({"rotation": {"interval": "24h", "overlap": "2h"}, "verifyInterval": "0s"});
    world.token("web", with(storefront(), rotation)).await;
    world.ready("web").await;
    // The end of an overlap writes the Secret twice: what is being revoked, then that it is gone.
    for (hours, revoked, written) in [(24, 0, 3), (2, 1, 4)] {
        world.a_while().await;
        let (requests, reconciles, writes) = (world.requests(), world.reconciles(), world.writes().len());
        world.pass(TimeDelta::hours(hours));
        world.eventually("done", async || world.sim.calls("admin.storefrontAccessTokenDelete") == revoked).await;
        world.until("web", "rotated", |t| revision(t) == 2).await;
        world.a_while().await;
        print(if revoked == 0 { "rotation" } else { "end of an overlap" }, &since(&requests, world.requests()));
        // The admin token is looked at too when the clock jumps.
        assert!(world.reconciles() - reconciles <= 3, "{}", world.reconciles() - reconciles);
        assert_eq!(world.writes()[writes..].len(), written, "{:?}", &world.writes()[writes..]);
    }
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2);
}
