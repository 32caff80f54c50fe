//! Bad input: each mistake has its reason, says what to do, costs next to nothing, and heals once mended.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::TimeDelta;
use serde_json::{Value, json};
use shopify_sim::{ShopConfig, Switches, WrongSecret};

use crate::world::{CANARY, CLIENT_ID, CLIENT_SECRET, SCOPES, SHOP, World, condition, message};

const TOKEN_ENDPOINT: &str = "oauth.clientCredentials";

fn of_app(name: &str) -> Value {
    json!({"source": {"clientCredentials": {"appRef": {"name": name}}}})
}

/// Waits for the refusal of `name` and checks all that every refusal has in common.
pub(crate) async fn refused(world: &World, name: &str, type_: &str, reason: &str, says: &str) {
    let token = world.because(name, type_, reason).await;
    let text = message(&token, type_);
    assert!(text.contains(says), "{text}");
    assert_eq!(condition(&token, "Ready"), Some(("False".into(), reason.into())));
    let other = if type_ == "Stalled" { "Reconciling" } else { "Stalled" };
    assert_eq!(condition(&token, other), None);

    world
        .eventually(&format!("{name} has its warning"), async || {
            let news = world.news(name).await;
            news.iter().any(|e| {
                (e.type_.as_deref(), e.reason.as_deref()) == (Some("Warning"), Some("IssueFailed"))
                    && e.note.as_ref().is_some_and(|n| n.starts_with(reason))
            })
        })
        .await;
    let told = format!("{:?} {:?}", token.status, world.news(name).await);
    assert!(!told.contains(CANARY), "{told}");
    assert!(world.secret(name).await.is_none(), "nothing is published");
}

/// Waits until `name` is Ready, which a watch brings about in a moment.
pub(crate) async fn heals(world: &World, name: &str) {
    let mended = Instant::now();
    world.ready(name).await;
    assert!(mended.elapsed() < Duration::from_secs(10), "{name} took {:?}", mended.elapsed());
}

/// How many attempts a token may have made: five seconds and more apart.
pub(crate) fn few(since: Instant) -> u64 {
    1 + since.elapsed().as_secs() / 5
}

