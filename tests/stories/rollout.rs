//! `rolloutRestartTargets`: workloads are restarted once, and the old token lives until they have been.

use chrono::TimeDelta;
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apps::v1::{DaemonSet, Deployment},
    core::v1::Pod,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    specs::{client_credentials, custom, storefront, with},
    world::{World, message, revision},
};

impl World {
    /// A Deployment of one pod, which runs.
    pub(crate) async fn workload(&self) {
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web"}]},
        });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        });
        let parameters = PatchParams::apply("person");
        self.api::<Deployment>().patch("web", &parameters, &Patch::Apply(deployment)).await.unwrap();
        self.play_kubelet().await;
    }

    /// Runs the pods that are there until the Deployment's rollout has finished.
    pub(crate) async fn play_kubelet(&self) {
        self.eventually("the rollout has finished", async || {
            for pod in self.api::<Pod>().list(&ListParams::default()).await.unwrap() {
                let time = "2026-01-01T00:00:00Z";
                let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": time});
                let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
                // It may have been removed meanwhile.
                drop(
                    self.api::<Pod>()
                        .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status))
                        .await,
                );
            }
            let deployment = self.api::<Deployment>().get("web").await.unwrap();
            deployment.status.is_some_and(|s| {
                s.observed_generation == deployment.metadata.generation
                    && (s.replicas, s.updated_replicas, s.available_replicas) == (Some(1), Some(1), Some(1))
            })
        })
        .await;
    }

    /// The revision that a token has asked the Deployment to run with.
    pub(crate) async fn asked_for(&self, token: &str) -> Option<String> {
        let uid = self.tokens().get(token).await.unwrap().uid().unwrap();
        let template = self.api::<Deployment>().get("web").await.unwrap().spec.unwrap().template;
        template.metadata?.annotations?.get(&format!("tokens.shopify-operator.dev/token-{uid}")).cloned()
    }

    async fn restarts(&self) -> i64 {
        self.api::<Deployment>().get("web").await.unwrap().metadata.generation.unwrap()
    }
}

fn restarting(spec: serde_json::Value) -> serde_json::Value {
    let targets = json!([{"kind": "Deployment", "name": "web"}]);
    with(spec, json!({"rolloutRestartTargets": targets, "verifyInterval": "0s"}))
}

fn restarting_missing(spec: serde_json::Value) -> serde_json::Value {
    let targets = json!([{"kind": "Deployment", "name": "web"}, {"kind": "DaemonSet", "name": "not-there"}]);
    with(spec, json!({"rolloutRestartTargets": targets, "verifyInterval": "0s"}))
}

/// Nobody knows of a workload whether it runs with the old token: that lives for an overlap of two hours more, and it is told.
pub(crate) async fn the_old_one_lives_one_overlap_longer(world: &World) {
    world.pass(TimeDelta::hours(3));
    world.a_while().await;
    assert_eq!(world.live().len(), 2, "nobody knows what runs with the old one");
    world.pass(TimeDelta::hours(2));
    world.eventually("revoked", async || world.live().len() == 1).await;
    world.eventually("told", async || world.events("web").await.contains(&"RolloutNotFinished".to_owned())).await;
}

