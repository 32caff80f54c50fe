//! Offline tokens: codes, rotating pairs, migrations, and when each of them dies.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shopify_sim::{
    AppConfig, Distribution, ExpiresIn, Fault, FaultKind, MigrateDead, RefreshDead, RefreshGrace, RefreshReplay,
    RetiredAccessToken, Sim, StatusFault,
};

use crate::client::{APP, SCOPES, SECRET, SHOP, Shop, config, json, start, start_with};

const DAY: Duration = Duration::from_hours(24);
const OFFLINE: &str = "urn:shopify:params:oauth:token-type:offline-access-token";

fn ask(shop: &Shop, secret: &str, parameters: &[(&str, &str)]) -> RequestBuilder {
    let form = [&[("client_id", APP), ("client_secret", secret)], parameters].concat();
    shop.http.post(shop.url("/admin/oauth/access_token")).header("accept", "application/json").form(&form)
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), json(response).await)
}

fn refreshing(shop: &Shop, secret: &str, refresh_token: &str) -> RequestBuilder {
    ask(shop, secret, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
}

async fn refresh(shop: &Shop, refresh_token: &str) -> (u16, Value) {
    answer(refreshing(shop, SECRET, refresh_token)).await
}

/// What a refresh brings: access and refresh token. `None`: 401.
async fn refreshed(shop: &Shop, refresh_token: &str) -> Option<(String, String)> {
    let (status, body) = refresh(shop, refresh_token).await;
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    match status {
        200 => Some((text("access_token"), text("refresh_token"))),
        401 => None,
        _ => panic!("{status}: {body}"),
    }
}

async fn exchange(shop: &Shop, code: &str, expiring: &str) -> (u16, Value) {
    answer(ask(shop, SECRET, &[("code", code), ("expiring", expiring)])).await
}

async fn migrate(shop: &Shop, subject: &str) -> (u16, Value) {
    answer(ask(
        shop,
        SECRET,
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", OFFLINE),
            ("requested_token_type", OFFLINE),
            ("expiring", "1"),
        ],
    ))
    .await
}

async fn status_of(shop: &Shop, token: &str) -> u16 {
    shop.graphql(token, "{ shop { id } }", &json!({})).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_code_is_exchanged_for_a_pair_once() {
    let (sim, shop) = start().await;
    let code = sim.create_authorization_code(SHOP, APP).unwrap();
    let (status, body) = exchange(&shop, &code, "1").await;
    assert_eq!(status, 200);
    assert_eq!(body.as_object().unwrap().len(), 5);
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["refresh_token_expires_in"], 7_776_000);
    assert_eq!(body["scope"], "unauthenticated_read_product_listings,write_orders");
    let access = body["access_token"].as_str().unwrap();
    assert!(access.starts_with("shpat_") && body["refresh_token"].as_str().unwrap().starts_with("shprt_"));
    assert_eq!(status_of(&shop, access).await, 200);
    assert_eq!(sim.live_refresh_tokens(SHOP)[0].access_token, access);
    assert_eq!(sim.offline_counts(SHOP, APP).acquired, 1);

    let other = AppConfig::new("other", "s").installed(SHOP, SCOPES);
    sim.add_app(other).unwrap();
    let theirs = sim.create_authorization_code(SHOP, "other").unwrap();
    for code in [code.as_str(), "unknown", &theirs] {
        let (status, body) = exchange(&shop, code, "1").await;
        assert_eq!(status, 400);
        let description = "The authorization code was not found or was already used";
        assert_eq!(body, json!({ "error": "invalid_request", "error_description": description }));
    }
    assert_eq!(sim.calls("oauth.code"), 4);
    sim.clock().advance(Duration::from_hours(1));
    assert_eq!(status_of(&shop, access).await, 401);
}

