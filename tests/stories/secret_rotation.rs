//! A client secret is rotated: every token of the app moves to the new one, and a person learns when the old one can go.

use chrono::TimeDelta;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shopify_token_operator::api::ShopifyApp;

use crate::{
    specs::client_credentials,
    world::{CLIENT_ID, CLIENT_SECRET, SHOP, World, condition, revision},
};

const NEW: &str = "shpss_canaryc0ffeefedcba9876543210fedcba";
const SAFE: &str = "SafeToRevokeOldSecret";

impl World {
    /// Puts a client secret into the app's Secret, as a person does.
    async fn put_secret(&self, value: &str) {
        self.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", value)]).await;
    }

    /// Generates another client secret in the Dev Dashboard, and puts it into the app's Secret.
    async fn rotate_secret(&self, value: &str) {
        self.sim.add_secret(CLIENT_ID, value).unwrap();
        self.put_secret(value).await;
    }

    async fn app(&self) -> ShopifyApp {
        self.api::<ShopifyApp>().get("acme").await.unwrap()
    }

    /// Status, reason and message of the condition that says whether the old secret can go.
    async fn safe(&self) -> Option<(String, String, String)> {
        let status = self.app().await.status?;
        let condition = status.conditions.into_iter().find(|c| c.type_ == SAFE)?;
        Some((condition.status, condition.reason, condition.message))
    }

    async fn is_safe(&self, says: &str) -> bool {
        self.safe().await.is_some_and(|(status, _, _)| status == says)
    }

    /// Tokens of the app, and those on its current secret.
    async fn moved(&self) -> (i64, i64) {
        let tokens = self.app().await.status.and_then(|status| status.tokens).unwrap_or_default();
        (tokens.total, tokens.on_current_secret.unwrap_or(-1))
    }

