//! `rotate`, `reconcile`, `verify`, `suspend`, `resume` and `revoke`.

use serde_json::json;

use crate::{
    plugin::plugin,
    world::{World, condition, revision},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_asked_for_and_awaited() {
    let world = World::with_storefront("rotate", json!({"rotation": {"overlap": "2h"}})).await;
    let run = plugin(&world, &["rotate", "web", "--wait", "--timeout=40s"]).await;
    let told = run.done();
    assert!(told.contains("/web: asked to rotate\n"), "{told}");
    assert!(told.contains("revision 2 is published; the one before works until 20"), "{told}");
    let token = world.ready("web").await;
    assert_eq!(revision(&token), 2);
    let asked = &token.metadata.annotations.as_ref().unwrap()["tokens.shopify-operator.dev/rotate-at"];
    assert_eq!(token.status.as_ref().unwrap().last_handled_rotate_at.as_deref(), Some(asked.as_str()));
    let life = plugin(&world, &["status", "web"]).await.done();
    assert!(life.contains("overlap ends") && life.contains("admin token admin"), "{life}");

    // Two requests of one kind, one after the other, are two rotations.
    plugin(&world, &["rotate", "-l", "!none", "--wait"]).await.done();
    assert_eq!((revision(&world.ready("web").await), revision(&world.ready("admin").await)), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_issued_again_is_read_anew() {
    let world = World::with_app("rotate-custom").await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    let value = world.secret("admin").await.unwrap().access_token().to_owned();
    world.secret_of("pasted", &[("token", &value)]).await;
    world.token("custom", json!({"source": {"custom": {"tokenRef": {"name": "pasted", "key": "token"}}}})).await;
    world.ready("custom").await;
    let told = plugin(&world, &["rotate", "custom", "--wait"]).await.done();
    assert!(told.contains("revision 1 was verified and read anew"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_shopifys_verdict() {
    let world = World::with_storefront("verify", json!({})).await;
    let told = plugin(&world, &["verify", "web", "--wait"]).await.done();
    assert!(told.contains("Verified: Shopify confirmed the credential"), "{told}");
    let told = plugin(&world, &["reconcile", "--all", "--wait"]).await.done();
    assert!(told.contains("/admin: Ready: ") && told.contains("/web: Ready: "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shopify_refuses_is_no_success() {
    let world = World::with_admin("refused").await;
    let value = world.secret("admin").await.unwrap().access_token().to_owned();
    world.secret_of("pasted", &[("token", &value)]).await;
    world.token("custom", json!({"source": {"custom": {"tokenRef": {"name": "pasted", "key": "token"}}}})).await;
    world.ready("custom").await;
    world.sim.revoke_admin_token(&value).unwrap();
    plugin(&world, &["verify", "custom", "--wait"]).await.failed(4, &["/custom: ", "Rejected"]);
    world.because("custom", "Stalled", "TokenRejected").await;
    let told = plugin(&world, &["status", "custom"]).await.done();
    assert!(told.contains("TokenRejected") && told.contains("Put a working Admin API token there"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_isnt_waited_for() {
    let world = World::with_app("stuck").await;
    world
        .token(
            "web",
            json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}, "requiredScopes": ["write_themes"]}),
        )
        .await;
    world.because("web", "Stalled", "ScopesMissing").await;
    plugin(&world, &["reconcile", "web", "--wait"]).await.failed(4, &["ScopesMissing", "write_themes", "do: "]);
    let told = plugin(&world, &["status", "web"]).await.done();
    assert!(told.contains("ScopesMissing") && told.contains("write_themes") && told.contains("What to do"), "{told}");
    world.change("web", json!({"spec": {"suspend": true}})).await;
    world.because("web", "Suspended", "Suspended").await;
    plugin(&world, &["rotate", "web", "--wait"]).await.failed(4, &["it is suspended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_than_asked() {
    let world = World::new("timeout").await;
    world.admin_token("admin").await;
    let run = plugin(&world, &["rotate", "admin", "--wait", "--timeout=2s"]).await;
    run.failed(5, &["not done within 2s", "/admin", "no operator has looked at it yet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_suspended_and_resumed() {
    let world = World::with_admin("suspend").await;
    let told = plugin(&world, &["suspend", "admin", "--wait"]).await.done();
    assert!(told.contains("nothing is issued, checked or revoked any more"), "{told}");
    assert_eq!(condition(&world.tokens().get("admin").await.unwrap(), "Suspended").unwrap().0, "True");
    let table = plugin(&world, &["status"]).await.done();
    assert!(table.contains("Suspended"), "{table}");
    plugin(&world, &["resume", "admin", "--wait"]).await.done();
    assert_eq!(condition(&world.ready("admin").await, "Suspended"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_after_it_was_said() {
    let world = World::with_storefront("revoke", json!({})).await;
    plugin(&world, &["revoke", "web"]).await.failed(2, &["no terminal", "--yes", "is revoked at Shopify at once"]);
    assert!(world.tokens().get_opt("web").await.unwrap().is_some(), "nobody has agreed");
    let run = plugin(&world, &["revoke", "admin", "--yes", "--wait", "--timeout=3s"]).await;
    run.failed(5, &["It isn't gone before these are, which are issued with it: web.", "not done within 3s"]);
    assert_eq!(world.live().len(), 1);
    let told = plugin(&world, &["revoke", "stok/web", "--yes", "--wait"]).await.done();
    assert!(told.contains("/web: deleted\n") && told.contains("/web: gone"), "{told}");
    assert_eq!(world.live().len(), 0, "revoked at Shopify");
    world.gone("admin").await;
}
