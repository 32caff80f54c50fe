//! offline: approved by a merchant, refreshed, and dead when nobody can refresh it any more.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::ShopConfig;

use super::{Phases, down};
use crate::{
    offline::offline,
    world::{CLIENT_ID, SHOP, World, condition},
};

const REFRESH: &str = "oauth.refresh";

#[tokio::test(flavor = "multi_thread")]
async fn of_offline_tokens() {
    let mut world = World::new("phases-offline").await;
    let mut phases = Phases::of("offline");
    world.token("web", offline(json!({}))).await;
    phases.token("new", &world, "web").await;
    world.start().await;
    world.missing("web", "AppNotFound").await;
    phases.token("waiting", &world, "web").await;

    world.sim.inject(down(REFRESH));
    let pair = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
    world.pass(TimeDelta::hours(2));
    world.boot(&pair).await;
    world.make_app().await;
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("unreachable", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;
    phases.token("ready", &world, "web").await;
    world.changed(&mut phases, "web", json!({"requiredScopes": ["read_products"]})).await;
    world.ready("web").await;
    world.suspend("web").await;
    phases.token("suspended", &world, "web").await;
    world.resume("web").await;

    world.token("rival", offline(json!({}))).await;
    world.because("rival", "Stalled", "SecretConflict").await;
    phases.token("conflict", &world, "rival").await;
    world.sim.add_shop(ShopConfig::new("outlet.myshopify.com"));
    let unapproved = json!({"source": {"offline": {"appRef": {"name": "acme"}}}, "shop": "outlet.myshopify.com"});
    world.token("outlet", unapproved).await;
    world.because("outlet", "Stalled", "ConsentRequired").await;
    phases.token("awaits-approval", &world, "outlet").await;
    phases.deaths(&world).await;

    world.kept_in_deletion("web").await;
    phases.token("deleting", &world, "web").await;
    phases.end();
}

impl Phases {
    /// A Ready `web` that can't be refreshed, by time and for ever.
    async fn deaths(&mut self, world: &World) {
        let expired = Some(("False".to_owned(), "TokenExpired".to_owned()));
        world.sim.inject(down(REFRESH));
        world.pass(TimeDelta::minutes(41));
        world.because("web", "Reconciling", "BackingOff").await;
        self.token("ready-unreachable", world, "web").await;
        world.pass(TimeDelta::minutes(25));
        world.until("web", "expired", |t| condition(t, "Ready") == expired).await;
        self.token("expired", world, "web").await;
        world.sim.clear_faults();
        world.pass(TimeDelta::minutes(6));
        world.ready("web").await;

        for key in ["refresh_token", "previous_refresh_token"] {
            if let Some(value) = world.recorded(key).await {
                world.sim.retire_refresh_token(&value).unwrap();
            }
        }
        world.pass(TimeDelta::minutes(41));
        world.because("web", "Stalled", "RefreshTokenDead").await;
        self.token("ready-refresh-token-dead", world, "web").await;
        world.pass(TimeDelta::minutes(25));
        world.until("web", "expired", |t| condition(t, "Ready") == expired).await;
        self.token("refresh-token-dead", world, "web").await;

        world.change("web", json!({"spec": {"source": {"offline": {"bootstrapRef": null}}}})).await;
        world.remove::<Secret>("web-record").await;
        world.remove::<Secret>("web").await;
        let lost = Some(("False".to_owned(), "ConsentRequired".to_owned()));
        world.until("web", "without anything", |t| condition(t, "Ready") == lost).await;
        self.token("lost", world, "web").await;
    }
}
