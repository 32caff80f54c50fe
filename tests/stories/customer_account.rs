//! customerAccount: a client of the Headless channel with where it is used, which stays right for ever.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use secrecy::SecretString;
use serde_json::{Value, json};
use shopify_sim::{CustomerClientConfig, CustomerDiscovery, Fault, FaultKind, ShopConfig, StatusFault};
use shopify_token_operator::{
    api::ShopifyToken,
    core::{customer::Discovery, vocabulary::Reason},
    shopify::OidcClient,
    time::from_kube,
};
use tokio::time::Instant;
use url::Url;

use crate::{
    specs::with,
    world::{SHOP, SecretView, World, condition, message, revision},
};

const CLIENT: &str = "shp_0b9c1f0e-canaryc0ffee";
const OLD: &str = "canaryc0ffee00000000000000000001";
const NEW: &str = "canaryc0ffee00000000000000000002";
const DISCOVERY: &str = "customer.discovery*";
const SAFE: &str = "SafeToRevokeOldSecret";

/// Data of the credentials Secret, the condition that is True for it, its reason, and a part of its message.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

fn source(client_type: &str) -> Value {
    json!({"source": {"customerAccount": {"credentialsRef": {"name": "headless"}, "clientType": client_type}}})
}

/// Whether the condition is there and says so.
fn is_safe(token: &ShopifyToken, safe: bool) -> bool {
    let says = if safe { ("True", "NoTokenOnOldSecret") } else { ("False", "TokensOnOldSecret") };
    condition(token, SAFE).is_some_and(|(status, reason)| (status.as_str(), reason.as_str()) == says)
}

impl World {
    /// A client with a secret, in the shop's channel and in Secret `headless`.
    async fn with_client(name: &str) -> Self {
        let mut world = Self::new(name).await;
        world.start().await;
        world.sim.add_customer_client(SHOP, CustomerClientConfig::confidential(CLIENT, OLD)).unwrap();
        world.headless(CLIENT, OLD).await;
        world
    }

    /// A Ready token `web` of it.
    async fn with_account(name: &str, more: Value) -> Self {
        let world = Self::with_client(name).await;
        world.token("web", with(source("Confidential"), more)).await;
        world.ready("web").await;
        world
    }

    async fn headless(&self, id: &str, secret: &str) {
        self.hold(&[("client_id", id), ("client_secret", secret)]).await;
    }

    /// Makes Secret `headless`, or leaves nothing else in it.
    async fn hold(&self, data: &[(&str, &str)]) {
        if !self.exists::<Secret>("headless").await {
            return self.secret_of("headless", data).await;
        }
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let patch = Patch::Merge(json!({"data": null, "stringData": data}));
        self.api::<Secret>().patch("headless", &PatchParams::default(), &patch).await.unwrap();
    }

    /// What the shop's accounts say to a client with a refresh token that is none: whether they take the client.
    async fn takes(&self, secret: &SecretView, client_id: &str, client_secret: &str) -> bool {
        let found: Discovery = serde_json::from_value(json!(secret.data)).expect("every endpoint");
        let client = OidcClient {
            shop: SHOP.parse().unwrap(),
            client_id: client_id.to_owned(),
            client_secret: Some(SecretString::from(client_secret)),
            origin: Url::parse("https://shop.example.com").unwrap().origin(),
        };
        let token = SecretString::from("none");
        match self.shopify().refresh_session(&client, &found, &token, self.clock.now()).await {
            Err(failure) if failure.reason == Reason::RefreshTokenDead => true,
            Err(failure) if failure.reason == Reason::CredentialsRejected => false,
            other => panic!("{:?}", other.map(drop)),
        }
    }

    /// What applications hold works, the older pair too.
    async fn client_works(&self) -> SecretView {
        let secret = self.secret("web").await.expect("a Secret");
        assert!(self.takes(&secret, &secret.data["client_id"], &secret.data["client_secret"]).await);
        if let Some(id) = secret.data.get("previous_client_id") {
            assert!(self.takes(&secret, id, &secret.data["previous_client_secret"]).await);
        }
        secret
    }