/// What is mended at Shopify is noticed by the next attempt, ten minutes later at most.
pub(crate) async fn heals_at_the_next_attempt(world: &World, name: &str) {
    world.pass(TimeDelta::minutes(11));
    heals(world, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_waited_for_without_a_call() {
    let mut world = World::new("bad-missing").await;
    world.start().await;
    world.token("web", of_app("acme")).await;
    world.because("web", "Reconciling", "AppNotFound").await;
    world.pass(TimeDelta::seconds(10));
    refused(&world, "web", "Reconciling", "AppNotFound", "\"acme\" isn't there yet").await;

    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": {"credentialsRef": {"name": "acme-app"}}})).await;
    refused(&world, "web", "Reconciling", "CredentialsMissing", "make it with the keys client_id and client_secret")
        .await;

    world.secret_of("acme-app", &[("client_id", CLIENT_ID)]).await;
    world
        .eventually("the missing key is named", async || {
            let token = world.because("web", "Reconciling", "CredentialsMissing").await;
            message(&token, "Reconciling").contains("has no key \"client_secret\"")
        })
        .await;
    world.token("custom", json!({"source": {"custom": {"tokenRef": {"name": "theirs", "key": "token"}}}})).await;
    world.because("custom", "Reconciling", "CredentialsMissing").await;
    world.storefront("shop", json!({})).await;
    world.because("shop", "Reconciling", "AdminTokenNotReady").await;
    world.pass(TimeDelta::seconds(10));
    refused(&world, "custom", "Reconciling", "CredentialsMissing", "make it with the token under key \"token\"").await;
    refused(&world, "shop", "Reconciling", "AdminTokenNotReady", "\"admin\" (adminTokenRef) isn't there yet").await;
    assert_eq!(world.sim.total_calls(), 0);

    world.make_app().await;
    heals(&world, "web").await;
    world.admin_token("admin").await;
    heals(&world, "shop").await;
    let theirs = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("theirs", &[("token", &theirs)]).await;
    heals(&world, "custom").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_credentials_never_leave_their_secret() {
    let world = World::with_app("bad-value").await;
    world.ready_app("acme").await;
    for (value, says) in [
        ("shpss_canaryc0ffee\n".to_owned(), "key \"client_secret\" of Secret \"acme-app\" ends in a newline"),
        ("shpss_\u{7}canaryc0ffee".to_owned(), "has a control character"),
        ("shpss canaryc0ffee".to_owned(), "has white space"),
        (String::new(), "is empty"),
    ] {
        world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", &value)]).await;
        world.token("web", of_app("acme")).await;
        world
            .eventually(says, async || {
                let token = world.because("web", "Stalled", "InvalidCredential").await;
                message(&token, "Stalled").contains(says)
            })
            .await;
        refused(&world, "web", "Stalled", "InvalidCredential", says).await;
        world.eventually("the app says so", async || world.app_is("acme", "Stalled", "InvalidCredential").await).await;
    }
    world.secret_of("theirs", &[("token", "shpat_canaryc0ffee\n")]).await;
    world.token("custom", json!({"source": {"custom": {"tokenRef": {"name": "theirs", "key": "token"}}}})).await;
    refused(&world, "custom", "Stalled", "InvalidCredential", "ends in a newline").await;
    assert_eq!(world.sim.total_calls(), 0);

    world.make_app().await;
    heals(&world, "web").await;
    world.ready_app("acme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_is_told_however_shopify_words_it() {
    for (switch, says) in [
        (WrongSecret::InvalidRequest, "either the client secret is wrong or revoked, or the app isn't installed"),
        (WrongSecret::InvalidClient400, "refuses the app's client id or secret"),
        (WrongSecret::InvalidClient401, "refuses the app's client id or secret"),
    ] {
        let world = World::with_app("bad-secret").await;
        world.sim.set_switches(Switches { cc_wrong_secret: switch, ..Switches::default() });
        world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", "shpss_wrongcanaryc0ffee")]).await;
        let started = Instant::now();
        world.token("web", of_app("acme")).await;
        refused(&world, "web", "Stalled", "CredentialsRejected", says).await;
        world
            .eventually("the app says so", async || world.app_is("acme", "Stalled", "CredentialsRejected").await)
            .await;
        world.a_while().await;
        assert!(world.sim.calls(TOKEN_ENDPOINT) <= few(started), "an attempt, then patience");
        world.make_app().await;
        heals(&world, "web").await;
        world.ready_app("acme").await;
        world.told("web", &["IssueFailed", "Issued"]).await;
    }
}

/// Shopify refuses all of these; only their shape says what became of the value.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_quotes_or_encoded_twice_is_told_by_its_shape() {
    let world = World::with_app("bad-shape").await;
    let quoted = |value: &str| format!("{value:?}");
    let encoded = |value: &str| BASE64_STANDARD.encode(format!("{value}\n"));
    for (secret, says) in [
        (quoted(CLIENT_SECRET), "the value of client_secret stands in quotes"),
        (encoded(CLIENT_SECRET), "the value of client_secret looks like base64"),
    ] {
        world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", &secret)]).await;
        world.token("web", of_app("acme")).await;
        refused(&world, "web", "Stalled", "CredentialsRejected", says).await;
        let told = message(&world.tokens().get("web").await.unwrap(), "Stalled");
        assert!(!told.contains(secret.trim_matches(['"', '='])), "{told}");
        world.make_app().await;
        heals(&world, "web").await;
        world.delete("web").await;
        world.gone("web").await;
    }
    for (encode, says) in [
        (&quoted as &dyn Fn(&str) -> String, "the value stands in quotes"),
        (&encoded, "the value looks like base64 of a credential, encoded twice"),
    ] {
        let value = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
        world.secret_of("theirs", &[("token", &encode(&value))]).await;
        world.token("custom", json!({"source": {"custom": {"tokenRef": {"name": "theirs", "key": "token"}}}})).await;
        refused(&world, "custom", "Stalled", "TokenRejected", says).await;
        world.secret_of("theirs", &[("token", &value)]).await;
        heals(&world, "custom").await;
        world.delete("custom").await;
        world.gone("custom").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_shopify_is_asked_rarely() {
    let world = World::with_app("bad-shop").await;
    let (elsewhere, started) = ("nosuch.myshopify.com", Instant::now());
    world
        .token("nosuch", json!({"shop": elsewhere, "source": {"clientCredentials": {"appRef": {"name": "acme"}}}}))
        .await;
    refused(&world, "nosuch", "Stalled", "ShopNotFound", elsewhere).await;
    world.sim.add_shop(ShopConfig::new("other.myshopify.com"));
    world
        .token(
            "other",
            json!({"shop": "other.myshopify.com", "source": {"clientCredentials": {"appRef": {"name": "acme"}}}}),
        )
        .await;
    refused(&world, "other", "Stalled", "AppNotInstalled", "install").await;
    world.a_while().await;
    assert!(world.sim.total_calls() <= 2 * few(started));

    world.sim.add_shop(ShopConfig::new(elsewhere));
    world.sim.install(elsewhere, CLIENT_ID, SCOPES.iter().copied()).unwrap();
    world.sim.install("other.myshopify.com", CLIENT_ID, SCOPES.iter().copied()).unwrap();
    heals_at_the_next_attempt(&world, "nosuch").await;
    heals(&world, "other").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_scopes_publish_and_create_nothing() {
    let world = World::with_admin("bad-scopes").await;
    let started = Instant::now();
    let mut spec = of_app("acme");
    spec["requiredScopes"] = json!(["write_themes"]);
    world.token("granted", spec).await;
    refused(&world, "granted", "Stalled", "ScopesMissing", "grants no write_themes").await;

    world.storefront("shop", json!({"requiredScopes": ["unauthenticated_write_checkouts"]})).await;
    refused(&world, "shop", "Stalled", "ScopesMissing", "unauthenticated_write_checkouts").await;

    let theirs = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("theirs", &[("token", &theirs)]).await;
    world
        .token(
            "custom",
            json!({"source": {"custom": {"tokenRef": {"name": "theirs", "key": "token"}}}, "requiredScopes": ["write_themes"]}),
        )
        .await;
    refused(&world, "custom", "Stalled", "ScopesMissing", "write_themes").await;

    // Without any unauthenticated scope the create itself is denied.
    world.sim.set_scopes(SHOP, CLIENT_ID, ["read_products"]).unwrap();
    world.storefront("denied", json!({})).await;
    refused(&world, "denied", "Stalled", "ScopesMissing", "unauthenticated_").await;
    world.a_while().await;
    assert_eq!(world.live().len(), 0);
    assert!(world.sim.calls("admin.storefrontAccessTokenCreate") <= few(started));
    assert!(world.sim.calls(TOKEN_ENDPOINT) <= 1 + few(started), "the admin token's and those that were refused");

    let all = SCOPES.iter().copied().chain(["write_themes", "unauthenticated_write_checkouts"]);
    world.sim.set_scopes(SHOP, CLIENT_ID, all).unwrap();
    heals_at_the_next_attempt(&world, "granted").await;
    for name in ["shop", "custom", "denied"] {
        heals(&world, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_101st_storefront_token_is_not_tried_in_a_loop() {
    let world = World::with_admin("bad-limit").await;
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(world.sim.create_storefront_token(SHOP, CLIENT_ID, &format!("by hand {n}")).unwrap().id);
    }
    let started = Instant::now();
    world.storefront("web", json!({})).await;
    refused(&world, "web", "Stalled", "LimitReached", "has 100 storefront tokens").await;
    let token = world.because("web", "Stalled", "LimitReached").await;
    assert!(message(&token, "Stalled").contains("0 carry this operator's marker"), "{}", message(&token, "Stalled"));
    world.a_while().await;
    assert!(world.sim.calls("admin.storefrontAccessTokenCreate") <= few(started));

    world.sim.delete_storefront_token(SHOP, &ids[0]).unwrap();
    heals_at_the_next_attempt(&world, "web").await;
    assert_eq!(world.live().len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_without_a_bound_holds_nobody_up() {
    let mut world = World::with_app("bad-template").await;
    let templates = [
        "{{ access_token|indent(100000000000) }}".to_owned(),
        "{% for a in range(9000) %}{{ ('a' * 20000000)|upper|lower }}{% endfor %}".to_owned(),
        format!("{{{{ {}1 }}}}", "not ".repeat(16_000)),
        format!("{{% set x = '{}' %}}{}", "x".repeat(30_000), "{% set x = x ~ x %}".repeat(1000)),
    ];
    for (n, template) in templates.iter().enumerate() {
        let mut spec = of_app("acme");
        spec["secret"] = json!({"template": {"data": {"KEY": template}}});
        world.token(&format!("bad-{n}"), spec.clone()).await;
        spec["suspend"] = json!(true);
        world.token(&format!("suspended-{n}"), spec).await;
    }
    world.token("good", of_app("acme")).await;
    heals(&world, "good").await;
    for n in 0..templates.len() {
        refused(&world, &format!("bad-{n}"), "Stalled", "InvalidTemplate", "spec.secret.template.data[KEY]").await;
        world.because(&format!("suspended-{n}"), "Suspended", "Suspended").await;
    }
    assert_eq!(world.sim.total_calls(), 1, "the good one's");

    // It ended the operator at every start.
    world.stop().await;
    world.start().await;
    world.token("another", of_app("acme")).await;
    heals(&world, "another").await;
}
