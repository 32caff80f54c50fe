//! Several replicas: one works, and another takes over.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use rustix::process::Signal;
use serde_json::json;
use shopify_sim::{Fault, FaultKind};
use tokio::time::sleep;

use crate::{
    operator::{ALONE, OPERATOR, Operator, command, holder},
    world::World,
};

/// The lease of a dead leader, a round of the candidate, and the machine's slowness.
const TAKE_OVER: Duration = Duration::from_secs(15 + 2 + 3);

async fn answers(operator: &Operator) -> bool {
    let mut fine = true;
    for page in ["/livez", "/readyz"] {
        fine &= operator.get(page).await.is_some_and(|(code, _)| code == 200);
    }
    fine
}

/// Waits until an operator leads; it has to be live and ready all along.
async fn leads(operator: &Operator, within: Duration) -> Duration {
    let started = Instant::now();
    while !operator.leads().await {
        assert!(answers(operator).await, "a standby is live and ready");
        assert!(started.elapsed() < within, "doesn't lead after {within:?}");
        sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_a_stopped_one_hands_over() {
    let world = World::new("leaders").await;
    world.make_app().await;
    let first = Operator::start(&world, &[]).await;
    leads(&first, Duration::from_secs(10)).await;
    let second = Operator::start(&world, &[]).await;
    let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    world.token("one", grant.clone()).await;
    world.ready("one").await;
    assert!(!second.leads().await);
    assert!(answers(&second).await);
    let (_, page) = second.get("/metrics").await.unwrap();
    assert!(
        page.lines().any(|line| line == format!("leader{{lease=\"{}\"}} 0", world.namespace)),
        "a standby says so: {page}"
    );

    first.kill().await;
    world.token("two", grant.clone()).await;
    let took = leads(&second, TAKE_OVER).await;
    world.ready("two").await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);

    let third = Operator::start(&world, &[]).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!third.leads().await);
    second.stop().await;
    let handed_over = leads(&third, Duration::from_secs(4)).await;
    world.token("three", grant).await;
    world.ready("three").await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 3);
    tell(&format!("take-over after SIGKILL {took:?}, hand-over after SIGTERM {handed_over:?}"));
}

/// The old leader sleeps in the middle of a create, wakes up as one of two, and may do no harm.
async fn suspended_in(name: &str, operation: &str, creates: u64) {
    let world = World::new(name).await;
    world.make_app().await;
    let mut old = Operator::start(&world, &[]).await;
    leads(&old, Duration::from_secs(10)).await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    let new = Operator::start(&world, &[]).await;
    world.sim.inject(Fault::new(operation, FaultKind::Delay(Duration::from_millis(500))).times(1));
    let before = world.sim.calls(operation);
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.eventually("a call", async || world.sim.calls(operation) > before).await;
    old.signal(Signal::STOP);
    leads(&new, TAKE_OVER).await;
    world.ready("web").await;
    let published = world.secret("web").await.unwrap();
    let leader = holder(&world).await;

    old.signal(Signal::CONT);
    assert!(!old.ended(Duration::from_secs(10)).await.success(), "it has lost the lease");
    world.a_while().await;
    assert_eq!(holder(&world).await, leader);
    assert_eq!(world.secret("web").await.unwrap(), published, "its late write is refused");
    let live = world.live();
    assert_eq!(live.len(), 1, "{live:?}");
    assert_eq!(live[0].value, published.access_token());
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), creates);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_sleeps_through_its_create_does_no_harm() {
    suspended_in("asleep-create", "admin.storefrontAccessTokenCreate", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_sleeps_before_its_create_doesnt_create() {
    suspended_in("asleep-list", "admin.storefrontAccessTokens", 1).await;
}

/// Nothing but the record is between two that both believe to be alone; what is too much is revoked in the end.
#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_at_once_agree_on_one_token() {
    let world = World::new("two").await;
    world.make_app().await;
    let one = Operator::start(&world, &[ALONE]).await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    let other = Operator::start(&world, &[ALONE]).await;
    let spec = json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "rotation": {"overlap": "1s"}});
    let names: Vec<String> = (0..6).map(|n| format!("web-{n}")).collect();
    for name in &names {
        world.token(name, spec.clone()).await;
    }
    for name in &names {
        world.ready(name).await;
    }
    world.eventually("one token each", async || world.live().len() == names.len()).await;
    world.a_while().await;
    let mut live: Vec<String> = world.live().into_iter().map(|t| t.value).collect();
    let mut published = Vec::new();
    for name in &names {
        published.push(world.secret(name).await.unwrap().access_token().to_owned());
    }
    live.sort();
    published.sort();
    assert_eq!(live, published);
    drop((one, other));
}

#[allow(clippy::print_stderr, reason = "figures for those who run it with --nocapture")]
fn tell(figures: &str) {
    eprintln!("{figures}");
}

/// Of several instances that share the objects each has a lease: one that keeps its own would put finalizers back.
#[tokio::test(flavor = "multi_thread")]
async fn uninstall_takes_the_lease_of_every_instance() {
    let world = World::new("leases").await;
    let leases: Api<Lease> = Api::namespaced(world.admin.clone(), OPERATOR);
    let names = ["a", "b"].map(|shard| format!("{}-{shard}", world.namespace));
    let now = world.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let held = json!({
        "metadata": {"name": names[1]},
        "spec": {"holderIdentity": "elsewhere_0", "leaseDurationSeconds": 15, "acquireTime": now, "renewTime": now},
    });
    leases.create(&PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();

    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(&world, &dir, &kubeconfig);
    command.args(["uninstall", "--lease-name", &names[0], "--further-leases", &names[1]]);
    command.args(["--watch-namespaces", &world.namespace]);
    let ended = command.status().await.unwrap();
    let log = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
    assert!(ended.success() && log.contains("took the lease from the running operator"), "{log}");
    for name in &names {
        let spec = leases.get(name).await.unwrap().spec.unwrap();
        assert_eq!(spec.lease_duration_seconds, Some(300), "{name}: nobody starts again for minutes");
        assert_ne!(spec.holder_identity.as_deref(), Some("elsewhere_0"), "{name}");
    }
}