    async fn ask(&self, text: &str) {
        self.change("web", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": text}}})).await;
    }

    async fn verified(&self, text: &str) {
        self.ask(text).await;
        let handled = |t: &ShopifyToken| t.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some(text);
        self.until("web", "verified", handled).await;
        self.ready("web").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_its_whole_life() {
    let mut world = World::with_account("customer", json!({"rotation": {"overlap": "1h"}})).await;
    let secret = world.client_works().await;
    let keys: Vec<&str> = secret.data.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "authorization_endpoint",
            "client_id",
            "client_secret",
            "end_session_endpoint",
            "graphql_api",
            "issuer",
            "jwks_uri",
            "shop_domain",
            "token_endpoint"
        ]
    );
    assert_eq!((&*secret.data["client_id"], &*secret.data["client_secret"]), (CLIENT, OLD));
    assert_eq!(secret.data["token_endpoint"], format!("{}/oauth/token", secret.data["issuer"]));
    assert_eq!(secret.data["graphql_api"], format!("https://{SHOP}/customer/api/2026-10/graphql"));
    let token = world.tokens().get("web").await.unwrap();
    assert!(is_safe(&token, true), "before any rotation");
    assert_eq!(condition(&token, "TokenValid"), Some(("Unknown".into(), "NotChecked".into())));
    assert_eq!(world.sim.calls(DISCOVERY), 2);

    // Asked again and again, and written no more.
    for day in 1..=90 {
        world.pass(TimeDelta::days(1));
        let today = world.clock.now() - TimeDelta::minutes(1);
        let verified =
            |t: &ShopifyToken| t.status.as_ref().unwrap().last_verified_time.as_ref().map(from_kube) > Some(today);
        world.until("web", &format!("verified on day {day}"), verified).await;
    }
    world.a_while().await;
    assert_eq!(world.secret("web").await.unwrap().version, secret.version);
    world.told("web", &["Issued"]).await;

    // Another secret of the same client: published at once, and nobody has to be asked for that.
    let calls = world.sim.calls(DISCOVERY);
    world.sim.add_customer_secret(SHOP, CLIENT, NEW).unwrap();
    world.headless(CLIENT, NEW).await;
    let token = world.until("web", "rotated", |t| revision(t) == 2).await;
    assert!(is_safe(&token, false));
    let until = token.status.as_ref().unwrap().previous[0].revoke_at.0.to_string();
    assert!(message(&token, SAFE).contains(&until), "{until}: {}", message(&token, SAFE));
    let secret = world.client_works().await;
    assert_eq!((&*secret.data["client_secret"], &*secret.data["previous_client_secret"]), (NEW, OLD));
    assert_eq!(secret.data["previous_client_id"], CLIENT);
    assert_eq!(world.sim.calls(DISCOVERY), calls);
    world.told("web", &["Issued", "Rotated"]).await;
    world.stop().await;
    world.start().await;
    world.pass(TimeDelta::minutes(58));
    world.a_while().await;
    assert!(is_safe(&world.tokens().get("web").await.unwrap(), false), "applications have an hour");
    world.pass(TimeDelta::minutes(3));
    world.until("web", "safe", |t| is_safe(t, true)).await;
    let secret = world.client_works().await;
    assert!(!secret.data.keys().any(|key| key.starts_with("previous_")), "{:?}", secret.data.keys());
    world.told("web", &["Issued", "Rotated", "SafeToRevoke"]).await;
    world.sim.revoke_customer_secret(SHOP, CLIENT, OLD).unwrap();
    world.client_works().await;

    // Another client altogether.
    world.sim.add_customer_client(SHOP, CustomerClientConfig::confidential("shp_2", OLD)).unwrap();
    world.headless("shp_2", OLD).await;
    world.until("web", "rotated", |t| revision(t) == 3).await;
    let secret = world.client_works().await;
    assert_eq!((&*secret.data["client_id"], &*secret.data["previous_client_id"]), ("shp_2", CLIENT));
    assert_eq!(secret.data["previous_client_secret"], NEW);

    // The shop's accounts move: the next look finds out.
    world.sim.add_shop(ShopConfig { account_domain: Some("account.acme.example".into()), ..ShopConfig::new(SHOP) });
    world.pass(TimeDelta::minutes(61));
    world.until("web", "published anew", |t| revision(t) == 4).await;
    world.until("web", "safe", |t| is_safe(t, true)).await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.data["issuer"], "https://account.acme.example/authentication");
    world.told("web", &["Issued", "Rotated", "SafeToRevoke", "Rotated", "SafeToRevoke", "Rotated"]).await;

