//! customerAccount.session: a customer signs in once, and the session goes on, whatever happens to an answer.

use std::time::Duration;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use shopify_sim::{CustomerClientConfig, Fault, FaultKind, IdToken, StatusFault};
use shopify_token_operator::controller::Setup;

use crate::{
    browser::{APART, Browser, Pages, Shown},
    specs::with,
    world::{CANARY, CLIENT_ID, PUBLIC_URL, SHOP, World, condition, message, revision},
};

const CLIENT: &str = "shp_0b9c1f0e-session";
const OLD: &str = "canaryc0ffee00000000000000000001";
const NEW: &str = "canaryc0ffee00000000000000000002";
const CODE: &str = "customer.token.code";
const REFRESH: &str = "customer.token.refresh";

fn account(more: Value) -> Value {
    let session = json!({"scopes": ["openid", "customer-account-api:full"]});
    let source = json!({"credentialsRef": {"name": "headless"}, "clientType": "Confidential", "session": session});
    with(json!({"source": {"customerAccount": source}}), more)
}

impl World {
    /// A client in the shop's channel and in Secret `headless`, and a token `web` that waits for its customer.
    async fn without_customer(name: &str) -> Self {
        let mut world = Self::new(name).await;
        world.start().await;
        let client =
            CustomerClientConfig::confidential(CLIENT, OLD).redirects_to(format!("{PUBLIC_URL}/oauth/callback"));
        world.sim.add_customer_client(SHOP, client).unwrap();
        world.secret_of("headless", &[("client_id", CLIENT), ("client_secret", OLD)]).await;
        world.token("web", account(json!({}))).await;
        world.because("web", "Stalled", "ConsentRequired").await;
        world
    }

    /// The same, once the customer has signed in.
    pub(crate) async fn with_session(name: &str) -> (Self, Pages) {
        let world = Self::without_customer(name).await;
        let pages = Pages::start(world.setup().await).await;
        let shown = Browser::new(&world).goes_through(pages.address, &world, "approve").await;
        assert_eq!((shown.status, shown.title()), (200, "Signed in"), "{}", shown.text);
        world.ready("web").await;
        (world, pages)
    }

    async fn kept(&self, key: &str) -> Option<String> {
        self.secret("web-record").await?.data.remove(key)
    }

