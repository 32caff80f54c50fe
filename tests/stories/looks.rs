//! What a look at a healthy token reads where others have put what it is made of: nothing, and yet nothing is overlooked.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_sim::{AppConfig, CustomerClientConfig};

use crate::{
    offline::offline,
    specs::{client_credentials, custom, storefront, with},
    world::{CLIENT_ID, SCOPES, SHOP, World, revision},
};

const CLIENT: &str = "shp_0b9c1f0e-looks";
const SECRETS: [&str; 2] = ["canaryc0ffee00000000000000000001", "canaryc0ffee00000000000000000002"];
const TOKENS: [&str; 3] = ["custom", "web", "headless"];

/// A world with a Ready token of each source whose credential begins with what a person has put somewhere.
async fn three(name: &str) -> World {
    let (world, _) = World::with_pair(name).await;
    world.hand_in().await;
    world.sim.add_customer_client(SHOP, CustomerClientConfig::confidential(CLIENT, SECRETS[0])).unwrap();
    world.sim.add_customer_secret(SHOP, CLIENT, SECRETS[1]).unwrap();
    world.hand_in_client(SECRETS[0]).await;
    let account = json!({"customerAccount": {"credentialsRef": {"name": "channel"}, "clientType": "Confidential"}});
    let specs = [custom(), offline(json!({})), json!({"source": account})];
    for (name, spec) in TOKENS.iter().zip(specs) {
        world.token(name, with(spec, json!({"verifyInterval": "0s"}))).await;
        world.ready(name).await;
    }
    world.a_while().await;
    world
}

impl World {
    async fn hand_in_client(&self, secret: &str) {
        self.secret_of("channel", &[("client_id", CLIENT), ("client_secret", secret)]).await;
    }

    /// The Secrets that the operator reads while something happens, each name once. Those of apps, which their tokens share, apart.
    async fn reads_while(&mut self, something: impl AsyncFnOnce(&mut Self)) -> Vec<String> {
        self.a_while().await;
        let before = self.reads().len();
        something(self).await;
        self.a_while().await;
        let mut reads = self.reads()[before..].to_vec();
        reads.retain(|read| read.contains(" secrets/") && !read.contains("-app/"));
        reads.sort();
        reads.dedup();
        reads
    }

    async fn start_over(&mut self) {
        self.stop().await;
        let reconciles = self.reconciles();
        self.start().await;
        self.eventually("all are looked at", async || self.reconciles() >= reconciles + 3).await;
    }

