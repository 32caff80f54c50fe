//! Events: every object has its own, however long its name is, and equal ones are one series.

use chrono::TimeDelta;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::{
    specs::client_credentials,
    webhook::{Verdict, Webhook},
    world::{CLIENT_ID, CLIENT_SECRET, World, revision},
};

const OURS: &str = "tokens.shopify-operator.dev";

/// The longest name that an object may have, with a hyphen where an event's name is cut.
fn longest() -> String {
    format!("{}-{}", "a".repeat(235), "b".repeat(17))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_the_longest_name_has_its_events() {
    let mut world = World::new("events-names").await;
    world.start().await;
    let webhook = Webhook::new(&world, OURS, "*", &["shopifyapps/status"], Verdict::Deny).await;
    let name = longest();
    world.secret_of(&name, &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    let spec = json!({"credentialsRef": {"name": name}});
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": name}, "spec": spec})).await;
    world.told(&name, &["WriteRefused"]).await;
    webhook.remove().await;

    let admin = format!("{}.admin", "c".repeat(247));
    world.token(&admin, json!({"source": {"clientCredentials": {"appRef": {"name": name}}}})).await;
    world.ready(&admin).await;
    world.told(&admin, &["Issued"]).await;
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": admin}}}})).await;
    world.ready("web").await;
    assert_eq!(world.metrics.encode().unwrap().lines().find(|l| l.starts_with("kubernetes_events_lost_total 1")), None);
    world.delete("web").await;
    world.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_events_within_minutes_are_one_series() {
    let world = World::with_app("events-series").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    let rotate = async |to: i64| {
        world.change("web", json!({"spec": {"rotation": {"trigger": to.to_string()}}})).await;
        world.until("web", "rotated", |t| revision(t) == to).await;
    };
    let counts = async || -> Vec<i32> {
        let rotated = world.news("web").await.into_iter().filter(|e| e.reason.as_deref() == Some("Rotated"));
        rotated.map(|e| e.series.map_or(1, |series| series.count)).collect()
    };
    let told = async |wish: &[i32]| {
        world.eventually(&format!("told {wish:?} times"), async || counts().await == wish).await;
    };
    rotate(2).await;
    told(&[1]).await;
    rotate(3).await;
    rotate(4).await;
    told(&[3]).await;
    let event = world.news("web").await.into_iter().find(|e| e.reason.as_deref() == Some("Rotated")).unwrap();
    assert!(event.series.unwrap().last_observed_time >= event.event_time.unwrap());
    assert_eq!(event.reporting_controller.as_deref(), Some("shopify-token-operator"));
    assert!(event.reporting_instance.is_some_and(|instance| !instance.is_empty()));

    // One that is gone is told anew.
    world.api::<Event>().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    rotate(5).await;
    told(&[1]).await;
    world.pass(TimeDelta::minutes(7));
    rotate(6).await;
    told(&[1, 1]).await;
}
