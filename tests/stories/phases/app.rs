//! ShopifyApp: its credentials, a client secret that is replaced, and a deletion that waits.

use kube::api::{Patch, PatchParams};
use serde_json::json;
use shopify_token_operator::api::ShopifyApp;

use super::Phases;
use crate::{
    specs::client_credentials,
    world::{CLIENT_ID, CLIENT_SECRET, World},
};

const NEW: &str = "shpss_canaryc0ffeefedcba9876543210fedcba";

impl World {
    async fn put(&self, client_secret: &str) {
        self.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", client_secret)]).await;
    }

    async fn app_says(&self, type_: &str, reason: &str) {
        let wish = format!("{type_}: {reason}");
        self.eventually(&wish, async || self.app_is("acme", type_, reason).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_apps() {
    let mut world = World::new("phases-app").await;
    let mut phases = Phases::of("app");
    let app =
        json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": {"credentialsRef": {"name": "acme-app"}}});
    world.apply(app).await;
    phases.app("new", &world, "acme").await;
    world.start().await;
    world.app_says("Reconciling", "CredentialsMissing").await;
    phases.app("waiting", &world, "acme").await;

    world.put("with a blank").await;
    world.app_says("Stalled", "InvalidCredential").await;
    phases.app("invalid", &world, "acme").await;
    world.put(CLIENT_SECRET).await;
    world.ready_app("acme").await;
    phases.app("ready", &world, "acme").await;
    world.stop().await;
    let patch = Patch::Merge(json!({"spec": {"secretRotation": {"within": "1m"}}}));
    world.api::<ShopifyApp>().patch("acme", &PatchParams::default(), &patch).await.unwrap();
    phases.app("changed", &world, "acme").await;
    world.start().await;

    world.put("shpss_canaryc0ffee00000000000000000000dead").await;
    world.token("web", client_credentials()).await;
    world.app_says("Stalled", "CredentialsRejected").await;
    phases.app("rejected", &world, "acme").await;
    world.put(CLIENT_SECRET).await;
    world.ready("web").await;
    world.ready_app("acme").await;
    world.sim.add_secret(CLIENT_ID, NEW).unwrap();
    world.put(NEW).await;
    world.eventually("a rotation", async || world.app_moves().await).await;
    phases.app("secret-rotated", &world, "acme").await;

    world.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}})).await;
    world.ready("sf").await;
    world.remove::<ShopifyApp>("acme").await;
    world.app_says("Reconciling", "Revoking").await;
    phases.app("deleting-needed", &world, "acme").await;
    phases.end();
}

impl World {
    /// Whether the app's one token is on the new secret, and the old one isn't safe to revoke.
    async fn app_moves(&self) -> bool {
        let status = self.api::<ShopifyApp>().get("acme").await.unwrap().status.unwrap();
        let safe = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| c.type_ == "SafeToRevokeOldSecret";
        let unsafe_now = status.conditions.iter().any(|c| safe(c) && c.status == "False");
        unsafe_now && status.tokens.is_some_and(|tokens| tokens.on_current_secret == Some(1))
    }
}