/// A workload, and a Ready token `web` that is being rotated with an overlap of two hours.
async fn rotated(name: &str, spec: serde_json::Value) -> World {
    let world = World::with_custom_admin(name).await;
    world.workload().await;
    world.token("web", with(spec, json!({"rotation": {"trigger": "1", "overlap": "2h"}}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn once_for_each_replacement() {
    let world = World::with_app("rollout-once").await;
    world.workload().await;
    let before = world.restarts().await;
    world.token("web", restarting(client_credentials())).await;
    world.ready("web").await;
    world.a_while().await;
    assert_eq!(world.asked_for("web").await, None, "the first credential restarts nothing");

    for expected in 2..=3_i64 {
        world.pass(TimeDelta::hours(16));
        world.until("web", "renewed", |t| revision(t) == expected).await;
        let wish = Some(expected.to_string());
        world.eventually("restarted", async || world.asked_for("web").await == wish).await;
    }
    world.nudge("web").await;
    world.a_while().await;
    assert_eq!(world.restarts().await, before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_token_lives_until_the_rollout_has_finished() {
    let world = rotated("rollout-wait", restarting(storefront())).await;
    world.eventually("restarted", async || world.asked_for("web").await.as_deref() == Some("2")).await;

    world.pass(TimeDelta::hours(3));
    world.a_while().await;
    assert_eq!(world.live().len(), 2, "a pod with the old one may run");
    world.play_kubelet().await;
    world.pass(TimeDelta::seconds(16));
    world.eventually("revoked", async || world.live().len() == 1).await;
    world.told("web", &["Issued", "Rotated", "Revoked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_there_is_said_and_keeps_the_old_token_longer() {
    let world = rotated("rollout-missing", restarting_missing(storefront())).await;
    world.until("web", "says what isn't there", |t| message(t, "Ready").contains("DaemonSet \"not-there\"")).await;
    world.play_kubelet().await;
    the_old_one_lives_one_overlap_longer(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_overlap_at_most_for_each() {
    let world = World::with_custom_admin("rollout-stuck").await;
    world.workload().await;
    let rotation = json!({"rotation": {"trigger": "1", "overlap": "2h"}});
    world.token("web", with(restarting(storefront()), rotation)).await;
    world.ready("web").await;
    for trigger in ["2", "3"] {
        world.change("web", json!({"spec": {"rotation": {"trigger": trigger}}})).await;
        world.until("web", "rotated", |t| revision(t).to_string() == trigger).await;
        world.eventually("restarted", async || world.asked_for("web").await.as_deref() == Some(trigger)).await;
        world.pass(TimeDelta::hours(1));
    }
    // Two hours after the first rotation, one after the second: both overlaps are over at three hours.
    world.pass(TimeDelta::minutes(90));
    world.a_while().await;
    assert_eq!(world.live().len(), 3, "no rollout has finished");
    world.pass(TimeDelta::minutes(31));
    world.eventually("the first is revoked", async || world.live().len() == 2).await;
    world.a_while().await;
    assert_eq!(world.live().len(), 2, "the second has another hour");
    world.pass(TimeDelta::hours(1));
    world.eventually("the second is revoked", async || world.live().len() == 1).await;
    world.eventually("told", async || world.events("web").await.contains(&"RolloutNotFinished".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_freeze_on_a_target_is_said_and_blocks_nothing_else() {
    let world = World::with_custom_admin("rollout-freeze").await;
    world.workload().await;
    freeze(&world).await;
    world.token("web", with(restarting(storefront()), json!({"rotation": {"trigger": "1", "overlap": "2h"}}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.eventually("told", async || world.events("web").await.contains(&"RolloutNotFinished".to_owned())).await;
    let token = world.ready("web").await;
    assert_eq!(revision(&token), 2, "the status isn't held up");
    let note = world.news("web").await.pop().unwrap().note.unwrap();
    assert!(note.contains("Deployment \"web\"") && !note.contains("canary"), "{note}");
    // Nor is what happens next.
    world.change("web", json!({"spec": {"rotation": {"trigger": "3"}}})).await;
    world.until("web", "rotated again", |t| revision(t) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_may_not_be_restarted_keeps_no_other_from_it() {
    let world = World::with_custom_admin("rollout-others").await;
    world.workload().await;
    freeze(&world).await;
    let agent = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {
            "metadata": {"labels": {"app": "agent"}},
            "spec": {"containers": [{"name": "agent", "image": "agent"}]},
        }},
    });
    let agents = world.api::<DaemonSet>();
    agents.patch("agent", &PatchParams::apply("person"), &Patch::Apply(agent)).await.unwrap();
    let targets = json!([{"kind": "Deployment", "name": "web"}, {"kind": "DaemonSet", "name": "agent"}]);
    let fields = json!({"rolloutRestartTargets": targets, "rotation": {"trigger": "1"}});
    world.token("web", with(storefront(), fields)).await;
    let key = format!("tokens.shopify-operator.dev/token-{}", world.ready("web").await.uid().unwrap());
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world
        .eventually("the other is restarted", async || {
            let template = agents.get("agent").await.unwrap().spec.unwrap().template;
            template.metadata.unwrap().annotations.is_some_and(|all| all.get(&key).map(String::as_str) == Some("2"))
        })
        .await;
    world.eventually("told", async || world.events("web").await.contains(&"RolloutNotFinished".to_owned())).await;
    assert_eq!(world.secret("web").await.unwrap().record("restarted"), None, "the first is still to be restarted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_may_not_be_read_blocks_nothing_else() {
    let mut world = World::new("rollout-unread").await;
    let rules = json!([
        {"apiGroups": ["tokens.shopify-operator.dev"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["*"]},
    ]);
    let setup = world.setup_with_rights(rules).await;
    world.start_with(setup);
    world.make_app().await;
    world.hand_in().await;
    world.token("admin", with(custom(), json!({"verifyInterval": "0s"}))).await;
    world.ready("admin").await;
    world.token("web", with(restarting(storefront()), json!({"rotation": {"trigger": "1"}}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("web", "says what isn't read", |t| message(t, "Ready").contains("Deployment \"web\"")).await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "3"}}})).await;
    world.until("web", "rotated again", |t| revision(t) == 3).await;
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
}

/// Nobody may change a Deployment of the story's namespace any more; the policy's words quote what they shouldn't.
async fn freeze(world: &World) {
    let name = format!("freeze-{}", world.namespace);
    let policy = json!({"metadata": {"name": name}, "spec": {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}],
        },
        "validations": [{"expression": "false", "message": "a freeze: canary"}],
    }});
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.admin.clone());
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    world
        .eventually("the freeze is in force", async || {
            let change = json!({"metadata": {"labels": {"tried": "yes"}}});
            let tried = PatchParams { dry_run: true, ..PatchParams::default() };
            world.api::<Deployment>().patch("web", &tried, &Patch::Merge(change)).await.is_err()
        })
        .await;
}
