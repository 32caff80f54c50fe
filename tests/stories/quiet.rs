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

/// How many reconciles something costs. What comes in one go is looked at twice on a busy machine: the cheapest of
/// three counts.
async fn reconciles(world: &World, something: impl AsyncFn(usize)) -> u64 {
    let mut cheapest = u64::MAX;
    for n in 0..3 {
        world.a_while().await;
        let before = world.reconciles();
        something(n).await;
        world.a_while().await;
        cheapest = cheapest.min(world.reconciles() - before);
    }
    cheapest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_of_a_first_issue_and_of_a_renewal() {
    let world = World::with_app("quiet-price").await;
    let issues = reconciles(&world, async |n| {
        let (name, requests, writes) = (format!("web-{n}"), world.requests(), world.writes().len());
        world.token(&name, with(client_credentials(), json!({"verifyInterval": "0s"}))).await;
        world.ready(&name).await;
        world.a_while().await;
        print("first issue", &since(&requests, world.requests()));
        // The Secret, two status (of the token, and of the app that counts it), the event.
        assert_eq!(world.writes()[writes..].len(), 4, "{:?}", &world.writes()[writes..]);
    });
    let issues = issues.await;
    assert!(issues <= 3, "{issues}");

    for name in ["web-0", "web-1"] {
        world.delete(name).await;
        world.gone(name).await;
    }
    let calls = world.sim.total_calls();
    let renewals = reconciles(&world, async |n| {
        let (requests, writes) = (world.requests(), world.writes().len());
        world.pass(TimeDelta::hours(16));
        world.until("web-2", "renewed", |t| revision(t) == 2 + i64::try_from(n).unwrap()).await;
        world.a_while().await;
        print("renewal", &since(&requests, world.requests()));
        let mut written = world.writes()[writes..].to_vec();
        written.iter_mut().filter(|w| w.contains(" events/")).for_each(|w| "event".clone_into(w));
        assert_eq!(written, ["update secrets/web-2/ 200", "patch shopifytokens/web-2/status 200", "event"]);
    });
    let renewals = renewals.await;
    assert!(renewals <= 2, "{renewals}");
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 6);
    assert_eq!(world.sim.total_calls(), calls + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_of_an_app_wakes_no_other_one() {
    let world = three("quiet-new").await;
    let woken = reconciles(&world, async |n| {
        let name = format!("new-{n}");
        world.token(&name, client_credentials()).await;
        world.ready(&name).await;
        let counted = async || {
            let app = world.api::<ShopifyApp>().get("acme").await.unwrap();
            usize::try_from(app.status.unwrap().tokens.unwrap().total).unwrap() == 2 + n
        };
        world.eventually("cc and the new ones are counted", counted).await;
    });
    let woken = woken.await;
    assert!(woken <= 3, "{woken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_of_a_rotation_and_of_the_end_of_its_overlap() {
    let world = World::with_custom_admin("quiet-rotation").await;
    let rotation = json!({"rotation": {"interval": "24h", "overlap": "2h"}, "verifyInterval": "0s"});
    world.token("web", with(storefront(), rotation)).await;
    world.ready("web").await;
    // The end of an overlap writes the Secret twice: what is being revoked, then that it is gone.
    let mut cheapest = [u64::MAX; 2];
    for round in 0..3_u64 {
        for (end, (hours, written)) in [(22, 3), (2, 4)].into_iter().enumerate() {
            world.a_while().await;
            let (requests, reconciles, writes) = (world.requests(), world.reconciles(), world.writes().len());
            // The first rotation is due a whole interval after the issue.
            world.pass(TimeDelta::hours(if round == 0 && end == 0 { 24 } else { hours }));
            let revoked = round + end as u64;
            world.eventually("done", async || world.sim.calls("admin.storefrontAccessTokenDelete") == revoked).await;
            world.until("web", "rotated", |t| revision(t) == 2 + i64::try_from(round).unwrap()).await;
            world.a_while().await;
            print(if end == 0 { "rotation" } else { "end of an overlap" }, &since(&requests, world.requests()));
            assert_eq!(world.writes()[writes..].len(), written, "{:?}", &world.writes()[writes..]);
            cheapest[end] = cheapest[end].min(world.reconciles() - reconciles);
        }
    }
    // The admin token is looked at too when the clock jumps.
    assert!(cheapest.iter().all(|reconciles| *reconciles <= 3), "{cheapest:?}");
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 4);
}
