//! The sweeps themselves: a scenario of phases for each source, and every fault in every phase.

use std::{future::ready, time::Duration};

use chrono::TimeDelta;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::json;
use shopify_sim::{CustomerClientConfig, CutMode};
use shopify_token_operator::api::ShopifyApp;

use crate::{
    cut::{Counted, Side},
    driver::{Driver, Fault, NEVER, Process, RENAMED, Ran},
    world::{CLIENT_ID, PUBLIC_URL, SHOP},
};

/// Runs of a sweep at a time: much of a run is waiting.
const PARALLEL: usize = 6;

/// Every fault that is tried at every call.
const FAULTS: [(Fault, Process); 10] = [
    (Fault::Kubernetes(Side::Before, Counted::All), Process::LivesOn),
    (Fault::Kubernetes(Side::After, Counted::Writes), Process::LivesOn),
    (Fault::Kubernetes(Side::Before, Counted::Writes), Process::Dies),
    (Fault::Kubernetes(Side::After, Counted::Writes), Process::Dies),
    (Fault::Shopify(CutMode::BeforeSend), Process::LivesOn),
    (Fault::Shopify(CutMode::AfterCommit), Process::LivesOn),
    (Fault::Shopify(CutMode::Timeout), Process::LivesOn),
    (Fault::Shopify(CutMode::BeforeSend), Process::Dies),
    (Fault::Shopify(CutMode::AfterCommit), Process::Dies),
    (Fault::Shopify(CutMode::Timeout), Process::Dies),
];

#[derive(Clone, Copy, Debug)]
enum Phase {
    Issue,
    Renew,
    Rotate,
    Rename,
    EndOverlap,
    SecretChange,
    Delete,
    Approve,
}

