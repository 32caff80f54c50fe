//! Bad specs: refused by the API server where it can tell, else told in the status, without a call to Shopify.

use serde_json::{Value, json};

use crate::world::{SHOP, World, message};

async fn rejected(world: &World, spec: Value, says: &str) {
    let mut spec = spec;
    spec["shop"] = spec.get("shop").cloned().unwrap_or(json!(SHOP));
    let object = json!({"kind": "ShopifyToken", "metadata": {"name": "refused"}, "spec": spec});
    match world.try_apply(object).await {
        Err(kube::Error::Api(status)) => assert!(status.message.contains(says), "{}", status.message),
        other => panic!("the API server should say {says:?}: {other:?}"),
    }
}

fn of_app(more: &Value) -> Value {
    let mut spec = json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_what_its_schema_knows() {
    let world = World::new("bad-schema").await;
    for type_ in [
        "kubernetes.io/service-account-token",
        "kubernetes.io/tls",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    ] {
        let spec = of_app(&json!({"secret": {"template": {"type": type_}}}));
        rejected(&world, spec, "must be Opaque or a type of your own").await;
    }
    for labels in ["labels", "annotations"] {
        for key in ["kubernetes.io/x", "app.k8s.io/x", "tokens.shopify-operator.dev/token-id"] {
            let spec = of_app(&json!({"secret": {"template": {"metadata": {labels: {key: "x"}}}}}));
            rejected(&world, spec, "template.metadata").await;
        }
    }
    for field in [
        json!({"renewBefore": "0s"}),
        json!({"renewBefore": "500ms"}),
        json!({"renewBefore": "-1h"}),
        json!({"renewBefore": "1d"}),
        json!({"renewBefore": "soon"}),
        json!({"verifyInterval": "1"}),
        json!({"rotation": {"interval": "0"}}),
        json!({"rotation": {"overlap": "9999999h"}}),
    ] {
        rejected(&world, of_app(&field), "must be").await;
    }
    for shop in [
        "evil.com#.myshopify.com",
        "a.myshopify.com.evil.com",
        "Acme.myshopify.com",
        "acme.myshopify.com.",
        "acme.myshopify.com:443",
        "..myshopify.com",
        "a@b.myshopify.com",
        "äcme.myshopify.com",
        "127.0.0.1",
    ] {
        rejected(&world, of_app(&json!({"shop": shop})), "spec.shop").await;
    }
    rejected(&world, json!({"source": {}}), "exactly one of").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_operator_can_tell_is_stalled_without_a_call() {
    let world = World::with_app("bad-spec").await;
    let key = json!({"secret": {"template": {"data": {"URL": "{{ acess_token }}"}}}});
    let syntax = json!({"secret": {"template": {"data": {"URL": "{{ access_token"}}}});
    let cases = [
        (of_app(&key), "InvalidTemplate", "template.data[URL]"),
        (of_app(&syntax), "InvalidTemplate", "template.data[URL]"),
        (
            of_app(&json!({"secret": {"preset": "Hydrogen"}})),
            "InvalidTemplate",
            "Hydrogen publishes the token to browsers",
        ),
        (
            json!({"source": {"offline": {"appRef": {"name": "acme"}}}}),
            "ConsentRequired",
            "source.offline.bootstrapRef",
        ),
        (
            json!({"source": {"clientCredentials": {"appRef": {"name": "acme", "namespace": "default"}}}}),
            "NotGranted",
            "use a ShopifyApp of namespace",
        ),
    ];
    for (n, (spec, reason, says)) in cases.into_iter().enumerate() {
        let name = format!("t{n}");
        world.token(&name, spec).await;
        let token = world.because(&name, "Stalled", reason).await;
        assert!(message(&token, "Stalled").contains(says), "{}", message(&token, "Stalled"));
        world.eventually("a warning", async || world.events(&name).await == ["IssueFailed"]).await;
        assert!(world.secret(&name).await.is_none());
    }
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), 0);
    for name in ["t0", "t1", "t2"] {
        world.change(name, json!({"spec": {"secret": null}})).await;
        world.ready(name).await;
    }
    assert_eq!(world.sim.total_calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_and_forbidden_apps_look_the_same() {
    let world = World::with_app("bad-grant").await;
    let elsewhere = World::with_app("bad-granted").await;
    let mut texts = Vec::new();
    for app in ["acme", "absent"] {
        let reference = json!({"name": app, "namespace": elsewhere.namespace});
        world.token(app, json!({"source": {"clientCredentials": {"appRef": reference}}})).await;
        let token = world.because(app, "Stalled", "NotGranted").await;
        texts.push(message(&token, "Stalled"));
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(world.sim.total_calls() + elsewhere.sim.total_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_token_must_be_one_and_of_the_same_shop() {
    let world = World::with_storefront("bad-admin", json!({})).await;
    let before = world.sim.total_calls();
    let mut spec = json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}});
    world.token("chained", spec.clone()).await;
    let token = world.because("chained", "Stalled", "InvalidCredential").await;
    assert!(message(&token, "Stalled").contains("isn't an Admin API token"));

    spec["source"]["storefront"]["adminTokenRef"]["name"] = json!("admin");
    spec["shop"] = json!("other.myshopify.com");
    world.token("foreign", spec).await;
    let token = world.because("foreign", "Stalled", "ShopNotPermitted").await;
    assert!(message(&token, "Stalled").contains("name one of the same shop"));
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), before);
    assert_eq!(world.live().len(), 1);

    world.change("chained", json!({"spec": {"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}}})).await;
    world.ready("chained").await;
}
