//! An upgrade: what was stored before definitions and records had today's fields goes on, without a call to Shopify.

use std::fs;

use dev::{LocalCluster, Manifests, Options};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_token_operator::api::ShopifyApp;

use crate::{
    operator::{ALONE, Operator},
    world::{World, condition},
};

/// The definitions of a release before this one: without `secretRotation`, what the status of an app says of its client secret,
/// the `session` of a customerAccount, and Argo's Rollouts.
fn older() -> Manifests {
    const APP: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";
    let read = |plural: &str| -> Value {
        let path = dev::repository(&format!("crds/tokens.shopify-operator.dev_{plural}.yaml"));
        serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let (mut apps, mut tokens) = (read("shopifyapps"), read("shopifytokens"));
    without(apps.pointer_mut(&format!("{APP}/spec/properties")).unwrap(), "secretRotation");
    without(apps.pointer_mut(&format!("{APP}/status/properties")).unwrap(), "clientSecret");
    let account = format!("{APP}/spec/properties/source/properties/customerAccount/properties");
    without(tokens.pointer_mut(&account).unwrap(), "session");
    for (definition, word) in [(&mut apps, "secretRotation"), (&mut tokens, "session")] {
        forget(definition, word);
    }
    let kinds = format!("{APP}/spec/properties/rolloutRestartTargets/items/properties/kind/enum");
    let kinds = tokens.pointer_mut(&kinds).unwrap().as_array_mut().unwrap();
    let (before, rollout) = (kinds.len(), json!("Rollout"));
    kinds.retain(|kind| *kind != rollout);
    assert_eq!(kinds.len() + 1, before);
    Manifests::Yaml(format!("{apps}\n---\n{tokens}"))
}

fn without(fields: &mut Value, name: &str) {
    assert!(fields.as_object_mut().unwrap().remove(name).is_some(), "no field {name}");
}

/// Takes out every rule that speaks of a field.
fn forget(schema: &mut Value, field: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(rules) = fields.get_mut("x-kubernetes-validations").and_then(Value::as_array_mut) {
                rules.retain(|rule| !rule["rule"].as_str().unwrap_or_default().contains(field));
            }
            fields.values_mut().for_each(|value| forget(value, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, field)),
        _ => {}
    }
}

async fn app(world: &World) -> ShopifyApp {
    world.api::<ShopifyApp>().get("acme").await.unwrap()
}

fn knows_its_secret(app: &ShopifyApp) -> bool {
    app.status.as_ref().is_some_and(|status| status.client_secret.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_the_release_before_go_on() {
    let local = LocalCluster::start(Options { crds: vec![older()], quiet: true, ..Options::default() }).await.unwrap();
    let world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), "upgrade").await;
    // An operator may be upgraded before the definitions are: what they don't know isn't stored.
    let operator = Operator::start(&world, &[ALONE]).await;
    world.make_app().await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    world.storefront("web", json!({"rotation": {"trigger": "1"}})).await;
    world.ready("web").await;
    operator.stop().await;
    assert!(!knows_its_secret(&app(&world).await), "the older definition has no such field");

    // Records of that release don't say which client secret minted them.
    let secrets: Api<Secret> = world.api();
    let key = "tokens.shopify-operator.dev/client-secret";
    let patch = Patch::Merge(json!({"metadata": {"annotations": {key: null, format!("{key}-since"): null}}}));
    let before = secrets.patch("admin", &PatchParams::default(), &patch).await.unwrap();
    let web = secrets.get("web").await.unwrap();
    let calls = world.sim.calls("*");

    world.cluster.apply(&Manifests::Path(dev::repository("crds")), "default").await.unwrap();
    let operator = Operator::start(&world, &[ALONE]).await;
    world.eventually("the app is read anew", async || knows_its_secret(&app(&world).await)).await;
    for name in ["admin", "web"] {
        world.nudge(name).await;
    }
    world.a_while().await;
    for (name, before) in [("admin", before), ("web", web)] {
        let token = world.tokens().get(name).await.unwrap();
        assert_eq!(condition(&token, "Ready").unwrap().0, "True", "{name}: {token:?}");
        assert_eq!(token.status.unwrap().revision, Some(1), "{name}");
        assert!(secrets.get(name).await.unwrap().data == before.data, "{name}: another Secret");
    }
    assert_eq!(world.sim.calls("*"), calls, "nothing is asked of Shopify");

    // And what is new can be said now.
    let rotation = Patch::Merge(json!({"spec": {"secretRotation": {"within": "2h"}}}));
    world.api::<ShopifyApp>().patch("acme", &PatchParams::default(), &rotation).await.unwrap();
    assert!(app(&world).await.spec.secret_rotation.is_some());
    let targets = json!([{"kind": "Rollout", "name": "web"}]);
    world.change("web", json!({"spec": {"rolloutRestartTargets": targets, "rotation": {"trigger": "2"}}})).await;
    world.until("web", "rotated", |token| token.status.as_ref().unwrap().revision == Some(2)).await;
    operator.stop().await;
}