    /// The session that applications have lives, and is all of it that they have.
    async fn session_works(&self) -> String {
        let secret = self.secret("web").await.unwrap();
        let token = secret.data["access_token"].clone();
        assert!(self.sim.live_customer_sessions(SHOP).iter().any(|session| session.access_token == token));
        let hidden = |key: &String| ["refresh", "code", "verifier", "nonce"].iter().any(|word| key.contains(word));
        assert!(!secret.data.keys().any(hidden), "{:?}", secret.data.keys());
        assert_eq!((&*secret.data["client_id"], secret.data.contains_key("expires_at")), (CLIENT, true));
        let refresh = self.kept("refresh_token").await.unwrap();
        assert!(!secret.data.values().any(|value| *value == refresh));
        let told = serde_json::to_string(&self.tokens().get("web").await.unwrap()).unwrap();
        assert!(!told.contains(CANARY) && !told.contains(&token) && !told.contains(&refresh));
        token
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_through_its_whole_life() {
    let world = World::without_customer("session-life").await;
    let token = world.tokens().get("web").await.unwrap();
    let status = token.status.as_ref().unwrap();
    let install = format!("{PUBLIC_URL}/oauth/install/{}/web", world.namespace);
    assert_eq!(status.install_url.as_deref(), Some(install.as_str()));
    assert_eq!(condition(&token, "Ready"), Some(("False".into(), "ConsentRequired".into())));
    let client = world.secret("web").await.expect("the client doesn't wait");
    assert!(client.data["client_secret"] == OLD && !client.data.contains_key("access_token"));

    let pages = Pages::start(world.setup().await).await;
    let shown = Browser::new(&world).goes_through(pages.address, &world, "approve").await;
    assert_eq!((shown.status, shown.title()), (200, "Signed in"), "{}", shown.text);
    world.ready("web").await;
    let mut before = world.session_works().await;
    assert!(world.kept("authorization_code").await.is_none());

    // 90 days: each session follows the one before.
    for day in 0..90 {
        let known = revision(&world.tokens().get("web").await.unwrap());
        world.pass(TimeDelta::minutes(if day % 30 == 0 { 41 } else { 24 * 60 }));
        world.until("web", &format!("refreshed on day {day}"), |t| revision(t) > known).await;
        world.ready("web").await;
        let now = world.session_works().await;
        assert_ne!(before, now);
        before = now;
    }
    assert_eq!(world.sim.calls(CODE), 1);
    assert_eq!(world.sim.calls(REFRESH), 90, "one call for each");

    world.delete("web").await;
    world.gone("web").await;
    world.eventually("the record goes with it", async || !world.exists::<Secret>("web-record").await).await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_answer_is_lost_is_had_again() {
    // Shopify documents none for sessions: what there is of it is used.
    let (world, pages) = World::with_session("session-lost").await;
    world.sim.switch(|switches| switches.customer_refresh_grace = Duration::from_hours(1));
    world.sim.inject(Fault::new(REFRESH, FaultKind::CommitThenDrop).times(1));
    let known = revision(&world.tokens().get("web").await.unwrap());
    world.pass(TimeDelta::minutes(41));
    world.eventually("the answer is lost", async || world.sim.calls(REFRESH) == 1).await;
    world.pass(TimeDelta::minutes(6));
    world.until("web", "refreshed", |t| revision(t) > known).await;
    world.ready("web").await;
    world.session_works().await;

    // Should the current one be dead, the one before is tried once: it may be the one that lives.
    let (current, before) = (world.kept("refresh_token").await, world.kept("previous_refresh_token").await);
    assert!(before.is_some() && before != current, "the one before is kept");
    let lives = current.unwrap();
    world.secret_of("web-record", &[("refresh_token", "shcrt_none"), ("previous_refresh_token", &lives)]).await;
    let (calls, known) = (world.sim.calls(REFRESH), revision(&world.tokens().get("web").await.unwrap()));
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) > known).await;
    world.ready("web").await;
    world.session_works().await;
    assert_eq!(world.sim.calls(REFRESH) - calls, 2);
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_word_of_the_token_endpoint_is_the_end_of_a_session() {
    let (world, pages) = World::with_session("session-words").await;
    let json = |code: u16, error: &str| (code, format!("{{\"error\":\"{error}\",\"error_description\":\"none\"}}"));
    for (n, (code, body)) in [
        json(400, "invalid_request"),
        json(401, "invalid_client"),
        json(400, "temporarily_unavailable"),
        json(503, "invalid_grant"),
        (400, "<html><title>invalid_grant</title></html>".to_owned()),
        (520, String::new()),
    ]
    .into_iter()
    .enumerate()
    {
        let (calls, refresh) = (world.sim.calls(REFRESH), world.kept("refresh_token").await);
        let known = revision(&world.tokens().get("web").await.unwrap());
        let status = StatusFault { code, retry_after: None, body: Some(body) };
        world.sim.inject(Fault::new(REFRESH, FaultKind::Status(status)));
        world.pass(TimeDelta::minutes(41));
        let token = world.until("web", "told", |t| t.status.as_ref().unwrap().failed_attempts.is_some()).await;
        assert_ne!(condition(&token, "Stalled").map(|(_, reason)| reason).as_deref(), Some("RefreshTokenDead"), "{n}");
        assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "{n}: it lives");
        assert_eq!(world.kept("refresh_token").await, refresh, "{n}");
        assert!(world.sim.calls(REFRESH) - calls <= 3, "{n}: {}", world.sim.calls(REFRESH) - calls);
        world.sim.clear_faults();
        world.pass(TimeDelta::minutes(11));
        world.until("web", "refreshed", |t| revision(t) > known).await;
        world.ready("web").await;
        world.session_works().await;
    }
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_a_sign_in_is_believed_only_as_it_should_be() {
    let world = World::without_customer("session-doubt").await;
    let pages = Pages::start(world.setup().await).await;
    let at = pages.address;
    for wrong in [IdToken::OtherIssuer, IdToken::OtherNonce, IdToken::OtherAudience, IdToken::OtherKey, IdToken::Absent]
    {
        world.sim.switch(|switches| switches.customer_id_token = wrong);
        let shown = Browser::new(&world).goes_through(at, &world, "approve").await;
        assert_eq!(shown.title(), "No session came of it", "{wrong:?}");
        world.until("web", "told why", |t| message(t, "Stalled").contains("ID token")).await;
        assert!(!world.secret("web").await.unwrap().data.contains_key("access_token"), "{wrong:?}");
    }
    world.sim.switch(|switches| switches.customer_id_token = IdToken::Good);
    // An exchange whose answer is lost can't be had again.
    world.sim.inject(Fault::new(CODE, FaultKind::CommitThenDrop).times(1));
    let mut browser = Browser::new(&world);
    world.pass(APART);
    let asked = browser_begins(&mut browser, &pages, &world).await;
    let back = browser.decides(&asked, "approve").await;
    browser.opens(at, back.as_str()).await;
    world.until("web", "told", |t| message(t, "Stalled").contains("can't be had again")).await;

    // Crossed, replayed and declined.
    let (mut one, mut two) = (Browser::new(&world), Browser::new(&world));
    let asked = browser_begins(&mut one, &pages, &world).await;
    browser_begins(&mut two, &pages, &world).await;
    let back = one.decides(&asked, "approve").await;
    assert_eq!(two.opens(at, back.as_str()).await.status, 403, "another browser's");
    let forged = back.as_str().replace("state=", "state=x");
    assert_eq!(one.opens(at, &forged).await.status, 400);
    let denied = browser_begins(&mut two, &pages, &world).await;
    let denied = two.decides(&denied, "deny").await;
    world.pass(APART);
    assert_eq!(two.opens(at, denied.as_str()).await.status, 303);
    let shown = one.opens(at, back.as_str()).await;
    assert_eq!((shown.status, shown.title()), (429, "One moment, please"), "right after another");
    world.pass(APART);
    assert_eq!(one.opens(at, back.as_str()).await.status, 303);
    assert_eq!(one.opens(at, back.as_str()).await.status, 410, "replayed");
    world.ready("web").await;
    let before = world.session_works().await;

    // From here on it is that customer's, and nobody else's.
    world.sim.switch(|switches| switches.customer_subject = "6780000000002".into());
    let shown = Browser::new(&world).goes_through(at, &world, "approve").await;
    assert_eq!(shown.title(), "No session came of it", "{}", shown.text);
    assert_eq!(world.session_works().await, before);
    let record = world.secret("web-record").await.unwrap();
    assert!(record.annotations.values().any(|text| text.contains("another customer")), "{:?}", record.annotations);
    world.ready("web").await;
    world.sim.switch(|switches| switches.customer_subject = "6780000000001".into());
    let shown = Browser::new(&world).goes_through(at, &world, "approve").await;
    assert_eq!(shown.title(), "Signed in", "{}", shown.text);
    world.ready("web").await;
    assert_ne!(world.session_works().await, before, "the same customer begins anew");
    pages.stop().await;
}

/// Who knows the address of a session's page can begin, and bring back what is no code.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_none_disturbs_no_session() {
    let (world, pages) = World::with_session("session-forged").await;
    let before = world.tokens().get("web").await.unwrap();
    let (calls, session) = (world.sim.calls(CODE), world.session_works().await);
    let mut forger = Browser::new(&world);
    world.pass(APART);
    let shown = brings_none(&mut forger, &pages, &world).await;
    let shown = forger.opens(pages.address, shown.location().as_str()).await;
    assert_eq!(shown.title(), "No session came of it", "{}", shown.text);
    world.eventually("told", async || world.events("web").await.contains(&"IssueFailed".into())).await;
    for _ in 0..5 {
        assert_eq!(brings_none(&mut forger, &pages, &world).await.status, 429);
    }
    world.a_while().await;
    assert_eq!((world.sim.calls(CODE) - calls, world.kept("authorization_code").await), (1, None));
    let after = world.tokens().get("web").await.unwrap();
    assert_eq!(after.status, before.status, "nothing is told of what lives");
    assert_eq!(world.session_works().await, session);

    // Nor does it end, or put off, the back-off of one that can't be refreshed.
    world.sim.end_customer_sessions(SHOP);
    world.pass(TimeDelta::minutes(41));
    let before = world.because("web", "Stalled", "RefreshTokenDead").await;
    let calls = world.sim.calls(REFRESH);
    let shown = brings_none(&mut forger, &pages, &world).await;
    let shown = forger.opens(pages.address, shown.location().as_str()).await;
    assert_eq!(shown.title(), "No session came of it", "{}", shown.text);
    world.a_while().await;
    let after = world.tokens().get("web").await.unwrap();
    assert_eq!((after.status, world.sim.calls(REFRESH)), (before.status, calls));
    pages.stop().await;
}

/// Comes back from a sign-in that was begun, with something that is no code.
async fn brings_none(browser: &mut Browser, pages: &Pages, world: &World) -> Shown {
    let asked = browser_begins(browser, pages, world).await;
    let state = asked.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    browser.opens(pages.address, &format!("/oauth/callback?code=none&state={state}")).await
}

async fn browser_begins(browser: &mut Browser, pages: &Pages, world: &World) -> reqwest::Url {
    browser.begins(pages.address, world, "web").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_customer_and_begins_anew() {
    let (world, pages) = World::with_session("session-end").await;
    world.sim.end_customer_sessions(SHOP);
    world.pass(TimeDelta::minutes(41));
    let token = world.because("web", "Stalled", "RefreshTokenDead").await;
    assert!(token.status.as_ref().unwrap().install_url.is_some());
    let shown = Browser::new(&world).goes_through(pages.address, &world, "approve").await;
    assert_eq!(shown.title(), "Signed in", "{}", shown.text);
    world.ready("web").await;
    world.session_works().await;

    // Another secret of the same client: the session goes on, and the client doesn't wait for it.
    world.sim.add_customer_secret(SHOP, CLIENT, NEW).unwrap();
    world.secret_of("headless", &[("client_id", CLIENT), ("client_secret", NEW)]).await;
    world
        .eventually("the new pair is there", async || world.secret("web").await.unwrap().data["client_secret"] == NEW)
        .await;
    world.sim.revoke_customer_secret(SHOP, CLIENT, OLD).unwrap();
    world.ready("web").await;
    let known = revision(&world.tokens().get("web").await.unwrap());
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) > known).await;
    world.ready("web").await;
    world.session_works().await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_client_a_session_lives_until_its_end_and_its_customer_is_asked_at_once() {
    let (world, pages) = World::with_session("session-client").await;
    let before = world.session_works().await;
    let redirects = format!("{PUBLIC_URL}/oauth/callback");
    let other = CustomerClientConfig::confidential("shp_2", NEW).redirects_to(redirects);
    world.sim.add_customer_client(SHOP, other).unwrap();
    let calls = (world.sim.calls(CODE), world.sim.calls(REFRESH));
    world.secret_of("headless", &[("client_id", "shp_2"), ("client_secret", NEW)]).await;
    let token = world.because("web", "Stalled", "ConsentRequired").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "the customer has until its end");
    assert!(message(&token, "Stalled").contains("ends with"), "{}", message(&token, "Stalled"));
    assert!(token.status.unwrap().install_url.is_some());
    let secret = world.secret("web").await.unwrap();
    assert_eq!((&*secret.data["client_id"], &*secret.data["previous_client_id"]), ("shp_2", CLIENT));
    assert_eq!(secret.data["access_token"], before);
    world.a_while().await;
    assert_eq!((world.sim.calls(CODE), world.sim.calls(REFRESH)), calls, "nothing is asked for it");
    let shown = Browser::new(&world).goes_through(pages.address, &world, "approve").await;
    assert_eq!(shown.title(), "Signed in", "{}", shown.text);
    world.ready("web").await;
    let token = world.secret("web").await.unwrap().data["access_token"].clone();
    assert_ne!(token, before);
    assert!(world.sim.live_customer_sessions(SHOP).iter().any(|session| session.access_token == token));
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_removed_is_named_and_over_once_it_is_there_again() {
    let (world, pages) = World::with_session("session-removed").await;
    // An app that is uninstalled has no part in it.
    world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
    world.sim.remove_customer_client(SHOP, CLIENT).unwrap();
    let calls = world.sim.calls("customer.*");
    world.pass(TimeDelta::minutes(41));
    let token = world.because("web", "Stalled", "CredentialsRejected").await;
    assert!(message(&token, "Stalled").contains("Headless or Hydrogen channel"), "{}", message(&token, "Stalled"));
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "nobody has heard of its end");
    world.pass(TimeDelta::minutes(20));
    world.until("web", "over", |t| condition(t, "Ready") == Some(("False".into(), "TokenExpired".into()))).await;
    for _ in 0..6 {
        world.pass(TimeDelta::minutes(10));
        world.a_while().await;
    }
    let spent = world.sim.calls("customer.*") - calls;
    assert!(spent <= 20, "{spent} calls in two hours");

    // It is there again, and its session is gone: the customer is asked.
    let client = CustomerClientConfig::confidential(CLIENT, OLD).redirects_to(format!("{PUBLIC_URL}/oauth/callback"));
    world.sim.add_customer_client(SHOP, client).unwrap();
    world.change("web", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "added"}}})).await;
    world.because("web", "Stalled", "RefreshTokenDead").await;
    let shown = Browser::new(&world).goes_through(pages.address, &world, "approve").await;
    assert_eq!(shown.title(), "Signed in", "{}", shown.text);
    world.ready("web").await;
    world.session_works().await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pages_nobody_can_sign_in() {
    let mut world = World::new("session-pages").await;
    let setup = Setup { public_url: None, ..world.setup().await };
    world.start_with(setup);
    world.sim.add_customer_client(SHOP, CustomerClientConfig::confidential(CLIENT, OLD)).unwrap();
    world.secret_of("headless", &[("client_id", CLIENT), ("client_secret", OLD)]).await;
    world.token("web", account(json!({}))).await;
    let token = world.because("web", "Stalled", "ConsentRequired").await;
    assert!(message(&token, "Stalled").contains("--public-url"), "{}", message(&token, "Stalled"));
    assert!(token.status.unwrap().install_url.is_none());
}
