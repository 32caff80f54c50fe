//! Grants: a ShopifyApp of one namespace, and tokens of another.

use std::time::Duration;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_token_operator::api::{ShopifyApp, ShopifyToken};

use crate::{
    specs::{storefront, with},
    world::{CANARY, CLIENT_ID, CLIENT_SECRET, SHOP, World, condition, message},
};

/// By a watch, not at the end of a back-off or by the net below it.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Labels, shop and source as the tokens here have them.
pub(crate) fn to_web() -> Value {
    json!([{"namespaces": {"matchLabels": {"team": "web"}}}])
}

pub(crate) fn to_others() -> Value {
    json!([{"namespaces": {"matchLabels": {"team": "app"}}}])
}

/// A token that names the app `acme` of another namespace.
pub(crate) fn of(world: &World) -> Value {
    json!({"source": {"clientCredentials": {"appRef": {"name": "acme", "namespace": world.namespace}}}})
}

pub(crate) async fn grant(platform: &World, grants: Value) {
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "grants": grants});
    platform.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
}

/// A namespace with the app and these grants, another one labelled `team: web`, and an operator over both.
async fn two(name: &str, grants: Value) -> (World, World) {
    let mut platform = World::new(name).await;
    let team = platform.beside(&format!("{name}-team"), json!({"team": "web"})).await;
    let setup = platform.setup_with(&team).await;
    platform.start_with(setup);
    platform.make_app().await;
    grant(&platform, grants).await;
    (platform, team)
}

/// The same with a Ready admin token of the app, and a storefront token `web` below it.
pub(crate) async fn two_with_web(name: &str) -> (World, World) {
    let (platform, team) = two(name, to_web()).await;
    team.token("admin", of(&platform)).await;
    team.ready("admin").await;
    team.token("web", storefront()).await;
    team.ready("web").await;
    (platform, team)
}

async fn soon<T>(what: &str, wish: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, wish).await.unwrap_or_else(|_| panic!("not at once: {what}"))
}

pub(crate) async fn held(platform: &World) -> [bool; 2] {
    [platform.is_protected::<ShopifyApp>("acme").await, platform.is_protected::<Secret>("acme-app").await]
}

async fn total(platform: &World) -> i64 {
    let app = platform.api::<ShopifyApp>().get("acme").await.unwrap();
    app.status.and_then(|s| s.tokens).map_or(0, |tokens| tokens.total)
}

