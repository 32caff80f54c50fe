//! Many tokens: one issue call for each revision, and no shop waits for another.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::ListParams};
use serde_json::json;
use shopify_sim::{AppConfig, Fault, FaultKind, ShopConfig};
use tokio::time::sleep;

use crate::{
    audit,
    operator::{ALONE, Operator},
    world::{SCOPES, World},
};

const SHOPS: usize = 10;
const APPS: usize = 5;
const LIMIT: Duration = Duration::from_mins(1);

fn shop(n: usize) -> String {
    format!("shop-{n}.myshopify.com")
}

/// `APPS` apps on each of `shops` shops.
async fn world(name: &str, shops: usize) -> World {
    let world = World::new(name).await;
    for n in 0..shops {
        world.sim.add_shop(ShopConfig::new(shop(n)));
    }
    for n in 0..APPS {
        let (id, secret) = (format!("{n:032}"), format!("shpss_canaryc0ffee{n}"));
        let installed = |app: AppConfig, n| app.installed(shop(n), SCOPES.iter().copied());
        world.sim.add_app((0..shops).fold(AppConfig::new(&id, &secret), installed)).unwrap();
        world.secret_of(&format!("app-{n}"), &[("client_id", &id), ("client_secret", &secret)]).await;
        let spec = json!({"credentialsRef": {"name": format!("app-{n}")}});
        world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": format!("app-{n}")}, "spec": spec})).await;
    }
    world
}

async fn apply(world: &World, tokens: usize, shop: impl Fn(usize) -> String) {
    let all = stream::iter(0..tokens).map(|n| {
        let spec = json!({
            "shop": shop(n),
            "source": {"clientCredentials": {"appRef": {"name": format!("app-{}", n % APPS)}}},
        });
        async move { world.token(&format!("t-{n}"), spec).await }
    });
    all.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// How many tokens are Ready with each revision.
async fn revisions(world: &World) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for token in world.tokens().list(&ListParams::default()).await.unwrap() {
        if crate::world::condition(&token, "Ready").is_some_and(|(status, _)| status == "True") {
            *counts.entry(token.status.unwrap().revision.unwrap()).or_default() += 1;
        }
    }
    counts
}

async fn reached(world: &World, revision: i64, tokens: usize) -> Duration {
    let started = Instant::now();
    loop {
        let counts = revisions(world).await;
        let there: usize = counts.range(revision..).map(|(_, count)| *count).sum();
        if there == tokens {
            return started.elapsed();
        }
        assert!(started.elapsed() < LIMIT, "{there} of {tokens} have revision {revision} after {LIMIT:?}: {counts:?}");
        sleep(Duration::from_millis(250)).await;
    }
}

/// Revisions that the Secrets stand for: what Shopify may have been asked for.
async fn issued(world: &World) -> u64 {
    let secrets = world.api::<Secret>().list(&ListParams::default()).await.unwrap();
    let revision = |s: &Secret| s.annotations().get("tokens.shopify-operator.dev/revision").map(|r| r.parse::<u64>());
    secrets.iter().filter_map(revision).map(Result::unwrap).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_for_each_revision_of_five_hundred() {
    const TOKENS: usize = 500;
    let world = world("scale", SHOPS).await;
    // Renewed after two thirds, less a jitter.
    for n in 0..APPS {
        world.sim.set_token_lifetime(&format!("{n:032}"), Duration::from_secs(45)).unwrap();
    }
    let operator = Operator::start(&world, &["--concurrency=50", ALONE]).await;
    let (started, mark) = (Instant::now(), audit::mark(world.cluster));
    apply(&world, TOKENS, |n| shop((n / APPS) % SHOPS)).await;
    let applied = started.elapsed();
    reached(&world, 1, TOKENS).await;
    let ready = started.elapsed();
    let (calls, revisions) = (world.sim.calls("oauth.clientCredentials"), issued(&world).await);
    tell(&format!(
        "{TOKENS} tokens on {SHOPS} shops: applied in {applied:.1?}, all Ready after {ready:.1?} ({:.0}/s), {calls} calls, {revisions} revisions",
        500.0 / ready.as_secs_f64(),
    ));
    for n in 0..APPS {
        world.sim.set_token_lifetime(&format!("{n:032}"), Duration::from_hours(24)).unwrap();
    }
    let renewed = reached(&world, 2, TOKENS).await;
    world.a_while().await;
    let (calls, revisions) = (world.sim.calls("oauth.clientCredentials"), issued(&world).await);
    tell(&format!("all renewed {renewed:.1?} later: {calls} calls, {revisions} revisions"));
    assert_eq!(calls, revisions, "issue calls per revision = 1.00");
    let requests = audit::in_namespace(world.cluster, &world.namespace, mark);
    let of_apps = |r: &&audit::Request| r.resource.contains("shopifyapps");
    let writes = requests.iter().filter(|r| r.writes() && !of_apps(r)).count();
    let reconciles = operator.metric("controller_reconciles_total", &[r#"kind="ShopifyToken""#]).await;
    tell(&format!("{writes} writes, {} reads, {reconciles} reconciles", requests.len() - writes));
    assert!(writes as u64 <= 3 * revisions, "Secret, status, event: {writes} writes");
    operator.stop().await;
}

/// With one worker: were it held by a call that hangs, each of the shops would take a timeout, altogether more than `LIMIT`.
#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_shop_delays_nobody_else() {
    const TOKENS: usize = 80;
    let world = world("hang", SHOPS + 1).await;
    for n in 0..SHOPS {
        world.sim.inject(Fault::new("*", FaultKind::Hang).shop(shop(n)));
    }
    let _operator = Operator::start(&world, &["--concurrency=1", ALONE]).await;
    // All of the hanging shops' come first.
    apply(&world, TOKENS, |n| shop(if n < TOKENS / 2 { n % SHOPS } else { SHOPS })).await;
    reached(&world, 1, TOKENS / 2).await;
    assert_eq!(world.sim.calls_to(&shop(SHOPS), "*"), 40);
    for n in 0..SHOPS {
        assert!(world.sim.calls_to(&shop(n), "*") <= 8, "one asks for all");
    }

    world.sim.clear_faults();
    let back = reached(&world, 1, TOKENS).await;
    tell(&format!("the hanging shops': Ready {back:.1?} after their return"));
}

#[allow(clippy::print_stderr, reason = "figures for those who run it with --nocapture")]
fn tell(figures: &str) {
    eprintln!("{figures}");
}
