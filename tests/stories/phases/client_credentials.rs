//! clientCredentials, and what every token can go through.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::ShopConfig;

use super::{Phases, down};
use crate::{
    specs::{client_credentials, with},
    world::{World, condition},
};

const GRANT: &str = "oauth.clientCredentials";

#[tokio::test(flavor = "multi_thread")]
async fn of_client_credentials() {
    let mut world = World::new("phases-cc").await;
    let mut phases = Phases::of("clientCredentials");
    world.token("web", client_credentials()).await;
    phases.token("new", &world, "web").await;
    world.start().await;
    world.missing("web", "AppNotFound").await;
    phases.token("waiting", &world, "web").await;

    world.sim.inject(down(GRANT));
    world.make_app().await;
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("unreachable", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(1));
    world.ready("web").await;
    phases.token("ready", &world, "web").await;
    world.changed(&mut phases, "web", json!({"requiredScopes": ["read_products"]})).await;
    world.ready("web").await;

    world.change("web", json!({"spec": {"requiredScopes": ["read_themes"]}})).await;
    world.because("web", "Stalled", "ScopesMissing").await;
    phases.token("ready-scopes-missing", &world, "web").await;
    world.change("web", json!({"spec": {"requiredScopes": null}})).await;
    world.ready("web").await;
    world.adds_a_condition("web").await;
    phases.token("ready-with-a-condition-of-others", &world, "web").await;
    world.token("new", with(client_credentials(), json!({"suspend": true}))).await;
    world.because("new", "Suspended", "Suspended").await;
    phases.token("suspended-before-the-first", &world, "new").await;

    world.sim.add_shop(ShopConfig::new("outlet.myshopify.com"));
    world.token("outlet", with(client_credentials(), json!({"shop": "outlet.myshopify.com"}))).await;
    world.because("outlet", "Stalled", "AppNotInstalled").await;
    phases.token("not-installed", &world, "outlet").await;
    phases.ended_credentials(&world).await;

    world.storefront_of("web").await;
    world.delete("web").await;
    world.because("web", "Reconciling", "Revoking").await;
    phases.token("deleting-needed", &world, "web").await;
    phases.end();
}

impl Phases {
    /// A Ready `web` whose credential ends, by time and by Shopify's word, and lives again.
    async fn ended_credentials(&mut self, world: &World) {
        world.suspend("web").await;
        self.token("suspended", world, "web").await;
        world.pass(TimeDelta::hours(25));
        let expired = Some(("False".to_owned(), "TokenExpired".to_owned()));
        world.until("web", "expired", |t| condition(t, "Ready") == expired).await;
        self.token("suspended-expired", world, "web").await;
        world.resume("web").await;
        world.suspend("web").await;
        world.remove::<Secret>("web").await;
        let pending = Some(("False".to_owned(), "Pending".to_owned()));
        world.until("web", "without its Secret", |t| condition(t, "Ready") == pending).await;
        self.token("suspended-lost", world, "web").await;
        world.resume("web").await;

        world.sim.inject(down(GRANT));
        world.pass(TimeDelta::hours(17));
        world.because("web", "Reconciling", "BackingOff").await;
        self.token("ready-unreachable", world, "web").await;
        world.pass(TimeDelta::hours(8));
        world.until("web", "expired", |t| condition(t, "Ready") == expired).await;
        self.token("expired", world, "web").await;
        world.sim.clear_faults();
        world.pass(TimeDelta::minutes(6));
        world.ready("web").await;

        world.sim.revoke_admin_token(world.secret("web").await.unwrap().access_token()).unwrap();
        world.sim.inject(down(GRANT));
        world.pass(TimeDelta::seconds(3601));
        let rejected = Some(("False".to_owned(), "TokenRejected".to_owned()));
        world.until("web", "rejected", |t| condition(t, "Ready") == rejected).await;
        self.token("rejected", world, "web").await;
        world.sim.clear_faults();
        world.pass(TimeDelta::minutes(6));
        world.ready("web").await;
    }
}

impl World {
    /// A Ready storefront token that needs this admin token for its revocation.
    async fn storefront_of(&self, admin: &str) {
        self.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": admin}}}})).await;
        self.ready("sf").await;
    }
}