#[tokio::test]
async fn a_code_in_json_brings_the_same() {
    let (sim, shop) = start().await;
    let code = sim.create_authorization_code(SHOP, APP).unwrap();
    let body = json!({ "client_id": APP, "client_secret": SECRET, "code": code, "expiring": 1 });
    let response = shop.http.post(shop.url("/admin/oauth/access_token")).json(&body).send().await.unwrap();
    assert!(json(response).await["refresh_token"].is_string());
}

#[tokio::test]
async fn a_token_that_never_expires_is_granted_again() {
    let (sim, shop) = start().await;
    let grant = async |expiring| {
        let code = sim.create_authorization_code(SHOP, APP).unwrap();
        exchange(&shop, &code, expiring).await.1
    };
    let lone = grant("0").await;
    assert_eq!(lone.as_object().unwrap().len(), 2, "neither lifetime nor refresh token");
    assert_eq!(grant("").await["access_token"], lone["access_token"], "0 is the default");
    assert_ne!(grant("1").await["access_token"], lone["access_token"]);
    sim.clock().advance(1000 * DAY);
    assert_eq!(status_of(&shop, lone["access_token"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn a_refresh_rotates_the_pair_and_can_be_asked_for_again_until_its_replacement_is_used() {
    let (sim, shop) = start().await;
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    let (access, second) = refreshed(&shop, &first.refresh_token).await.unwrap();
    assert_ne!((&access, &second), (&first.access_token, &first.refresh_token));
    assert_eq!(status_of(&shop, &first.access_token).await, 200, "valid until it expires");
    sim.clock().advance(Duration::from_mins(10));
    let (status, again) = refresh(&shop, &first.refresh_token).await;
    assert_eq!((status, &again["access_token"], &again["refresh_token"]), (200, &json!(access), &json!(second)));
    assert!(again["expires_in"].as_i64() <= Some(3000), "what is left: {again}");
    assert_eq!(sim.live_refresh_tokens(SHOP).len(), 2);

    refreshed(&shop, &second).await.unwrap();
    let (status, dead) = refresh(&shop, &first.refresh_token).await;
    let description = "This request requires an active refresh_token";
    assert_eq!((status, dead), (401, json!({ "error": "invalid_request", "error_description": description })));
    assert!(refreshed(&shop, &second).await.is_some(), "only the one before is retired");
    let counts = sim.offline_counts(SHOP, APP);
    assert_eq!((counts.refreshed, counts.replayed, counts.acquired), (2, 2, 0));
    assert_eq!(sim.calls_of(APP, "oauth.refresh"), 5);
}

#[tokio::test]
async fn a_pair_that_is_answered_late_has_an_access_token_that_lives() {
    let (sim, shop) = start().await;
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    let (access, second) = refreshed(&shop, &first.refresh_token).await.unwrap();
    sim.clock().advance(DAY);
    let (later, same) = refreshed(&shop, &first.refresh_token).await.unwrap();
    assert_eq!(same, second);
    assert_ne!(later, access);
    assert_eq!(status_of(&shop, &later).await, 200);
}

/// Whether the first refresh token can be used again so long after its first use.
async fn is_in_grace(grace: RefreshGrace, after: Duration) -> bool {
    let (sim, shop) = start().await;
    sim.switch(|switches| switches.refresh_grace = grace);
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    refreshed(&shop, &first.refresh_token).await.unwrap();
    sim.clock().advance(after);
    refreshed(&shop, &first.refresh_token).await.is_some()
}

#[tokio::test]
async fn the_grace_of_a_replaced_refresh_token_ends() {
    for (grace, after, expected) in [
        (RefreshGrace::UntilReplacementUsed, 29 * DAY, true),
        (RefreshGrace::UntilReplacementUsed, 30 * DAY, false),
        (RefreshGrace::OneHour, Duration::from_mins(59), true),
        (RefreshGrace::OneHour, Duration::from_hours(1), false),
        (RefreshGrace::None, Duration::ZERO, false),
    ] {
        assert_eq!(is_in_grace(grace, after).await, expected, "{grace:?} {after:?}");
    }
}

#[tokio::test]
async fn a_refresh_token_lives_for_ninety_days_however_often_it_is_used() {
    let (sim, shop) = start().await;
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    sim.clock().advance(89 * DAY);
    refreshed(&shop, &first.refresh_token).await.unwrap();
    sim.clock().advance(DAY);
    assert_eq!(refreshed(&shop, &first.refresh_token).await, None);
}

#[tokio::test]
async fn what_a_replay_brings_is_a_switch() {
    let (sim, shop) = start().await;
    sim.switch(|switches| switches.refresh_replay = RefreshReplay::NewPair);
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    let (_, second) = refreshed(&shop, &first.refresh_token).await.unwrap();
    let (_, third) = refreshed(&shop, &first.refresh_token).await.unwrap();
    assert_ne!(second, third);
    assert_eq!(refreshed(&shop, &second).await, None, "whoever holds this one has lost");

    sim.switch(|switches| switches.refresh_replay = RefreshReplay::SameAnswer);
    sim.clock().advance(Duration::from_mins(10));
    assert_eq!(refresh(&shop, &first.refresh_token).await.1["expires_in"], 3600);
}

#[tokio::test]
async fn an_old_access_token_dies_at_once_by_switch() {
    let (sim, shop) = start().await;
    sim.switch(|switches| switches.retired_access_token = RetiredAccessToken::DiesAtOnce);
    let lone = sim.create_offline_token(SHOP, APP).unwrap();
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    let (access, _) = refreshed(&shop, &first.refresh_token).await.unwrap();
    assert_eq!(status_of(&shop, &first.access_token).await, 401);
    assert_eq!((status_of(&shop, &access).await, status_of(&shop, &lone).await), (200, 200));
}

#[tokio::test]
async fn acquiring_ends_the_refreshability_of_what_was_there() {
    let (sim, shop) = start().await;
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    let (access, second) = refreshed(&shop, &first.refresh_token).await.unwrap();
    let code = sim.create_authorization_code(SHOP, APP).unwrap();
    let third = exchange(&shop, &code, "1").await.1;
    for dead in [&first.refresh_token, &second] {
        assert_eq!(refreshed(&shop, dead).await, None);
    }
    assert_eq!(status_of(&shop, &access).await, 200);
    let live = sim.live_refresh_tokens(SHOP);
    assert_eq!(live.iter().map(|token| token.value.as_str()).collect::<Vec<_>>(), [&third["refresh_token"]]);
}

#[tokio::test]
async fn a_dead_refresh_token_in_every_form() {
    let (sim, shop) = start().await;
    let page = |shop: &Shop| {
        let form = [("client_id", APP), ("client_secret", SECRET), ("grant_type", "refresh_token")];
        shop.http.post(shop.url("/admin/oauth/access_token")).form(&form)
    };
    let response = page(&shop).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let body = response.text().await.unwrap();
    assert!(body.contains("<title>unauthorized - Oauth error invalid_request</title>"), "{body}");
    sim.switch(|switches| switches.refresh_dead = RefreshDead::InvalidGrant400);
    let (status, body) = refresh(&shop, "shprt_unknown").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_wrong_secret_neither_uses_nor_tells() {
    let (sim, shop) = start().await;
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    let (status, body) = answer(refreshing(&shop, "wrong", &pair.refresh_token)).await;
    assert_eq!((status, &body["error_description"]), (400, &json!("The client secret is invalid")));
    assert_eq!(answer(refreshing(&shop, "wrong", "shprt_unknown")).await, (status, body));
    let code = sim.create_authorization_code(SHOP, APP).unwrap();
    assert_eq!(answer(ask(&shop, "wrong", &[("code", &code)])).await.0, 400);
    assert_eq!(exchange(&shop, &code, "0").await.0, 200, "it isn't used up");
    assert_eq!(sim.live_refresh_tokens(SHOP)[0].used_at, None);
    let counts = sim.grant_counts(APP).unwrap();
    assert_eq!((counts.asked, counts.granted, counts.secret_rejected), (4, 1, 3));
}

#[tokio::test]
async fn a_pair_is_pinned_to_the_secret_that_refreshed_it_last() {
    let (sim, shop) = start().await;
    let first = sim.create_offline_pair(SHOP, APP).unwrap();
    sim.add_secret(APP, "new").unwrap();
    let (status, body) = answer(refreshing(&shop, "new", &first.refresh_token)).await;
    assert_eq!(status, 200);
    let second = body["refresh_token"].as_str().unwrap();
    let minters: Vec<_> = sim.live_refresh_tokens(SHOP).into_iter().map(|token| token.minted_by).collect();
    assert_eq!(minters, [SECRET, "new"]);
    sim.revoke_secret(APP, SECRET).unwrap();
    assert_eq!(answer(refreshing(&shop, "new", &first.refresh_token)).await.0, 401);
    assert_eq!(status_of(&shop, &first.access_token).await, 401);
    assert_eq!(status_of(&shop, body["access_token"].as_str().unwrap()).await, 200);
    assert_eq!(answer(refreshing(&shop, "new", second)).await.0, 200);
}

#[tokio::test]
async fn a_migration_revokes_the_original_and_can_be_asked_for_again() {
    let (sim, shop) = start().await;
    let lone = sim.create_offline_token(SHOP, APP).unwrap();
    let (status, pair) = migrate(&shop, &lone).await;
    assert_eq!((status, &pair["expires_in"]), (200, &json!(3600)));
    assert_eq!(status_of(&shop, &lone).await, 401);
    sim.clock().advance(6 * DAY);
    let (status, again) = migrate(&shop, &lone).await;
    assert_eq!((status, &again["refresh_token"]), (200, &pair["refresh_token"]));
    assert_eq!(status_of(&shop, again["access_token"].as_str().unwrap()).await, 200);
    let counts = sim.offline_counts(SHOP, APP);
    assert_eq!((counts.migrated, counts.replayed), (1, 1));
    assert_eq!(sim.calls("oauth.migrate"), 2);

    refreshed(&shop, pair["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(migrate(&shop, &lone).await.0, 400, "the pair was refreshed");
    let lone = sim.create_offline_token(SHOP, APP).unwrap();
    migrate(&shop, &lone).await;
    sim.clock().advance(7 * DAY);
    let (status, body) = migrate(&shop, &lone).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    sim.switch(|switches| switches.migrate_dead = MigrateDead::InvalidSubjectToken);
    assert_eq!(migrate(&shop, &lone).await.1["error"], "invalid_subject_token");
}

#[tokio::test]
async fn only_a_non_expiring_offline_token_can_be_migrated() {
    let (sim, shop) = start_with(config().app(AppConfig::new("other", "s").installed(SHOP, SCOPES))).await;
    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    let theirs = sim.create_offline_token(SHOP, "other").unwrap();
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    for subject in [custom, theirs, pair.access_token, shop.token().await, String::new()] {
        assert_eq!(migrate(&shop, &subject).await.0, 400, "{subject}");
        assert!(subject.is_empty() || sim.is_valid_admin(SHOP, &subject), "it lives on");
    }
}

#[tokio::test]
async fn non_expiring_tokens_of_a_public_app_are_refused() {
    let (sim, shop) = start().await;
    let lone = sim.create_offline_token(SHOP, APP).unwrap();
    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    assert_eq!(status_of(&shop, &lone).await, 200);
    sim.set_distribution(APP, Distribution::Public).unwrap();
    let (status, body) = answer(shop.graphql(&lone, "{ shop { id } }", &json!({}))).await;
    assert_eq!(status, 403);
    assert!(body["errors"].as_str().unwrap().starts_with("[API] Non-expiring access tokens are no longer accepted"));
    assert_eq!((status_of(&shop, &custom).await, status_of(&shop, &pair.access_token).await), (200, 200));
    assert_eq!(migrate(&shop, &lone).await.0, 200, "that is the way out");
}

#[tokio::test]
async fn uninstalling_ends_all_of_it() {
    let (sim, shop) = start().await;
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    let code = sim.create_authorization_code(SHOP, APP).unwrap();
    let lone = sim.create_offline_token(SHOP, APP).unwrap();
    sim.uninstall(SHOP, APP).unwrap();
    for _ in ["uninstalled", "installed again"] {
        assert_eq!(refresh(&shop, &pair.refresh_token).await.0, 401);
        assert_eq!(exchange(&shop, &code, "1").await.0, 400);
        assert_eq!(migrate(&shop, &lone).await.0, 400);
        sim.install(SHOP, APP, SCOPES).unwrap();
    }
    assert!(sim.live_refresh_tokens(SHOP).is_empty());
}

#[tokio::test]
async fn the_lifetimes_are_the_app_s_and_what_is_said_of_them_is_too() {
    let mut config = config();
    config.apps[0].offline_lifetime = Duration::from_mins(1);
    config.apps[0].refresh_lifetime = Duration::from_hours(1);
    let (sim, shop) = start_with(config).await;
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    assert_eq!((pair.refresh_token_expires_at - pair.expires_at.unwrap()).num_minutes(), 59);
    let said = refresh(&shop, &pair.refresh_token).await.1;
    assert_eq!((&said["expires_in"], &said["refresh_token_expires_in"]), (&json!(60), &json!(3600)));
    sim.set_expires_in(APP, ExpiresIn::Absent).unwrap();
    let said = refresh(&shop, &pair.refresh_token).await.1;
    assert!(said.get("expires_in").is_none() && said["refresh_token"].is_string());
}

/// What became of a refresh that a fault struck.
async fn struck(kind: FaultKind) -> (Sim, Shop, String, Option<u16>) {
    let (sim, shop) = start().await;
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    sim.inject(Fault::new("oauth.refresh", kind).times(1));
    let outcome = refreshing(&shop, SECRET, &pair.refresh_token).send().await;
    (sim, shop, pair.refresh_token, outcome.ok().map(|response| response.status().as_u16()))
}

#[tokio::test]
async fn faults_strike_a_refresh_before_and_after_it_is_committed() {
    for (kind, status, refreshes) in [
        (FaultKind::RefuseBefore, None, 0),
        (FaultKind::CommitThenDrop, None, 1),
        (FaultKind::Status(StatusFault::new(520)), Some(520), 0),
        (FaultKind::StatusAfterCommit(StatusFault::new(520)), Some(520), 1),
        (FaultKind::Throttled, Some(429), 0),
    ] {
        let (sim, shop, refresh_token, answered) = struck(kind.clone()).await;
        assert_eq!(answered, status, "{kind:?}");
        assert_eq!(sim.offline_counts(SHOP, APP).refreshed, refreshes, "{kind:?}");
        assert!(refreshed(&shop, &refresh_token).await.is_some(), "the same one again: {kind:?}");
        assert_eq!(sim.offline_counts(SHOP, APP).refreshed, 1, "{kind:?}");
    }
}

#[tokio::test]
async fn values_contain_the_canary() {
    let mut config = config();
    config.canary = Some("canary".to_owned());
    let (sim, _) = start_with(config).await;
    let pair = sim.create_offline_pair(SHOP, APP).unwrap();
    assert!(pair.access_token.starts_with("shpat_canary") && pair.refresh_token.starts_with("shprt_canary"));
    assert!(sim.create_authorization_code(SHOP, APP).unwrap().starts_with("canary"));
    sim.retire_refresh_token(&pair.refresh_token).unwrap();
    assert!(sim.live_refresh_tokens(SHOP).is_empty());
}
