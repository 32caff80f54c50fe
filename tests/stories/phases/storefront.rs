//! storefront: rotated, never expiring.

use chrono::TimeDelta;
use serde_json::json;

use super::{Phases, down};
use crate::{
    specs::{storefront, with},
    world::{SHOP, World, condition, revision},
};

const CREATE: &str = "admin.storefrontAccessTokenCreate";

#[tokio::test(flavor = "multi_thread")]
async fn of_storefront_tokens() {
    let mut world = World::new("phases-sf").await;
    let mut phases = Phases::of("storefront");
    world.token("web", with(storefront(), json!({"rotation": {"trigger": "1"}}))).await;
    phases.token("new", &world, "web").await;
    world.start().await;
    world.missing("web", "AdminTokenNotReady").await;
    phases.token("waiting", &world, "web").await;

    world.sim.inject(down(CREATE));
    world.make_app().await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("unreachable", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(1));
    world.ready("web").await;
    phases.token("ready", &world, "web").await;
    world.changed(&mut phases, "web", json!({"rotation": {"trigger": "2"}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.ready("web").await;
    phases.token("rotated", &world, "web").await;

    let down_again = world.sim.inject(down(CREATE));
    world.change("web", json!({"spec": {"rotation": {"trigger": "3"}}})).await;
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("ready-unreachable", &world, "web").await;
    world.sim.clear_fault(down_again);
    world.pass(TimeDelta::minutes(1));
    world.until("web", "rotated", |t| revision(t) == 3).await;
    for n in 4..=6_i64 {
        world.change("web", json!({"spec": {"rotation": {"trigger": n.to_string()}}})).await;
        world.until("web", "rotated", |t| revision(t) == n).await;
    }
    world.change("web", json!({"spec": {"rotation": {"trigger": "7"}}})).await;
    world.because("web", "Reconciling", "Rotating").await;
    phases.token("ready-rotation-waits", &world, "web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "6"}}})).await;
    world.ready("web").await;
    world.suspend("web").await;
    phases.token("suspended", &world, "web").await;
    world.resume("web").await;

    world.token("other", with(storefront(), json!({"requiredScopes": ["unauthenticated_write_checkouts"]}))).await;
    world.because("other", "Stalled", "ScopesMissing").await;
    phases.token("scopes-missing", &world, "other").await;
    world.secret_of("theirs", &[("password", "theirs")]).await;
    world.token("second", with(storefront(), json!({"secret": {"name": "theirs"}}))).await;
    world.because("second", "Stalled", "SecretConflict").await;
    phases.token("conflict", &world, "second").await;
    world.leaves_alone(&["other", "second"]).await;

    world.sim.inject(down(CREATE));
    let current = world.tokens().get("web").await.unwrap().status.unwrap().token_id.unwrap();
    world.sim.delete_storefront_token(SHOP, &current).unwrap();
    world.pass(TimeDelta::seconds(3601));
    let rejected = Some(("False".to_owned(), "TokenRejected".to_owned()));
    world.until("web", "rejected", |t| condition(t, "Ready") == rejected).await;
    phases.token("rejected", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;

    world.deleted_while_down("web").await;
    phases.token("deleting-unreachable", &world, "web").await;
    phases.end();
}
