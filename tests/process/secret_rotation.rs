//! One app with 500 tokens through a client-secret rotation, and applications that never see a dead token.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::ListParams};
use serde_json::json;
use shopify_sim::ShopConfig;
use shopify_token_operator::api::ShopifyApp;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    audit,
    operator::{ALONE, Operator},
    world::{CLIENT_ID, CLIENT_SECRET, SCOPES, World},
};

const TOKENS: usize = 500;
const SHOPS: usize = 10;
/// Over which they are spread; how long applications use what they have read.
const WITHIN: Duration = Duration::from_mins(1);
const OVERLAP: Duration = Duration::from_secs(20);
const NEW: &str = "shpss_canaryc0ffeefedcba9876543210fedcba";

fn shop(n: usize) -> String {
    format!("shop-{n}.myshopify.com")
}

/// Applications: each reads its Secret, uses what it has read for a while, and reads again.
struct Applications {
    stop: Arc<AtomicBool>,
    used: Arc<AtomicU64>,
    dead: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Applications {
    fn of(world: &World) -> Self {
        let (stop, used, dead) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let secrets: Api<Secret> = world.api();
        let sim = Arc::clone(&world.sim);
        let (stopped, counted, deaths) = (Arc::clone(&stop), Arc::clone(&used), Arc::clone(&dead));
        let task = tokio::spawn(async move {
            let mut held: BTreeMap<String, (String, String)> = BTreeMap::new();
            while !stopped.load(Ordering::SeqCst) {
                let listed = secrets.list(&ListParams::default().limit(500)).await.unwrap();
                let read = |secret: Secret| {
                    let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
                    Some((secret.metadata.name.clone()?, (text("shop_domain")?, text("access_token")?)))
                };
                let newer: BTreeMap<_, _> = listed.items.into_iter().filter_map(read).collect();
                // What was read the time before is used until now, and what was read now from now on.
                for (shop, token) in held.values().chain(newer.values()) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    if !sim.is_valid_admin(shop, token) {
                        deaths.fetch_add(1, Ordering::SeqCst);
                    }
                }
                held = newer;
                sleep(Duration::from_millis(500)).await;
            }
        });
        Self { stop, used, dead, task }
    }

    /// How often a token was used, and how often it was dead.
    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        (self.used.load(Ordering::SeqCst), self.dead.load(Ordering::SeqCst))
    }
}

async fn status(world: &World) -> (i64, i64, bool, String) {
    let app = world.api::<ShopifyApp>().get("acme").await.unwrap();
    let status = app.status.unwrap_or_default();
    let tokens = status.tokens.unwrap_or_default();
    let safe = status.conditions.into_iter().find(|c| c.type_ == "SafeToRevokeOldSecret");
    let (is_safe, message) = safe.map(|c| (c.status == "True", c.message)).unwrap_or_default();
    (tokens.total, tokens.on_current_secret.unwrap_or_default(), is_safe, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_tokens_and_no_dead_one() {
    let world = World::new("rotation").await;
    for n in 0..SHOPS {
        world.sim.add_shop(ShopConfig::new(shop(n)));
        world.sim.install(&shop(n), CLIENT_ID, SCOPES.iter().copied()).unwrap();
    }
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    let spec =
        json!({"credentialsRef": {"name": "acme-app"}, "secretRotation": {"within": format!("{}s", WITHIN.as_secs())}});
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
    let operator = Operator::start(&world, &["--concurrency=50", ALONE]).await;
    let all = stream::iter(0..TOKENS).map(|n| {
        let spec = json!({
            "shop": shop(n % SHOPS), "source": {"clientCredentials": {"appRef": {"name": "acme"}}},
            "rotation": {"overlap": format!("{}s", OVERLAP.as_secs())}, "verifyInterval": 0,
        });
        let world = &world;
        async move { world.token(&format!("t-{n}"), spec).await }
    });
    all.buffer_unordered(16).collect::<Vec<()>>().await;
    until(&world, Duration::from_secs(90), |(total, on, _, _)| (*total, *on) == (500, 500)).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 500);

    let applications = Applications::of(&world);
    let mark = audit::mark(world.cluster);
    let reconciles = async || operator.metric("controller_reconciles_total", &[r#"kind="ShopifyApp""#]).await;
    let before = reconciles().await;
    world.sim.add_secret(CLIENT_ID, NEW).unwrap();
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", NEW)]).await;
    let started = Instant::now();
    let mut quarters = Vec::new();
    until(&world, Duration::from_secs(10), |(_, _, safe, _)| !safe).await;
    for quarter in 1..=4 {
        until(&world, WITHIN + Duration::from_secs(30), |(_, on, _, _)| *on >= 125 * quarter).await;
        quarters.push(started.elapsed());
    }
    let moved = started.elapsed();
    tell(&format!(
        "500 tokens on {SHOPS} shops moved in {moved:.1?}, spread over {WITHIN:?}: a quarter each after {quarters:.1?}"
    ));
    until(&world, OVERLAP + Duration::from_mins(1), |(_, _, safe, _)| *safe).await;
    let safe = started.elapsed();
    // A person believes it, and revokes the old one.
    world.sim.revoke_secret(CLIENT_ID, CLIENT_SECRET).unwrap();
    sleep(Duration::from_secs(3)).await;
    let (used, dead) = applications.stop().await;
    let calls = world.sim.calls("oauth.clientCredentials");
    let requests = audit::in_namespace(world.cluster, &world.namespace, mark);
    let of_app = requests.iter().filter(|r| r.writes() && r.resource.contains("shopifyapps")).count();
    let looks = reconciles().await - before;
    tell(&format!(
        "safe to revoke after {safe:.1?}; {calls} calls for 1000 revisions; applications used a token {used} times, {dead} of them dead; the app was looked at {looks} times and written {of_app} times"
    ));
    assert_eq!((dead, calls), (0, 1_000), "no dead token, and one call for each revision");
    assert!(used > 50_000, "applications used tokens all along: {used}");
    // Evenly: none of the quarters took much less than its share, and the last ended in time.
    let share = WITHIN / 4;
    let mut last = Duration::ZERO;
    for quarter in &quarters {
        assert!(*quarter > last + share / 2, "{quarters:?}");
        last = *quarter;
    }
    assert!(moved < WITHIN + Duration::from_secs(20), "{moved:?}");
    assert!(safe + Duration::from_secs(5) >= moved + OVERLAP, "not before the last overlap ended: {safe:?}");
    assert!(looks <= 2.5 * safe.as_secs_f64(), "the app isn't looked at for each of them: {looks}");
    assert!(of_app <= 60, "the progress of 500 isn't 500 writes: {of_app}");
    operator.stop().await;
}

async fn until(world: &World, patience: Duration, fulfilled: impl Fn(&(i64, i64, bool, String)) -> bool) {
    let started = Instant::now();
    loop {
        let now = status(world).await;
        if fulfilled(&now) {
            return;
        }
        assert!(started.elapsed() < patience, "not so after {patience:?}: {now:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[allow(clippy::print_stderr, reason = "figures for those who run it with --nocapture")]
fn tell(figures: &str) {
    eprintln!("{figures}");
}
