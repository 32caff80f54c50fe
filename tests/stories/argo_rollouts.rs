//! `rolloutRestartTargets` of kind Rollout: Argo Rollouts restarts the pods, where it is there and the operator may ask it to.

use chrono::TimeDelta;
use dev::Manifests;
use k8s_openapi::{
    api::rbac::v1::{Role, RoleBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shopify_token_operator::{kubernetes::Rollout, rbac::ROLLOUTS, time};

use crate::{
    rollout::the_old_one_lives_one_overlap_longer,
    specs::{storefront, with},
    world::{World, message},
};

const OPERATOR: &str = "shopify-token-operator";

/// Gives the operator the right that the chart's `rbac.argoRollouts` gives.
async fn grant(world: &World) {
    let rules: Vec<Value> = ROLLOUTS
        .iter()
        .map(|rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs}))
        .collect();
    let role = json!({"metadata": {"name": "rollouts"}, "rules": rules});
    let binding = json!({
        "metadata": {"name": "rollouts"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "rollouts"},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": OPERATOR}],
    });
    let new = PostParams::default();
    world.api::<Role>().create(&new, &serde_json::from_value(role).unwrap()).await.unwrap();
    world.api::<RoleBinding>().create(&new, &serde_json::from_value(binding).unwrap()).await.unwrap();
}

/// A storefront token `web` that was rotated, with an overlap of two hours.
async fn rotate(world: &World) {
    let targets = json!([{"kind": "Rollout", "name": "web"}]);
    let rotation = json!({"trigger": "1", "overlap": "2h"});
    let fields = json!({"rolloutRestartTargets": targets, "verifyInterval": "0s", "rotation": rotation});
    world.token("web", with(storefront(), fields)).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world
        .until("web", "says what is missing", |token| {
            let message = message(token, "Ready");
            message.contains("Rollout \"web\"") && message.contains("rbac.argoRollouts")
        })
        .await;
}

async fn rollout(world: &World) -> Rollout {
    world.api::<Rollout>().get("web").await.unwrap()
}

/// What Argo Rollouts says of it.
async fn say(world: &World, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    world.api::<Rollout>().patch_status("web", &PatchParams::default(), &patch).await.unwrap();
    // A rollout says nothing when it ends.
    world.pass(TimeDelta::seconds(16));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_restarted_once_it_is_there_and_the_old_token_lives_until_then() {
    let world = World::with_custom_admin("argo").await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.admin.clone());
    assert!(definitions.get_opt("rollouts.argoproj.io").await.unwrap().is_none(), "this story begins without it");
    grant(&world).await;
    rotate(&world).await;

    let file = dev::repository("tests/stories/argo_rollouts.crd.yaml");
    world.cluster.apply(&Manifests::Path(file), "default").await.unwrap();
    let web = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": "web"}}}},
    });
    let before: Value = world
        .api::<Rollout>()
        .patch("web", &PatchParams::apply("person"), &Patch::Apply(web))
        .await
        .map(|it| serde_json::to_value(it).unwrap())
        .unwrap();
    world.pass(TimeDelta::seconds(16));
    world.eventually("asked for", async || rollout(&world).await.spec.restart_at.is_some()).await;
    let asked = rollout(&world).await;
    let uid = world.tokens().get("web").await.unwrap().metadata.uid.unwrap();
    assert_eq!(asked.metadata.annotations.unwrap()[&format!("tokens.shopify-operator.dev/token-{uid}")], "2");
    assert_eq!(asked.metadata.generation, Some(before["metadata"]["generation"].as_i64().unwrap() + 1));
    let at = asked.spec.restart_at.unwrap();
    assert!(time::parse(&at).is_some(), "{at}");

    world.pass(TimeDelta::hours(3));
    world.a_while().await;
    assert_eq!(world.live().len(), 2, "a pod with the old one may run");
    say(&world, json!({"observedGeneration": "2", "restartedAt": at, "phase": "Progressing"})).await;
    world.a_while().await;
    assert_eq!(world.live().len(), 2, "a release is under way");
    say(&world, json!({"phase": "Healthy"})).await;
    world.eventually("revoked", async || world.live().len() == 1).await;
    assert_eq!(rollout(&world).await.spec.restart_at.unwrap(), at, "asked for once");
    let late = |note: Option<String>| note.is_some_and(|note| note.contains("revoked all the same"));
    assert!(!world.news("web").await.into_iter().any(|event| late(event.note)), "it had finished");
    definitions.delete("rollouts.argoproj.io", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_it_is_said_and_the_old_token_lives_one_overlap_longer() {
    let world = World::with_custom_admin("argo-forbidden").await;
    rotate(&world).await;
    the_old_one_lives_one_overlap_longer(&world).await;
}