/// Tries every fault at every call of a scenario's phases.
///
/// How many calls there are says a run in which nothing strikes; a run may have more, so each fault goes on until one
/// isn't struck.
async fn sweep(name: &str, scenario: impl AsyncFn(u64, Fault, Process) -> Ran + Copy) {
    let (fault, process) = FAULTS[0];
    let calm = scenario(NEVER, fault, process).await;
    assert!(!calm.struck);
    let every = FAULTS.iter().flat_map(|(fault, process)| (0..calm.of(*fault)).map(|n| (n, *fault, *process)));
    let struck = stream::iter(every)
        .map(|(n, fault, process)| scenario(n, fault, process))
        .buffer_unordered(PARALLEL)
        .filter(|ran| ready(ran.struck))
        .count();
    let beyond = stream::iter(FAULTS)
        .map(async |(fault, process)| {
            let mut n = calm.of(fault);
            while scenario(n, fault, process).await.struck {
                n += 1;
            }
            n - calm.of(fault)
        })
        .buffer_unordered(PARALLEL)
        .fold(0, async |sum, more| sum + more);
    let tried = struck.await as u64 + beyond.await;
    println!("{name}: {tried} cuts tried");
    assert!(tried > 50, "a sweep that hardly cuts anything proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_survive_every_cut() {
    sweep("clientCredentials", async |n, fault, process| {
        let mut driver = Driver::new().await;
        driver.tokens = &["web"];
        driver.arm(n, fault, process);
        for phase in [Phase::Issue, Phase::Renew, Phase::SecretChange, Phase::Delete] {
            client_credentials(&mut driver, phase).await;
        }
        driver.ran()
    })
    .await;
}

async fn client_credentials(driver: &mut Driver, phase: Phase) {
    let world = &driver.world;
    match phase {
        Phase::Issue => {
            world.token("web", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
        }
        Phase::Renew => world.pass(TimeDelta::hours(17)),
        Phase::SecretChange => driver.change_secret().await,
        Phase::Delete => world.delete("web").await,
        Phase::Rotate | Phase::Rename | Phase::EndOverlap | Phase::Approve => {}
    }
    driver.settle().await;
    let Some(secret) = driver.world.secret("web").await else { return };
    let revision: u64 = secret.record("revision").unwrap().parse().unwrap();
    let issued = driver.world.sim.live_access_tokens(SHOP).len() as u64;
    // A grant whose answer was lost can't be taken back; nothing else costs a second call.
    assert!(issued >= revision && issued <= revision + u64::from(driver.struck), "{issued} issued for {revision}");
    if matches!(phase, Phase::SecretChange) {
        driver.check_secret().await;
    }
    if matches!(phase, Phase::Renew | Phase::SecretChange) {
        driver.check_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storefront_tokens_survive_every_cut() {
    sweep("storefront", async |n, fault, process| {
        let mut driver = Driver::new().await;
        driver.with_admin().await;
        driver.tokens = &["web"];
        driver.arm(n, fault, process);
        for phase in [Phase::Issue, Phase::Rotate, Phase::Rename, Phase::EndOverlap, Phase::Delete] {
            storefront(&mut driver, phase).await;
        }
        driver.ran()
    })
    .await;
}

async fn storefront(driver: &mut Driver, phase: Phase) {
    let world = &driver.world;
    let token = |trigger: &str, secret: &str| {
        json!({
            "source": {"storefront": {"adminTokenRef": {"name": "admin"}}},
            "secret": {"name": secret},
            "rotation": {"trigger": trigger, "overlap": "1h"}, "verifyInterval": 0,
        })
    };
    match phase {
        Phase::Issue => world.token("web", token("1", "web")).await,
        Phase::Rotate => world.token("web", token("2", "web")).await,
        Phase::Rename => world.token("web", token("2", RENAMED)).await,
        Phase::EndOverlap => world.pass(TimeDelta::minutes(61)),
        Phase::Delete => {
            world.delete("web").await;
            world.delete("admin").await;
            world.api::<ShopifyApp>().delete("acme", &DeleteParams::default()).await.unwrap();
            world.api::<Secret>().delete("by-hand", &DeleteParams::default()).await.unwrap();
            driver.tokens = &["admin", "web"];
        }
        Phase::Renew | Phase::Approve | Phase::SecretChange => {}
    }
    driver.settle().await;
    match phase {
        Phase::Issue | Phase::EndOverlap => assert_eq!(driver.world.live().len(), 1, "{:?}", driver.armed()),
        Phase::Rotate | Phase::Rename => assert_eq!(driver.world.live().len(), 2, "{:?}", driver.armed()),
        Phase::Delete | Phase::Renew | Phase::Approve | Phase::SecretChange => {
            assert_eq!(driver.world.live().len(), 0, "{:?}", driver.armed());
            assert!(driver.world.tokens().get_opt("web").await.unwrap().is_none(), "the deletion ends");
            assert!(driver.world.tokens().get_opt("admin").await.unwrap().is_none(), "the deletion ends");
            return;
        }
    }
    driver.check_live(if matches!(phase, Phase::Issue | Phase::Rotate) { "web" } else { RENAMED }).await;
    if matches!(phase, Phase::EndOverlap) {
        assert!(driver.world.secret("web").await.is_none(), "the older Secret is left: {:?}", driver.armed());
        driver.check_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delegates_survive_every_cut() {
    sweep("delegate", async |n, fault, process| {
        let mut driver = Driver::new().await;
        driver.with_admin().await;
        driver.tokens = &["web"];
        driver.arm(n, fault, process);
        // Nothing lists them: one whose create was not answered, or not written down in time, lives until it expires.
        let lost = usize::from(process == Process::Dies || matches!(fault, Fault::Shopify(_)));
        for phase in [Phase::Issue, Phase::Rotate, Phase::Rename, Phase::EndOverlap, Phase::Delete] {
            delegate(&mut driver, phase, lost).await;
        }
        driver.ran()
    })
    .await;
}

async fn delegate(driver: &mut Driver, phase: Phase, lost: usize) {
    let world = &driver.world;
    let token = |trigger: &str, secret: &str| {
        let source = json!({"adminTokenRef": {"name": "admin"}, "scopes": ["read_products"], "lifetime": "48h"});
        json!({
            "source": {"delegate": source}, "secret": {"name": secret},
            "rotation": {"trigger": trigger, "overlap": "1h"}, "verifyInterval": 0,
        })
    };
    match phase {
        Phase::Issue => world.token("web", token("1", "web")).await,
        Phase::Rotate => world.token("web", token("2", "web")).await,
        Phase::Rename => world.token("web", token("2", RENAMED)).await,
        Phase::EndOverlap => world.pass(TimeDelta::minutes(61)),
        Phase::Delete => {
            world.delete("web").await;
            world.delete("admin").await;
            world.api::<Secret>().delete("by-hand", &DeleteParams::default()).await.unwrap();
            driver.tokens = &["admin", "web"];
        }
        Phase::Renew | Phase::Approve | Phase::SecretChange => {}
    }
    driver.settle().await;
    let live = driver.world.sim.live_delegates(SHOP, CLIENT_ID).len();
    let lost = if driver.struck { lost } else { 0 };
    let known = match phase {
        Phase::Issue | Phase::EndOverlap => 1,
        Phase::Rotate => 2,
        Phase::Rename => 3,
        Phase::Delete | Phase::Renew | Phase::Approve | Phase::SecretChange => 0,
    };
    assert!((known..=known + lost).contains(&live), "{live} live after {phase:?}: {:?}", driver.armed());
    if matches!(phase, Phase::Delete) {
        assert!(driver.world.tokens().get_opt("web").await.unwrap().is_none(), "the deletion ends");
        assert!(driver.world.tokens().get_opt("admin").await.unwrap().is_none(), "the deletion ends");
    }
    if matches!(phase, Phase::EndOverlap) {
        assert!(driver.world.secret("web").await.is_none(), "the older Secret is left: {:?}", driver.armed());
        driver.check_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_customer_accounts_survive_every_cut() {
    sweep("customerAccount", async |n, fault, process| {
        let mut driver = Driver::new().await;
        let client = [("client_id", "shp_1"), ("client_secret", "one")];
        driver.world.secret_of("headless", &client).await;
        driver.tokens = &["web"];
        driver.arm(n, fault, process);
        for phase in [Phase::Issue, Phase::Rotate, Phase::Rename, Phase::EndOverlap, Phase::Delete] {
            customer_account(&mut driver, phase).await;
        }
        driver.ran()
    })
    .await;
}

/// A person's pair is published once, stays beside its successor for the overlap, and isn't said to be safe to revoke before.
async fn customer_account(driver: &mut Driver, phase: Phase) {
    let world = &driver.world;
    let token = |secret: &str| {
        json!({
            "source": {"customerAccount": {"credentialsRef": {"name": "headless"}, "clientType": "Confidential"}},
            "secret": {"name": secret}, "rotation": {"overlap": "1h"}, "verifyInterval": 0,
        })
    };
    match phase {
        Phase::Issue => world.token("web", token("web")).await,
        Phase::Rotate => {
            world.secret_of("headless", &[("client_id", "shp_1"), ("client_secret", "two")]).await;
        }
        Phase::Rename => world.token("web", token(RENAMED)).await,
        Phase::EndOverlap => world.pass(TimeDelta::minutes(61)),
        Phase::Delete => world.delete("web").await,
        Phase::Renew | Phase::Approve | Phase::SecretChange => {}
    }
    driver.settle().await;
    if matches!(phase, Phase::Delete) {
        assert!(driver.world.tokens().get_opt("web").await.unwrap().is_none(), "the deletion ends");
        return;
    }
    let name = if matches!(phase, Phase::Issue | Phase::Rotate) { "web" } else { RENAMED };
    let secret = driver.world.secret(name).await.expect("what applications mount");
    let held = ["client_secret", "previous_client_secret"].map(|key| secret.data.get(key).map(String::as_str));
    let status = driver.world.tokens().get("web").await.unwrap().status.unwrap();
    let safe = status.conditions.iter().find(|c| c.type_ == "SafeToRevokeOldSecret").unwrap().status == "True";
    match phase {
        Phase::Issue => assert_eq!((held, safe), ([Some("one"), None], true), "{:?}", driver.armed()),
        Phase::Rotate | Phase::Rename => {
            assert_eq!((held, safe), ([Some("two"), Some("one")], false), "{:?}", driver.armed());
        }
        Phase::EndOverlap => {
            assert_eq!((held, safe), ([Some("two"), None], true), "{:?}", driver.armed());
            assert!(driver.world.secret("web").await.is_none(), "the older Secret is left: {:?}", driver.armed());
            driver.check_idle().await;
        }
        Phase::Delete | Phase::Renew | Phase::Approve | Phase::SecretChange => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_customers_survive_every_cut() {
    sweep("customerAccount, session", async |n, fault, process| {
        let mut driver = Driver::new().await;
        let client = CustomerClientConfig::confidential("shp_1", "one");
        let client = client.redirects_to(format!("{PUBLIC_URL}/oauth/callback"));
        driver.world.sim.add_customer_client(SHOP, client).unwrap();
        // Shopify documents none for sessions; without it an answer that is lost takes the session along.
        driver.world.sim.switch(|switches| switches.customer_refresh_grace = Duration::from_hours(1));
        driver.world.secret_of("headless", &[("client_id", "shp_1"), ("client_secret", "one")]).await;
        let session = json!({"scopes": ["openid", "customer-account-api:full"]});
        let source = json!({"credentialsRef": {"name": "headless"}, "clientType": "Confidential", "session": session});
        driver.world.token("web", json!({"source": {"customerAccount": source}, "verifyInterval": 0})).await;
        driver.tokens = &["web"];
        driver.asks().await;
        driver.arm(n, fault, process);
        // First with nothing at hand, then over a session that lives.
        for phase in [Phase::Approve, Phase::Approve, Phase::Renew, Phase::Renew, Phase::Delete] {
            session_of_customer(&mut driver, phase).await;
        }
        driver.ran()
    })
    .await;
}

async fn session_of_customer(driver: &mut Driver, phase: Phase) {
    match phase {
        Phase::Approve => driver.approved().await,
        Phase::Renew => driver.world.pass(TimeDelta::minutes(41)),
        Phase::Delete => driver.world.delete("web").await,
        Phase::Issue | Phase::Rotate | Phase::Rename | Phase::EndOverlap | Phase::SecretChange => {}
    }
    driver.settle().await;
    if matches!(phase, Phase::Delete) {
        assert!(driver.world.tokens().get_opt("web").await.unwrap().is_none(), "the deletion ends");
        return;
    }
    // I4: what is written down can be refreshed, whatever was lost on the way.
    let record = driver.world.secret("web-record").await.expect("a record");
    let sessions = driver.world.sim.live_customer_sessions(SHOP);
    let ours = sessions.iter().find(|session| session.refresh_token == record.data["refresh_token"]);
    assert!(
        ours.is_some_and(|ours| ours.access_token == record.data["access_token"]),
        "{phase:?}: {:?}",
        driver.armed()
    );
    assert!(!record.data.keys().any(|key| key.starts_with("authorization")), "{phase:?}: {:?}", driver.armed());
    let secret = driver.world.secret("web").await.expect("what applications mount");
    assert_eq!(secret.access_token(), record.data["access_token"], "{phase:?}: {:?}", driver.armed());
    let hidden = |key: &String| ["refresh", "code", "state", "verifier"].iter().any(|word| key.contains(word));
    assert!(!secret.data.keys().any(hidden), "{:?}", secret.data.keys());
    assert!(!secret.data.values().any(|value| *value == record.data["refresh_token"]));
    if matches!(phase, Phase::Renew) {
        driver.check_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_tokens_survive_every_cut() {
    sweep("offline", async |n, fault, process| {
        let mut driver = Driver::new().await;
        let pair = driver.world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
        let boot = [("refresh_token", pair.refresh_token.as_str())];
        driver.world.secret_of("boot", &boot).await;
        driver.tokens = &["web"];
        driver.arm(n, fault, process);
        for phase in [Phase::Issue, Phase::Renew, Phase::Rotate, Phase::SecretChange, Phase::Delete] {
            offline(&mut driver, phase).await;
        }
        driver.ran()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_survive_every_cut() {
    sweep("offline, approved", async |n, fault, process| {
        let mut driver = Driver::new().await;
        driver.tokens = &["web"];
        driver.world.token("web", json!({"source": {"offline": {"appRef": {"name": "acme"}}}})).await;
        driver.asks().await;
        driver.arm(n, fault, process);
        // First with nothing at hand, then over a pair that lives.
        for phase in [Phase::Approve, Phase::Approve, Phase::Renew, Phase::Delete] {
            if matches!(phase, Phase::Approve) {
                driver.approved().await;
            }
            offline(&mut driver, phase).await;
            let record = driver.world.secret("web-record").await.unwrap();
            assert!(!record.data.keys().any(|key| key.starts_with("authorization")), "{:?}", driver.armed());
            let shown = driver.world.secret("web").await.unwrap();
            assert!(!shown.data.keys().any(|key| key.contains("refresh") || key.contains("authorization")));
        }
        driver.ran()
    })
    .await;
}

async fn offline(driver: &mut Driver, phase: Phase) {
    let world = &driver.world;
    let token = |trigger: &str, policy: &str| {
        json!({
            "source": {"offline": {"appRef": {"name": "acme"}, "bootstrapRef": {"name": "boot"}}},
            "rotation": {"trigger": trigger}, "deletionPolicy": policy,
        })
    };
    match phase {
        Phase::Issue => world.token("web", token("1", "Retain")).await,
        Phase::Renew => world.pass(TimeDelta::minutes(41)),
        Phase::Rotate => world.token("web", token("2", "Retain")).await,
        Phase::SecretChange => driver.change_secret().await,
        Phase::Delete => world.delete("web").await,
        Phase::Rename | Phase::EndOverlap | Phase::Approve => {}
    }
    driver.settle().await;
    // I4: what is written down can be refreshed, whatever was lost on the way.
    let record = driver.world.secret("web-record").await.expect("a record");
    let live = driver.world.sim.live_refresh_tokens(SHOP);
    let ours = live.iter().find(|live| live.value == record.data["refresh_token"]);
    assert!(ours.is_some_and(|live| live.used_at.is_none()), "{phase:?}: {:?}", driver.armed());
    let secret = driver.world.secret("web").await.expect("what applications mount");
    assert_eq!(secret.access_token(), record.data["access_token"], "{phase:?}: {:?}", driver.armed());
    assert!(driver.world.sim.is_valid_admin(SHOP, secret.access_token()));
    match phase {
        Phase::Delete => assert!(driver.world.tokens().get_opt("web").await.unwrap().is_none(), "the deletion ends"),
        Phase::Renew => driver.check_idle().await,
        Phase::SecretChange => {
            driver.check_secret().await;
            driver.check_idle().await;
        }
        Phase::Issue | Phase::Rotate | Phase::Rename | Phase::EndOverlap | Phase::Approve => {}
    }
}