fn is_ready(token: &ShopifyToken) -> bool {
    condition(token, "Ready") == Some(("True".into(), "Issued".into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_namespace_gets_its_tokens_and_nothing_of_the_app() {
    let (platform, team) = two_with_web("grant").await;
    assert_eq!(held(&platform).await, [true; 2], "until what hangs below is revoked");
    platform.strip::<ShopifyApp>("acme").await;
    platform.strip::<Secret>("acme-app").await;
    platform.eventually("it is held again", async || held(&platform).await == [true; 2]).await;
    platform.eventually("the app counts it", async || total(&platform).await == 1).await;
    let mut names = Vec::new();
    for secret in team.api::<Secret>().list(&ListParams::default()).await.unwrap() {
        names.push(secret.name_any());
        let values = secret.data.into_iter().flatten().map(|(_, value)| String::from_utf8_lossy(&value.0).into_owned());
        assert!(values.into_iter().all(|value| value != CLIENT_SECRET && value != CLIENT_ID), "{names:?}");
    }
    assert_eq!(names, ["admin", "web"]);

    team.delete("web").await;
    team.gone("web").await;
    assert!(team.live().is_empty());
    platform.eventually("nobody needs the app any more", async || held(&platform).await == [false; 2]).await;
    team.delete("admin").await;
    team.gone("admin").await;
    platform.eventually("nor counts it", async || total(&platform).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_grant_app_and_namespace_sound_the_same() {
    let other = json!({"matchLabels": {"team": "app"}});
    let web = json!({"matchLabels": {"team": "web"}});
    let grants = json!([
        {"namespaces": other},
        {"namespaces": web, "shops": ["other.myshopify.com"]},
        {"namespaces": web, "sources": ["Offline"]},
    ]);
    let (mut platform, team) = two("grant-none", grants).await;
    // A namespace that the operator would watch, if there were one.
    platform.stop().await;
    let mut setup = platform.setup_with(&team).await;
    setup.namespaces.push("nowhere".to_owned());
    platform.start_with(setup);

    let named = |name: &str, namespace: &str| json!({"source": {"clientCredentials": {"appRef": {"name": name, "namespace": namespace}}}});
    let mut heard = Vec::new();
    for (name, spec) in [
        ("ungranted", of(&platform)),
        ("absent", named("absent", &platform.namespace)),
        ("elsewhere", named("acme", "nowhere")),
    ] {
        team.token(name, spec.clone()).await;
        let token = team.because(name, "Stalled", "NotGranted").await;
        team.told(name, &["IssueFailed"]).await;
        let place = spec["source"]["clientCredentials"]["appRef"]["namespace"].as_str().unwrap();
        let plain = |text: String| text.replace(&format!("{place:?}"), "ITS NAMESPACE");
        let conditions = token.status.unwrap().conditions.into_iter();
        let conditions: Vec<_> = conditions.map(|c| (c.type_, c.status, c.reason, plain(c.message))).collect();
        let notes = team.news(name).await.into_iter().map(|e| plain(e.note.unwrap_or_default())).collect::<Vec<_>>();
        heard.push((conditions, notes));
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
    assert!(!format!("{heard:?}").contains("acme-app"), "nothing of the app");
    assert_eq!(team.sim.total_calls(), 0);
    assert_eq!(held(&platform).await, [false; 2], "who isn't granted anything holds nothing");
    platform.eventually("nor is counted", async || total(&platform).await == 0).await;

    // What happens to the app isn't to be seen either.
    let version = async || team.tokens().get("ungranted").await.unwrap().metadata.resource_version;
    let before = version().await;
    platform.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", "shpss_canaryc0ffee")]).await;
    grant(&platform, json!([])).await;
    platform.remove::<ShopifyApp>("acme").await;
    team.a_while().await;
    assert_eq!(version().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_grant_ends_with_the_credential_and_a_new_one_is_taken_up_at_once() {
    let (platform, team) = two("grant-withdrawn", to_web()).await;
    team.token("admin", of(&platform)).await;
    team.ready("admin").await;
    team.a_while().await;
    grant(&platform, to_others()).await;
    let token = soon("withdrawn", team.because("admin", "Stalled", "NotGranted")).await;
    assert!(is_ready(&token), "it works until it ends");
    platform.eventually("it counts no more", async || total(&platform).await == 0).await;
    let calls = team.sim.total_calls();
    let asked = json!({"reconcile.fluxcd.io/requestedAt": "1", "tokens.shopify-operator.dev/rotate-at": "1"});
    team.change("admin", json!({"metadata": {"annotations": asked}})).await;
    team.pass(TimeDelta::hours(20));
    team.a_while().await;
    assert!(is_ready(&team.tokens().get("admin").await.unwrap()));
    assert_eq!(team.sim.total_calls(), calls, "nothing is issued, or asked");
    team.pass(TimeDelta::hours(5));
    let expired = |t: &ShopifyToken| condition(t, "Ready") == Some(("False".into(), "TokenExpired".into()));
    team.until("admin", "expired", expired).await;
    team.a_while().await;
    assert_eq!(team.sim.total_calls(), calls);

    grant(&platform, to_web()).await;
    soon("granted again", team.ready("admin")).await;
    platform.eventually("it counts again", async || total(&platform).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_grants_and_apps_are_noticed_at_once() {
    let (platform, team) = two("grant-wake", to_web()).await;
    team.relabel(json!({"team": null})).await;
    team.token("admin", of(&platform)).await;
    team.because("admin", "Stalled", "NotGranted").await;
    // What it has written itself has been looked at by then.
    team.a_while().await;
    team.relabel(json!({"team": "web"})).await;
    soon("the label", team.ready("admin")).await;
    platform.eventually("the app counts it", async || total(&platform).await == 1).await;
    team.a_while().await;
    team.relabel(json!({"team": "other"})).await;
    let token = soon("another label", team.because("admin", "Stalled", "NotGranted")).await;
    assert!(is_ready(&token));
    platform.eventually("the app counts it no more", async || total(&platform).await == 0).await;
    team.relabel(json!({"team": "web", "more": "labels"})).await;
    soon("the label again", team.ready("admin")).await;

    let late = json!({"source": {"clientCredentials": {"appRef": {"name": "late", "namespace": platform.namespace}}}});
    team.token("late", late).await;
    team.because("late", "Stalled", "NotGranted").await;
    team.a_while().await;
    let spec = json!({"credentialsRef": {"name": "late-app"}, "grants": to_web()});
    platform.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "late"}, "spec": spec})).await;
    let token = soon("the app", team.because("late", "Reconciling", "CredentialsMissing")).await;
    assert!(!message(&token, "Reconciling").contains("late-app"), "what the app names is told to its own namespace");
    platform.secret_of("late-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    soon("its Secret", team.ready("late")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_reaches_into_another_namespace() {
    let (platform, team) = two("grant-fields", json!([])).await;
    platform.token("admin", of(&platform)).await;
    platform.ready("admin").await;
    platform.secret_of("pasted", &[("token", "shpat_canaryc0ffee")]).await;
    let there = &platform.namespace;
    let app =
        |name: &str, namespace: &str| json!({"clientCredentials": {"appRef": {"name": name, "namespace": namespace}}});
    for (field, spec) in [
        ("app", json!({"source": app(&format!("{there}/acme"), "x")})),
        ("app", json!({"source": app(&format!("../{there}/acme"), "x")})),
        ("app's namespace", json!({"source": app("acme", &format!("../{there}"))})),
        ("app's namespace", json!({"source": app("acme", "")})),
        ("app's namespace", json!({"source": app("acme", &format!("{there}/"))})),
        ("admin token", json!({"source": {"storefront": {"adminTokenRef": {"name": format!("{there}/admin")}}}})),
        ("admin token", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin", "namespace": there}}}})),
        ("Secret", json!({"source": {"custom": {"tokenRef": {"name": format!("../{there}/pasted"), "key": "token"}}}})),
        ("own Secret", with(of(&platform), json!({"secret": {"name": format!("../{there}/pasted")}}))),
        (
            "rollout",
            with(of(&platform), json!({"rolloutRestartTargets": [{"kind": "Deployment", "name": "../x/web"}]})),
        ),
    ] {
        let spec = with(spec, json!({"shop": SHOP}));
        let object = json!({"kind": "ShopifyToken", "metadata": {"name": "reach"}, "spec": spec});
        assert!(team.try_apply(object).await.is_err(), "{field}: {spec}");
    }

    let versions = async || {
        let mut all = Vec::new();
        for secret in platform.api::<Secret>().list(&ListParams::default()).await.unwrap() {
            all.push(secret.metadata.resource_version);
        }
        for token in platform.tokens().list(&ListParams::default()).await.unwrap() {
            all.push(token.metadata.resource_version);
        }
        for app in platform.api::<ShopifyApp>().list(&ListParams::default()).await.unwrap() {
            all.push(app.metadata.resource_version);
        }
        all
    };
    platform.eventually("the app has counted", async || total(&platform).await == 1).await;
    let (before, calls) = (versions().await, team.sim.total_calls());
    // What has the same name there isn't meant.
    team.token("app", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    team.because("app", "Reconciling", "AppNotFound").await;
    team.token("below", storefront()).await;
    team.because("below", "Reconciling", "AdminTokenNotReady").await;
    team.token("custom", json!({"source": {"custom": {"tokenRef": {"name": "pasted", "key": "token"}}}})).await;
    team.because("custom", "Reconciling", "CredentialsMissing").await;
    team.token("other", of(&platform)).await;
    team.because("other", "Stalled", "NotGranted").await;
    let bad = json!({"metadata": {"labels": {"team": "web"}}, "spec": {"source": of(&platform)["source"]}});
    team.tokens().patch("other", &PatchParams::default(), &Patch::Merge(bad)).await.unwrap();
    team.a_while().await;
    for name in ["app", "below", "custom", "other"] {
        team.delete(name).await;
        team.gone(name).await;
    }
    assert_eq!(versions().await, before, "nothing of it was written");
    assert_eq!(team.sim.total_calls(), calls);
    let secrets = team.api::<Secret>().list(&ListParams::default()).await.unwrap();
    assert!(!format!("{secrets:?}").contains(CANARY) && secrets.items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_the_operator_does_not_watch_is_said_to_be() {
    let mut team = World::with_app("grant-unwatched").await;
    let platform = team.beside("grant-unseen", json!({})).await;
    platform.make_app().await;
    grant(
        &platform,
        json!([{"namespaces": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}}]),
    )
    .await;
    team.token("admin", of(&platform)).await;
    let token = team.because("admin", "Stalled", "NotGranted").await;
    let told = message(&token, "Stalled");
    assert!(told.contains("doesn't watch that namespace") && told.contains("--watch-namespaces"), "{told}");
    team.token(
        "own",
        json!({"source": {"clientCredentials": {"appRef": {"name": "acme", "namespace": team.namespace}}}}),
    )
    .await;
    team.ready("own").await;

    team.stop().await;
    let setup = team.setup_with(&platform).await;
    team.start_with(setup);
    team.ready("admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_granted_tokens_writes_nothing() {
    let (mut platform, team) = two_with_web("grant-restart").await;
    platform.eventually("the app counts it", async || total(&platform).await == 1).await;
    team.a_while().await;
    platform.stop().await;
    let (calls, writes, reconciles) =
        (team.sim.total_calls(), platform.writes().len() + team.writes().len(), platform.reconciles());
    let setup = platform.setup_with(&team).await;
    platform.start_with(setup);
    platform.eventually("all are looked at", async || platform.reconciles() >= reconciles + 2).await;
    team.a_while().await;
    assert_eq!(team.sim.total_calls(), calls);
    assert_eq!(platform.writes().len() + team.writes().len(), writes);
}

/// An operator with roles in two namespaces, as without `deploy/base/grant_role.yaml`.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_read_namespaces_nothing_is_granted_and_all_else_works() {
    let mut platform = World::new("grant-rights").await;
    let team = platform.beside("grant-rights-team", json!({"team": "web"})).await;
    let rules = json!([
        {"apiGroups": ["tokens.shopify-operator.dev", "events.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
    ]);
    let mut setup = platform.setup_with_rights(rules.clone()).await;
    setup.namespaces.push(team.namespace.clone());
    team.grant_rights(&platform.namespace, rules).await;
    let watches = setup.watches.clone();
    platform.start_with(setup);
    platform.make_app().await;
    grant(&platform, to_web()).await;
    platform.token("own", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    platform.ready("own").await;
    team.token("admin", of(&platform)).await;
    let token = team.because("admin", "Stalled", "NotGranted").await;
    let told = message(&token, "Stalled");
    assert!(told.contains("may not read namespaces"), "{told}");
    let later = tokio::time::Instant::now() + Duration::from_secs(11);
    assert_eq!(watches.missing(later), None, "it is ready all the same");
    platform.remove::<ShopifyApp>("acme").await;
    platform.eventually("the app goes", async || !platform.exists::<ShopifyApp>("acme").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_granted_nothing_keeps_nobody_from_the_one_token_of_an_app_and_shop() {
    let (platform, team) = two("grant-rival", to_others()).await;
    let pair = platform.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
    let data = [("refresh_token", pair.refresh_token.as_str())];
    let offline = |app: Value| json!({"source": {"offline": {"appRef": app, "bootstrapRef": {"name": "boot"}}}});
    team.secret_of("boot", &data).await;
    team.token("web", offline(json!({"name": "acme", "namespace": platform.namespace}))).await;
    team.because("web", "Stalled", "NotGranted").await;
    // Creation times are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    platform.secret_of("boot", &data).await;
    platform.token("web", offline(json!({"name": "acme"}))).await;
    platform.ready("web").await;
    // Once it may, the older one has it.
    grant(&platform, to_web()).await;
    platform.because("web", "Stalled", "SecretConflict").await;
}
