//! delegate: short-lived, made of another token.

use chrono::TimeDelta;
use serde_json::json;

use super::{Phases, down};
use crate::{
    delegate::delegate,
    specs::{custom, with},
    world::{World, condition, revision},
};

const CREATE: &str = "admin.delegateAccessTokenCreate";

#[tokio::test(flavor = "multi_thread")]
async fn of_delegates() {
    let mut world = World::new("phases-delegate").await;
    let mut phases = Phases::of("delegate");
    world.token("web", with(delegate(), json!({"rotation": {"trigger": "1"}}))).await;
    phases.token("new", &world, "web").await;
    world.start().await;
    world.missing("web", "AdminTokenNotReady").await;
    phases.token("waiting", &world, "web").await;

    world.sim.inject(down(CREATE));
    world.hand_in().await;
    world.token("admin", with(custom(), json!({"verifyInterval": "0s"}))).await;
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
    world.suspend("web").await;
    phases.token("suspended", &world, "web").await;
    world.resume("web").await;

    let scopes = json!({"adminTokenRef": {"name": "admin"}, "scopes": ["read_themes"]});
    world.token("other", json!({"source": {"delegate": scopes}})).await;
    world.because("other", "Stalled", "ScopesMissing").await;
    phases.token("scopes-missing", &world, "other").await;
    world.leaves_alone(&["other"]).await;

    world.sim.inject(down(CREATE));
    world.pass(TimeDelta::minutes(45));
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("ready-unreachable", &world, "web").await;
    world.pass(TimeDelta::minutes(20));
    let expired = Some(("False".to_owned(), "TokenExpired".to_owned()));
    world.until("web", "expired", |t| condition(t, "Ready") == expired).await;
    phases.token("expired", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;

    world.deleted_while_down("web").await;
    phases.token("deleting-unreachable", &world, "web").await;
    phases.end();
}
