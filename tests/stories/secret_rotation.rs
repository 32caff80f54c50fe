//! A client secret is rotated: every token of the app moves to the new one, and a person learns when the old one can go.

use chrono::TimeDelta;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shopify_token_operator::api::ShopifyApp;

use crate::{
    specs::client_credentials,
    world::{CLIENT_ID, CLIENT_SECRET, SHOP, World, revision},
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