    async fn edit(&self, secret: &str, patch: Value) {
        self.api::<Secret>().patch(secret, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn at(&self, name: &str) -> i64 {
        revision(&self.tokens().get(name).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_token_is_not_read_and_a_restart_reads_none() {
    let mut world = three("looks").await;
    let (calls, writes) = (world.sim.total_calls(), world.writes().len());
    let reads = world.reads_while(async |world| {
        for name in TOKENS {
            world.nudge(name).await;
        }
    });
    assert_eq!(reads.await, [""; 0]);
    assert_eq!(world.reads_while(World::start_over).await, [""; 0]);
    assert_eq!((world.sim.total_calls(), &world.writes()[writes..]), (calls, &[][..] as &[String]));

    // The pair that a refresh has brought is known as well, and a token that was renewed is no other one.
    world
        .token("renewed", with(client_credentials(), json!({"verifyInterval": "0s", "rotation": {"trigger": "1"}})))
        .await;
    world.ready("renewed").await;
    world.change("renewed", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.pass(TimeDelta::minutes(41));
    for name in ["web", "renewed"] {
        world.until(name, "renewed", |t| revision(t) == 2).await;
    }
    assert_eq!(world.reads_while(World::start_over).await, [""; 0]);
    assert_eq!(world.sim.calls("oauth.refresh"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_noticed_at_once_and_after_a_restart() {
    let mut world = three("looks-changed").await;
    for round in 2..=3 {
        if round == 3 {
            world.stop().await;
        }
        world.hand_in().await;
        world.hand_in_client(SECRETS[1 - round % 2]).await;
        if round == 3 {
            let pair = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
            world.boot(&pair).await;
            world.start().await;
        } else {
            // Shopify refuses it, and the refresh token beside it brings another one.
            world.edit("web-record", json!({"stringData": {"access_token": "edited"}})).await;
        }
        for name in TOKENS {
            world.until(name, "published anew", |t| revision(t) == i64::try_from(round).unwrap()).await;
            world.ready(name).await;
        }
        world.applications_work().await;
    }
    // Gone: it begins anew with what the person has brought.
    for stopped in [false, true] {
        if stopped {
            world.stop().await;
        }
        world.remove::<Secret>("web-record").await;
        if stopped {
            world.start().await;
        }
        world.eventually("there is one again", async || world.recorded("refresh_token").await.is_some()).await;
        world.ready("web").await;
        world.applications_work().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_the_same_in_another_version_is_read_once() {
    let mut world = three("looks-labelled").await;
    let (calls, writes) = (world.sim.total_calls(), world.writes().len());
    let sources = ["legacy", "channel", "boot", "web-record"];
    for secret in sources {
        world.edit(secret, json!({"metadata": {"labels": {"team": "web"}}})).await;
    }
    // What a person has brought once may go.
    world.remove::<Secret>("boot").await;
    let nudge = async |world: &mut World| {
        for name in TOKENS {
            world.nudge(name).await;
        }
    };
    assert_eq!(world.reads_while(nudge).await, [""; 0]);
    // The records name the versions before: who begins reads once, and not again.
    let reads = world.reads_while(World::start_over).await;
    for secret in ["legacy", "channel", "web-record"] {
        assert!(reads.contains(&format!("get secrets/{secret}/ 200")), "{secret}: {reads:?}");
    }
    assert_eq!(world.reads_while(nudge).await, [""; 0]);
    assert_eq!((world.sim.total_calls(), &world.writes()[writes..]), (calls, &[][..] as &[String]));
    assert_eq!((world.at("custom").await, world.at("web").await, world.at("headless").await), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_of_ours_costs_no_reads() {
    let mut world = World::with_custom_admin("looks-protected").await;
    world.token("sf", with(storefront(), json!({"verifyInterval": "0s"}))).await;
    world.ready("sf").await;
    assert!(!world.api::<Secret>().get("legacy").await.unwrap().finalizers().is_empty());
    let reads = world.reads_while(async |world| world.nudge("admin").await);
    assert_eq!(reads.await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_token_of_another_app_at_the_shop_costs_no_reads() {
    let (mut world, _) = World::with_offline("looks-apps", json!({"verifyInterval": "0s"})).await;
    let (id, secret) = ("fedcba98765432100123456789abcdef", "shpss_canaryc0ffeefedcba9876543210fedcba");
    world.sim.add_app(AppConfig::new(id, secret).installed(SHOP, SCOPES.iter().copied())).unwrap();
    world.secret_of("other-app", &[("client_id", id), ("client_secret", secret)]).await;
    let spec = json!({"credentialsRef": {"name": "other-app"}});
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "other"}, "spec": spec})).await;
    let pair = world.sim.create_offline_pair(SHOP, id).unwrap();
    world.secret_of("other-boot", &[("refresh_token", &pair.refresh_token)]).await;
    let source = json!({"offline": {"appRef": {"name": "other"}, "bootstrapRef": {"name": "other-boot"}}});
    world.token("zweb", json!({"source": source, "verifyInterval": "0s"})).await;
    world.ready("zweb").await;
    let reads = world.reads_while(async |world| {
        world.nudge("zweb").await;
        world.nudge("web").await;
    });
    assert_eq!(reads.await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_read_either() {
    let (mut world, _pages) = World::with_session("looks-session").await;
    world.change("web", json!({"spec": {"verifyInterval": "0s"}})).await;
    for _ in 0..2 {
        let reads = world.reads_while(async |world| {
            world.stop().await;
            let reconciles = world.reconciles();
            world.start().await;
            world.eventually("it is looked at", async || world.reconciles() > reconciles).await;
        });
        assert_eq!(reads.await, [""; 0]);
        let before = world.at("web").await;
        world.pass(TimeDelta::minutes(41));
        world.until("web", "refreshed", |t| revision(t) > before).await;
    }
    // What is kept of it is edited while nobody looks.
    world.stop().await;
    let before = world.at("web").await;
    world.edit("web-record", json!({"stringData": {"access_token": "edited"}})).await;
    world.start().await;
    world.until("web", "published as it is kept", |t| revision(t) > before).await;
}