    world.delete("web").await;
    world.gone("web").await;
    world.eventually("its Secret goes", async || !world.exists::<Secret>("web").await).await;
    assert!(world.exists::<Secret>("headless").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_has_no_secret() {
    let mut world = World::new("customer-public").await;
    world.start().await;
    world.hold(&[("client_id", CLIENT)]).await;
    let secret = json!({"preset": "Hydrogen", "template": {"data": {"AUTH_SHOPIFY_ID": "{{ client_id }}"}}});
    world.token("web", with(source("Public"), json!({"secret": secret}))).await;
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert!(!secret.data.contains_key("client_secret"));
    assert_eq!(secret.data["PUBLIC_CUSTOMER_ACCOUNT_API_CLIENT_ID"], CLIENT);
    assert_eq!(secret.data["AUTH_SHOPIFY_ID"], CLIENT);
    let shop = secret.data["SHOP_ID"].clone();
    assert_eq!(secret.data["issuer"], format!("https://shopify.com/authentication/{shop}"));
    assert_eq!(secret.data["PUBLIC_CUSTOMER_ACCOUNT_API_URL"], format!("https://shopify.com/{shop}"));

    world.hold(&[("client_id", "shp_2")]).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!((&*secret.data["client_id"], &*secret.data["previous_client_id"]), ("shp_2", CLIENT));
    assert!(!secret.data.contains_key("previous_client_secret"));
}

const BAD: [CustomerDiscovery; 11] = [
    CustomerDiscovery::NotFound,
    CustomerDiscovery::Page,
    CustomerDiscovery::Password,
    CustomerDiscovery::Malformed,
    CustomerDiscovery::Huge,
    CustomerDiscovery::MissingField,
    CustomerDiscovery::HttpUrls,
    CustomerDiscovery::TwoRedirects,
    CustomerDiscovery::RedirectToHttp,
    CustomerDiscovery::RedirectToPort,
    CustomerDiscovery::RedirectToAddress,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_first_discovery_that_is_bad_stalls() {
    for (n, bad) in BAD.into_iter().enumerate() {
        let world = World::with_client(&format!("customer-first-{n}")).await;
        world.sim.switch(|switches| switches.customer_discovery = bad);
        world.token("web", source("Confidential")).await;
        let token = world.because("web", "Stalled", "DiscoveryInvalid").await;
        assert_eq!(condition(&token, "Ready"), Some(("False".into(), "DiscoveryInvalid".into())), "{bad:?}");
        assert_eq!(condition(&token, SAFE), None);
        world.told("web", &["IssueFailed"]).await;
        world.a_while().await;
        assert!(world.sim.calls(DISCOVERY) <= 4, "{bad:?}: {} calls", world.sim.calls(DISCOVERY));
        assert!(world.secret("web").await.is_none());
        world.sim.switch(|switches| switches.customer_discovery = CustomerDiscovery::Good);
        world.ask("mended").await;
        world.ready("web").await;
        world.client_works().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_discovery_never_replaces_a_good_one() {
    let world = World::with_account("customer-later", json!({})).await;
    let good = world.client_works().await;
    for (n, bad) in BAD.into_iter().enumerate() {
        world.sim.switch(|switches| switches.customer_discovery = bad);
        let (calls, asked) = (world.sim.calls(DISCOVERY), format!("bad-{n}"));
        world.ask(&asked).await;
        let token = world.because("web", "Stalled", "DiscoveryInvalid").await;
        assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "{bad:?}");
        assert!(world.sim.calls(DISCOVERY) - calls <= 4, "{bad:?}");
        assert_eq!(world.secret("web").await.unwrap(), good, "{bad:?}");
        world.sim.switch(|switches| switches.customer_discovery = CustomerDiscovery::Good);
        world.verified(&format!("good-{n}")).await;
    }
    let told = async || -> usize {
        let failed = world.news("web").await.into_iter().filter(|e| e.reason.as_deref() == Some("VerificationFailed"));
        let times = failed.map(|event| event.series.map_or(1, |series| series.count));
        usize::try_from(times.sum::<i32>()).unwrap()
    };
    world.eventually("each is told", async || told().await == BAD.len()).await;
    assert_eq!(world.secret("web").await.unwrap(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_of_the_accounts_alone_and_over_within_seconds() {
    let world = World::with_client("customer-outage").await;
    let down = || Fault::new(DISCOVERY, FaultKind::Status(StatusFault::new(503)));
    world.sim.inject(down());
    world.token("web", source("Confidential")).await;
    world.token("too", with(source("Confidential"), json!({"secret": {"name": "too"}}))).await;
    for name in ["web", "too"] {
        world.because(name, "Reconciling", "BackingOff").await;
    }
    // The token endpoint of the same shop answers.
    world.make_app().await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    let calls = world.sim.calls(DISCOVERY);
    for _ in 0..4 {
        world.pass(TimeDelta::seconds(11));
        world.a_while().await;
    }
    assert!(world.sim.calls(DISCOVERY) - calls <= 6, "one asks for both, every 10 s");
    world.sim.clear_faults();
    let back = Instant::now();
    for name in ["web", "too"] {
        world.ready(name).await;
    }
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());

    // Down again: what is published stays, and another pair is published all the same.
    world.sim.inject(down());
    world.ask("down").await;
    let token = world.because("web", "Reconciling", "BackingOff").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    world.sim.add_customer_secret(SHOP, CLIENT, NEW).unwrap();
    world.headless(CLIENT, NEW).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.client_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_may_do_wrong_is_named() {
    let world = World::with_client("customer-mistakes").await;
    world.remove::<Secret>("headless").await;
    world.token("web", source("Confidential")).await;
    world.because("web", "Reconciling", "CredentialsMissing").await;
    let wrong: [Wrong<'_>; 5] = [
        (&[("client_id", CLIENT)], "Reconciling", "CredentialsMissing", "clientType: Public"),
        (&[("client_secret", OLD)], "Reconciling", "CredentialsMissing", "\"client_id\""),
        (&[("client_id", CLIENT), ("client_secret", "canaryc0ffee\n")], "Stalled", "InvalidCredential", "newline"),
        (&[("client_id", "canary c0ffee"), ("client_secret", OLD)], "Stalled", "InvalidCredential", "white space"),
        (&[("client_id", CLIENT), ("client_secret", "'canaryc0ffee'")], "Stalled", "InvalidCredential", "quotes"),
    ];
    for (data, type_, reason, says) in wrong {
        world.hold(data).await;
        let told = |t: &ShopifyToken| {
            condition(t, type_) == Some(("True".into(), reason.into())) && message(t, type_).contains(says)
        };
        let token = world.until("web", says, told).await;
        assert!(!message(&token, type_).contains("canaryc0ffee\n"), "{}", message(&token, type_));
    }
    assert_eq!(world.sim.calls(DISCOVERY), 0);
    world.headless(CLIENT, OLD).await;
    world.ready("web").await;

    // What is published stays, and nothing is said to be safe while nobody can tell.
    world.headless(CLIENT, "can ary").await;
    let token = world.because("web", "Stalled", "InvalidCredential").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    assert!(is_safe(&token, false));
    world.change("web", json!({"spec": {"source": {"customerAccount": {"clientType": "Public"}}}})).await;
    let says = |t: &ShopifyToken| message(t, "Stalled").contains("clientType: Confidential");
    world.until("web", "told", says).await;
    world.hold(&[("client_id", CLIENT)]).await;
    world.until("web", "a public client", |t| revision(t) == 2).await;
    let secret = world.secret("web").await.unwrap();
    assert!(!secret.data.contains_key("client_secret"));
    assert_eq!((&*secret.data["previous_client_id"], &*secret.data["previous_client_secret"]), (CLIENT, OLD));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_or_a_loss_is_repaired_without_the_shop() {
    let world = World::with_account("customer-repair", json!({"verifyInterval": 0})).await;
    world.headless(CLIENT, NEW).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    let (calls, good) = (world.sim.calls(DISCOVERY), world.secret("web").await.unwrap());
    for key in ["issuer", "client_id", "previous_client_id"] {
        world.secret_of("web", &[(key, "https://elsewhere.example.com")]).await;
        world.eventually(key, async || world.secret("web").await.unwrap().data == good.data).await;
        world.ready("web").await;
    }
    // The value itself is gone: read anew, and the older one is found by its hash.
    world.secret_of("web", &[("client_secret", "another")]).await;
    world.until("web", "published anew", |t| revision(t) == 3).await;
    assert_eq!(world.secret("web").await.unwrap().data, good.data);

    // Lost in the overlap: the older pair is nobody's to publish any more, and still in use.
    world.remove::<Secret>("web").await;
    let token = world.until("web", "published anew", |t| revision(t) == 4).await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!((&*secret.data["client_secret"], secret.data.get("previous_client_secret")), (NEW, None));
    assert_eq!(secret.data["issuer"], good.data["issuer"]);
    assert!(is_safe(&token, false));
    world.ready("web").await;
    assert!(is_safe(&world.tokens().get("web").await.unwrap(), false));
    assert_eq!(world.sim.calls(DISCOVERY) - calls, 2, "once, for the Secret that was lost");
    world.pass(TimeDelta::hours(25));
    world.until("web", "safe", |t| is_safe(t, true)).await;

    // Nobody leads applications elsewhere by the record: the shop is asked.
    let evil = good.annotations["tokens.shopify-operator.dev/discovery"].replace("https://", "https://elsewhere.");
    let patch = json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/discovery": evil}}});
    world.api::<Secret>().patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    world.until("web", "published anew", |t| revision(t) == 5).await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!((&secret.data["issuer"], &*secret.data["client_secret"]), (&good.data["issuer"], NEW));
    assert_eq!(secret.record("discovery"), good.record("discovery"));
    assert_eq!(world.sim.calls(DISCOVERY) - calls, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_left_and_taken_up_again() {
    let world = World::with_account("customer-retain", json!({"deletionPolicy": "Retain"})).await;
    let secret = world.secret("web").await.unwrap();
    world.delete("web").await;
    world.gone("web").await;
    world.a_while().await;
    assert_eq!(world.secret("web").await.unwrap().data, secret.data);
    // What was there before is looked at first: here it isn't what it says any more.
    world.sim.add_shop(ShopConfig { account_domain: Some("account.acme.example".into()), ..ShopConfig::new(SHOP) });
    world.token("web", source("Confidential")).await;
    let token = world.ready("web").await;
    assert!(revision(&token) == 2 && is_safe(&token, true));
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.data["issuer"], "https://account.acme.example/authentication");
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_it_publishes_nothing_and_calls_nothing_safe() {
    let world = World::with_account("customer-suspend", json!({})).await;
    world.change("web", json!({"spec": {"suspend": true}})).await;
    let token = world.because("web", "Suspended", "Suspended").await;
    assert!(is_safe(&token, true));
    world.sim.add_customer_secret(SHOP, CLIENT, NEW).unwrap();
    world.headless(CLIENT, NEW).await;
    let token = world.until("web", "not safe", |t| is_safe(t, false)).await;
    assert!(message(&token, SAFE).contains("isn't published yet"), "{}", message(&token, SAFE));
    assert_eq!(world.secret("web").await.unwrap().data["client_secret"], OLD);
    world.change("web", json!({"spec": {"suspend": null}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.client_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_safe_before_the_rollout_is_over() {
    let targets = json!([{"kind": "Deployment", "name": "web"}]);
    let more = json!({"rolloutRestartTargets": targets, "rotation": {"overlap": "2h"}, "verifyInterval": 0});
    let world = World::with_account("customer-rollout", more).await;
    world.workload().await;
    world.headless(CLIENT, NEW).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.told("web", &["Issued", "Rotated"]).await;
    world.pass(TimeDelta::minutes(121));
    world.a_while().await;
    assert!(is_safe(&world.tokens().get("web").await.unwrap(), false), "the pods run with the old pair");
    assert_eq!(world.secret("web").await.unwrap().data["previous_client_secret"], OLD);
    world.play_kubelet().await;
    world.pass(TimeDelta::minutes(1));
    world.until("web", "safe", |t| is_safe(t, true)).await;
    world.told("web", &["Issued", "Rotated", "SafeToRevoke"]).await;
}