    async fn app_spec(&self, more: Value) {
        let patch = Patch::Merge(json!({"spec": more}));
        self.api::<ShopifyApp>().patch("acme", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Which secret minted what the Secret of that name holds, which works.
    async fn minted(&self, name: &str) -> String {
        let secret = self.secret(name).await.unwrap();
        assert!(self.sim.is_valid_admin(SHOP, secret.access_token()), "{name} is dead");
        self.sim.minted_by(secret.access_token()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_its_whole_life() {
    let world = World::with_app("secret").await;
    world.app_spec(json!({"secretRotation": {"within": "10m"}})).await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        world.token(name, client_credentials()).await;
        world.ready(name).await;
    }
    world.eventually("all are counted", async || world.moved().await == (4, 4)).await;
    let (status, reason, message) = world.safe().await.unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NoTokenOnOldSecret"), "before any rotation: {message}");

    world.rotate_secret(NEW).await;
    world.eventually("it isn't safe", async || world.is_safe("False").await).await;
    world.eventually("the first is on it", async || world.moved().await == (4, 1)).await;
    // The others have their turns, evenly spread.
    for moved in 2..=4 {
        world.a_while().await;
        assert_eq!(world.moved().await, (4, moved - 1), "not before its turn");
        world.pass(TimeDelta::minutes(2) + TimeDelta::seconds(31));
        world.eventually("the next is on it", async || world.moved().await == (4, moved)).await;
    }
    for name in names {
        assert_eq!(world.minted(name).await, NEW);
        assert_eq!(revision(&world.ready(name).await), 2);
        world.told(name, &["Issued", "Rotated"]).await;
    }
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 8, "one call for each revision");
    // Applications may use the old ones until their overlap or they themselves end.
    let (_, reason, message) = world.safe().await.unwrap();
    assert!(reason == "TokensOnOldSecret" && message.contains("may use what the old one minted until"), "{message}");
    world.pass(TimeDelta::hours(23));
    for name in names {
        world.ready(name).await;
    }
    world.a_while().await;
    assert!(world.is_safe("False").await, "{:?}", world.safe().await);
    world.pass(TimeDelta::hours(1));
    world.eventually("it is safe", async || world.is_safe("True").await).await;
    world.sim.revoke_secret(CLIENT_ID, CLIENT_SECRET).unwrap();
    for name in names {
        assert_eq!(world.minted(name).await, NEW);
    }
    world.told("acme", &["SecretChanged", "SecretRotated", "SafeToRevoke"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_shopify_refuses_stops_at_the_first() {
    let world = World::with_app("secret-refused").await;
    let names = ["a", "b", "c"];
    for name in names {
        world.token(name, client_credentials()).await;
        world.ready(name).await;
    }
    world.eventually("all are counted", async || world.moved().await == (3, 3)).await;
    // Mistyped: Shopify knows no such secret.
    world.put_secret("shpss_canaryc0ffee00000000000000000000dead").await;
    world.eventually("one is refused", async || world.sim.grant_counts(CLIENT_ID).unwrap().secret_rejected > 0).await;
    world
        .eventually("that is said", async || {
            world
                .safe()
                .await
                .is_some_and(|(status, _, message)| status == "False" && message.contains("Shopify refuses it"))
        })
        .await;
    world.a_while().await;
    assert_eq!(world.sim.grant_counts(CLIENT_ID).unwrap().secret_rejected, 1, "the others don't even try");
    let mut stalled = 0;
    for name in names {
        let token = world.tokens().get(name).await.unwrap();
        assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "{name}");
        assert_eq!((world.minted(name).await.as_str(), revision(&token)), (CLIENT_SECRET, 1));
        stalled += usize::from(condition(&token, "Stalled").is_some());
    }
    assert_eq!(stalled, 1, "it alone tells of it");
    assert!(world.app_is("acme", "Stalled", "CredentialsRejected").await);
    // It tries again under its back-off, alone.
    for _ in 0..3 {
        let before = world.sim.grant_counts(CLIENT_ID).unwrap().secret_rejected;
        world.pass(TimeDelta::minutes(11));
        world
            .eventually("it tries again", async || {
                world.sim.grant_counts(CLIENT_ID).unwrap().secret_rejected == before + 1
            })
            .await;
    }
    // Corrected, all go on.
    world.app_spec(json!({"secretRotation": {"within": "3s"}})).await;
    world.rotate_secret(NEW).await;
    for name in names {
        world.until(name, "on the new one", |t| revision(t) == 2).await;
        world.ready(name).await;
        assert_eq!(world.minted(name).await, NEW);
    }
    let told = ["SecretChanged", "SecretRotationStopped", "SecretChanged", "SecretRotated"];
    world.told("acme", &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_secret_starts_over_and_so_does_the_old_one_put_back() {
    const NEWER: &str = "shpss_canaryc0ffee11111111111111111111beef";
    let world = World::with_app("secret-newer").await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        world.token(name, client_credentials()).await;
        world.ready(name).await;
    }
    world.eventually("all are counted", async || world.moved().await == (4, 4)).await;
    let hash = async || world.app().await.status.unwrap().client_secret.unwrap().hash;
    let first = hash().await;
    world.rotate_secret(NEW).await;
    world.eventually("the first is on it", async || world.moved().await == (4, 1)).await;
    assert_ne!(hash().await, first);
    // Before the others have followed.
    let second = hash().await;
    world.rotate_secret(NEWER).await;
    world.eventually("the newer one is spoken of", async || hash().await != second).await;
    world.eventually("the first is on the newer one", async || world.moved().await == (4, 1)).await;
    let calls = world.sim.calls("oauth.clientCredentials");
    assert_eq!(calls, 6, "four first issues, and one with each of the others");
    // Everything back: what was never on another one is left alone.
    world.put_secret(CLIENT_SECRET).await;
    world.eventually("it is spoken of", async || hash().await == first).await;
    // Two may be on other ones, where another was the soonest due at each change: then the second has its turn later.
    world.pass(TimeDelta::minutes(10));
    world.eventually("all are on the old one", async || world.moved().await == (4, 4)).await;
    let mut revisions = Vec::new();
    for name in names {
        let token = world.ready(name).await;
        revisions.push(revision(&token));
        assert_eq!(world.minted(name).await, CLIENT_SECRET);
    }
    world.a_while().await;
    let issued = u64::try_from(revisions.iter().sum::<i64>()).unwrap();
    assert_eq!(world.sim.calls("oauth.clientCredentials"), issued, "{revisions:?}");
    assert!(revisions.contains(&1), "{revisions:?}");
    // What those had that moved may be in use.
    assert!(world.is_safe("False").await);
    world.pass(TimeDelta::hours(25));
    world.eventually("it is safe", async || world.is_safe("True").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_other_namespaces_and_delegates_move_with_it() {
    let (platform, team) = crate::grants::two_with_web("secret-grant").await;
    platform.app_spec(json!({"secretRotation": {"within": "2s"}})).await;
    let delegate = json!({"source": {"delegate": {"adminTokenRef": {"name": "admin"}, "scopes": ["read_products"]}}});
    team.token("below", delegate).await;
    team.ready("below").await;
    platform.token("own", client_credentials()).await;
    platform.ready("own").await;
    // `web` is a storefront token: no secret ends it.
    platform.eventually("all are counted", async || platform.moved().await == (3, 3)).await;
    platform.rotate_secret(NEW).await;
    platform
        .eventually("all have moved", async || {
            platform.safe().await.is_some_and(|(_, _, message)| message.contains("3 of 3 tokens are on it"))
        })
        .await;
    assert_eq!((platform.minted("own").await.as_str(), team.minted("admin").await.as_str()), (NEW, NEW));
    assert_eq!((revision(&team.ready("below").await), revision(&team.ready("web").await)), (2, 1));
    let parent = team.secret("admin").await.unwrap().access_token().to_owned();
    let of_new = |live: &shopify_sim::LiveDelegate| live.parent == parent;
    assert!(platform.sim.live_delegates(SHOP, CLIENT_ID).iter().any(of_new), "made of the new one");
    // Renewed meanwhile, and then the old ones have expired.
    platform.pass(TimeDelta::hours(17));
    for (world, name) in [(&platform, "own"), (&team, "admin")] {
        world.until(name, "renewed", |t| revision(t) == 3).await;
    }
    assert!(platform.is_safe("False").await);
    platform.pass(TimeDelta::hours(8));
    platform.eventually("it is safe", async || platform.is_safe("True").await).await;
    platform.sim.revoke_secret(CLIENT_ID, CLIENT_SECRET).unwrap();
    for name in ["admin", "below"] {
        team.ready(name).await;
        assert!(platform.sim.is_valid_admin(SHOP, team.secret(name).await.unwrap().access_token()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_tokens_are_refreshed_with_it_and_lone_ones_hold_it() {
    let world = World::with_app("secret-offline").await;
    world.app_spec(json!({"secretRotation": {"within": "2s"}})).await;
    let pair = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
    let ends = pair.expires_at.unwrap().to_rfc3339();
    let data = [("access_token", &*pair.access_token), ("expires_at", &*ends), ("refresh_token", &*pair.refresh_token)];
    world.secret_of("boot", &data).await;
    let offline = |boot: &str| json!({"offline": {"appRef": {"name": "acme"}, "bootstrapRef": {"name": boot}}});
    world.token("web", json!({"source": offline("boot"), "rotation": {"overlap": "10m"}})).await;
    world.ready("web").await;
    // Nobody knows which secret minted what a person has brought.
    world.eventually("it is counted", async || world.moved().await == (1, 0)).await;
    assert!(world.is_safe("True").await, "before any rotation");
    assert_eq!(world.sim.calls("oauth.refresh"), 0);
    world.rotate_secret(NEW).await;
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    assert_eq!((world.minted("web").await.as_str(), world.sim.calls("oauth.refresh")), (NEW, 1));
    world.eventually("it has moved", async || world.moved().await == (1, 1)).await;
    world.told("acme", &["SecretChanged", "SecretRotated"]).await;
    let notes: Vec<_> = world.news("acme").await.into_iter().filter_map(|event| event.note).collect();
    assert!(notes[0].ends_with("took the place of another one: 1 of 1 token is issued again within 2 s"), "{notes:?}");
    assert!(notes[1].starts_with("the one token is on client secret "), "{notes:?}");
    let record = world.secret("web-record").await.unwrap();
    assert_eq!(record.record("client-secret"), world.secret("web").await.unwrap().record("client-secret"));
    // The old one in the record Secret alone is no reason to forget what it says, nor to ask again.
    world.a_while().await;
    assert_eq!(world.sim.calls("oauth.refresh"), 1);
    world.pass(TimeDelta::minutes(11));
    world.eventually("it is safe", async || world.is_safe("True").await).await;

    // One without a refresh token: it works until the old secret is revoked, and nobody can say more.
    world.sim.add_shop(shopify_sim::ShopConfig::new("other.myshopify.com"));
    world.sim.install("other.myshopify.com", CLIENT_ID, ["read_products"]).unwrap();
    let lone = world.sim.create_offline_token("other.myshopify.com", CLIENT_ID).unwrap();
    world.secret_of("lone-boot", &[("access_token", &lone)]).await;
    world.token("lone", json!({"shop": "other.myshopify.com", "source": offline("lone-boot")})).await;
    world.ready("lone").await;
    world
        .eventually("it is named", async || {
            world.safe().await.is_some_and(|(status, _, message)| {
                status == "False" && message.contains("lone without a refresh token")
            })
        })
        .await;
    assert_eq!(world.moved().await, (1, 1), "it isn't the app's to issue");
    let calls = world.sim.total_calls();
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls, "nothing is tried again and again");
    // The remedy.
    world.change("lone", json!({"spec": {"source": {"offline": {"migrate": true}}}})).await;
    world.until("lone", "migrated", |t| revision(t) == 2).await;
    world.eventually("both have moved", async || world.moved().await == (2, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_token_holds_it_until_what_it_has_expires() {
    let mut world = World::with_app("secret-rests").await;
    world.app_spec(json!({"secretRotation": {"within": "2s"}})).await;
    for name in ["a", "rests"] {
        world.token(name, client_credentials()).await;
        world.ready(name).await;
    }
    world.change("rests", json!({"spec": {"suspend": true}})).await;
    world.because("rests", "Suspended", "Suspended").await;
    world.rotate_secret(NEW).await;
    world.eventually("the other has moved", async || world.moved().await == (2, 1)).await;
    let (_, _, message) = world.safe().await.unwrap();
    assert!(message.contains("rests suspended"), "{message}");
    // Another process goes on where this one ended.
    world.stop().await;
    world.start().await;
    world.pass(TimeDelta::hours(23));
    world.ready("a").await;
    assert!(world.is_safe("False").await);
    world.pass(TimeDelta::minutes(90));
    world.eventually("what it has is dead", async || world.is_safe("True").await).await;
    world.a_while().await;
    assert_eq!(world.sim.minted_by(world.secret("rests").await.unwrap().access_token()).unwrap(), CLIENT_SECRET);
}

/// Each instance serves the tokens of its shard, and the app's status counts all.
#[tokio::test(flavor = "multi_thread")]
async fn shards_move_their_own_and_all_are_counted() {
    let mut world = World::new("secret-shards").await;
    for shard in ["one", "two"] {
        let setup = world.setup().await;
        world.start_with(shopify_token_operator::controller::Setup {
            selector: Some(format!("shard={shard}")),
            ..setup
        });
    }
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "secretRotation": {"within": "2s"}});
    let labels = |shard: &str| json!({"shard": shard});
    world
        .apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme", "labels": labels("one")}, "spec": spec}))
        .await;
    for (name, shard) in [("a", "one"), ("b", "two"), ("c", "two")] {
        let mut spec = client_credentials();
        spec["shop"] = json!(SHOP);
        spec["rotation"] = json!({"overlap": "5m"});
        let metadata = json!({"name": name, "labels": labels(shard)});
        world.apply(json!({"kind": "ShopifyToken", "metadata": metadata, "spec": spec})).await;
        world.ready(name).await;
    }
    world.rotate_secret(NEW).await;
    world.until("a", "on the new one", |t| revision(t) == 2).await;
    // The other instance doesn't see the app: it hears of the secret when it looks at a token next.
    for name in ["b", "c"] {
        world.nudge(name).await;
    }
    for name in ["a", "b", "c"] {
        world.until(name, "on the new one", |t| revision(t) == 2).await;
        assert_eq!(world.minted(name).await, NEW);
    }
    world.eventually("all are counted", async || world.moved().await == (3, 3)).await;
    assert!(world.is_safe("False").await);
    world.pass(TimeDelta::minutes(6));
    world.eventually("it is safe", async || world.is_safe("True").await).await;
}
