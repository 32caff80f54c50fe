//! custom: what a person supplies.

use chrono::TimeDelta;
use serde_json::json;

use super::{Phases, down};
use crate::{
    specs::custom,
    world::{World, condition},
};

const PROBE: &str = "admin.currentAppInstallation";

#[tokio::test(flavor = "multi_thread")]
async fn of_custom_tokens() {
    let mut world = World::new("phases-custom").await;
    let mut phases = Phases::of("custom");
    world.token("web", custom()).await;
    phases.token("new", &world, "web").await;
    world.start().await;
    world.missing("web", "CredentialsMissing").await;
    phases.token("waiting", &world, "web").await;

    world.secret_of("legacy", &[("token", "shpat_ \n")]).await;
    world.because("web", "Stalled", "InvalidCredential").await;
    phases.token("invalid", &world, "web").await;
    world.secret_of("legacy", &[("token", "shpat_nobody_knows_it")]).await;
    world.because("web", "Stalled", "TokenRejected").await;
    phases.token("refused", &world, "web").await;
    world.sim.inject(down(PROBE));
    let value = world.hand_in().await;
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("unreachable", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;
    phases.token("ready", &world, "web").await;
    world.changed(&mut phases, "web", json!({"requiredScopes": ["read_products"]})).await;
    world.ready("web").await;

    world.secret_of("legacy", &[("token", "shpat_nobody_knows_it")]).await;
    world.because("web", "Stalled", "TokenRejected").await;
    phases.token("ready-replacement-refused", &world, "web").await;
    world.secret_of("legacy", &[("token", &value)]).await;
    world.ready("web").await;
    world.suspend("web").await;
    phases.token("suspended", &world, "web").await;
    world.resume("web").await;

    world.sim.inject(down(PROBE));
    world.pass(TimeDelta::seconds(3601));
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("ready-unreachable", &world, "web").await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;
    world.sim.revoke_admin_token(&value).unwrap();
    world.pass(TimeDelta::seconds(3601));
    let rejected = Some(("False".to_owned(), "TokenRejected".to_owned()));
    world.until("web", "rejected", |t| condition(t, "Ready") == rejected).await;
    phases.token("rejected", &world, "web").await;
    world.kept_in_deletion("web").await;
    phases.token("deleting", &world, "web").await;
    phases.end();
}
