//! Delegate access tokens: made of an admin token, used like one, destroyed by value.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shopify_sim::{AppConfig, DelegateParents, DestroyedBy, Fault, FaultKind, ShopConfig, StatusFault, UngrantedScope};

use crate::client::{APP, SECRET, SHOP, Shop, config, json, start, start_with};

const CREATE: &str = "mutation ($input: DelegateAccessTokenInput!) { delegateAccessTokenCreate(input: $input) {
    delegateAccessToken { accessToken accessScopes createdAt expiresIn }
    shop { id myshopifyDomain } userErrors { code field message } } }";
const DESTROY: &str = "mutation ($value: String!) { delegateAccessTokenDestroy(accessToken: $value) {
    status shop { id } userErrors { code field message } } }";
const ORDERS: [&str; 1] = ["read_orders"];

async fn answer(request: RequestBuilder) -> Value {
    json(request.send().await.unwrap()).await
}

fn create_request(shop: &Shop, parent: &str, scopes: &[&str], expires_in: Option<i64>) -> RequestBuilder {
    let input = json!({ "delegateAccessScope": scopes, "expiresIn": expires_in });
    shop.graphql(parent, CREATE, &json!({ "input": input }))
}

async fn create(shop: &Shop, parent: &str, scopes: &[&str], expires_in: Option<i64>) -> Value {
    answer(create_request(shop, parent, scopes, expires_in)).await
}

async fn created(shop: &Shop, parent: &str, scopes: &[&str], expires_in: Option<i64>) -> String {
    let body = create(shop, parent, scopes, expires_in).await;
    let token = &body["data"]["delegateAccessTokenCreate"]["delegateAccessToken"];
    token["accessToken"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

async fn destroy(shop: &Shop, caller: &str, value: &str) -> Value {
    let body = answer(shop.graphql(caller, DESTROY, &json!({ "value": value }))).await;
    body["data"]["delegateAccessTokenDestroy"].clone()
}

/// Whether both APIs accept it, and the scopes it says it has.
async fn scopes(shop: &Shop, value: &str) -> Option<Value> {
    let request = shop.http.get(shop.url("/admin/oauth/access_scopes.json"));
    let response = request.header("x-shopify-access-token", value).send().await.unwrap();
    (response.status() == 200).then_some(json(response).await["access_scopes"].clone())
}

async fn private(shop: &Shop, value: &str) -> u16 {
    let probe = shop.http.post(shop.url("/api/2026-10/graphql.json"));
    let probe = probe.header("shopify-storefront-private-token", value).json(&json!({ "query": "{ shop { name } }" }));
    probe.send().await.unwrap().status().as_u16()
}

fn refused(body: &Value) -> (Value, Value) {
    let payload = &body["data"]["delegateAccessTokenCreate"];
    assert!(payload["delegateAccessToken"].is_null(), "{body}");
    let error = &payload["userErrors"][0];
    assert!(error["field"].is_null(), "{body}");
    assert_eq!(body["extensions"]["cost"]["actualQueryCost"], 10);
    (error["code"].clone(), error["message"].clone())
}

#[tokio::test]
async fn a_delegate_works_with_its_own_scopes_until_it_is_destroyed() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let body = create(&shop, &admin, &["read_orders", "unauthenticated_read_product_listings"], Some(300)).await;
    let payload = &body["data"]["delegateAccessTokenCreate"];
    let token = &payload["delegateAccessToken"];
    assert_eq!(token["accessScopes"], json!(["read_orders", "unauthenticated_read_product_listings"]));
    assert_eq!(token["expiresIn"], 299, "as a live shop answered");
    assert!(token["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&payload["userErrors"], &payload["shop"]["myshopifyDomain"]), (&json!([]), &json!(SHOP)));
    let cost = &body["extensions"]["cost"];
    assert_eq!((&cost["requestedQueryCost"], &cost["actualQueryCost"]), (&json!(10), &json!(10)));

    let value = token["accessToken"].as_str().unwrap();
    let live = sim.live_delegates(SHOP, APP);
    assert_eq!((live.len(), live[0].value.as_str(), live[0].parent.as_str()), (1, value, admin.as_str()));
    assert_eq!((live[0].expires_at.unwrap() - live[0].created_at).num_seconds(), 300);
    let own = json!([{ "handle": "read_orders" }, { "handle": "unauthenticated_read_product_listings" }]);
    assert_eq!(scopes(&shop, value).await, Some(own));
    assert_eq!(shop.query(value, "{ shop { name } }").await["data"]["shop"]["name"], "acme");
    assert_eq!(private(&shop, value).await, 200);
    assert!(sim.is_valid_admin(SHOP, value) && sim.is_valid_private(SHOP, value));
    assert_eq!(shop.probe(value).send().await.unwrap().status(), 401, "it is no public token");
    assert_eq!(private(&shop, &admin).await, 401, "and an admin token no private one");

    let done = destroy(&shop, &admin, value).await;
    assert_eq!((&done["status"], &done["userErrors"]), (&json!(true), &json!([])));
    assert_eq!((scopes(&shop, value).await, private(&shop, value).await), (None, 401));
    assert!(sim.live_delegates(SHOP, APP).is_empty());
    for operation in ["admin.delegateAccessTokenCreate", "admin.delegateAccessTokenDestroy"] {
        assert_eq!(sim.calls(operation), 1, "{operation}");
    }
    assert_eq!(sim.calls_of(APP, "storefront.probe"), 2, "a private token tells its app, dead too");
}

#[tokio::test]
async fn what_can_not_be_delegated_is_refused_as_measured() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let child = created(&shop, &admin, &ORDERS, Some(60)).await;
    let after = "The delegate token can't expire after the parent token.";
    let delegate = "The parent access token can't be a delegate token.";
    #[rustfmt::skip]
    let rows = [
        (&admin, [].as_slice(), Some(60), "EMPTY_ACCESS_SCOPE", "The access scope can't be empty."),
        (&admin, ORDERS.as_slice(), Some(0), "NEGATIVE_EXPIRES_IN", "The expires_in value must be greater than 0."),
        (&admin, ORDERS.as_slice(), Some(-1), "NEGATIVE_EXPIRES_IN", "The expires_in value must be greater than 0."),
        (&admin, &["read_orders", "fake_scope"], Some(60), "UNKNOWN_SCOPES", "The access scope is invalid: fake_scope"),
        (&admin, &["read_themes"], Some(60), "UNKNOWN_SCOPES", "The access scope is invalid: read_themes"),
        (&admin, ORDERS.as_slice(), Some(90_000), "EXPIRES_AFTER_PARENT", after),
        (&child, ORDERS.as_slice(), Some(10), "DELEGATE_ACCESS_TOKEN", delegate),
    ];
    for (parent, scopes, expires_in, code, message) in rows {
        let body = create(&shop, parent, scopes, expires_in).await;
        assert_eq!(refused(&body), (json!(code), json!(message)));
    }
    assert_eq!(sim.live_delegates(SHOP, APP).len(), 1);
}

#[tokio::test]
async fn unknowns_of_a_create_are_switches() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    let offline = sim.create_offline_token(SHOP, APP).unwrap();
    let refreshed = sim.create_offline_pair(SHOP, APP).unwrap().access_token;
    created(&shop, &refreshed, &ORDERS, Some(60)).await;
    sim.switch(|switches| switches.delegate_parents = DelegateParents::WithoutRefreshToken);
    for parent in [&admin, &custom, &offline] {
        created(&shop, parent, &ORDERS, Some(60)).await;
    }
    let (code, message) = refused(&create(&shop, &refreshed, &ORDERS, Some(60)).await);
    assert_eq!((code, message), (json!("REFRESH_TOKEN"), json!("The parent access token can't have a refresh token.")));

    sim.switch(|switches| switches.delegate_ungranted_scope = UngrantedScope::AccessDenied);
    let body = create(&shop, &custom, &["read_themes"], Some(60)).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "ACCESS_DENIED");
    assert_eq!(body["data"], json!({ "delegateAccessTokenCreate": null }));
}

#[tokio::test]
async fn a_version_before_2026_04_does_not_know_its_lifetime() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let ask = async |query: &str| {
        let request = shop.http.post(shop.url("/admin/api/2026-01/graphql.json"));
        let input = json!({ "delegateAccessScope": ORDERS, "expiresIn": 60 });
        let body = json!({ "query": query, "variables": { "input": input } });
        answer(request.header("x-shopify-access-token", &admin).json(&body)).await
    };
    let body = ask(CREATE).await;
    assert_eq!(body["errors"][0]["message"], "Field 'expiresIn' doesn't exist on type 'DelegateAccessToken'");
    assert_eq!(body["errors"][0]["extensions"]["code"], "undefinedField");
    assert_eq!(body["errors"][0]["path"][1], "delegateAccessTokenCreate");
    assert!(body.get("data").is_none() && sim.live_delegates(SHOP, APP).is_empty());
    ask(&CREATE.replace("createdAt expiresIn", "createdAt")).await;
    assert_eq!(sim.live_delegates(SHOP, APP).len(), 1);
}

#[tokio::test]
async fn without_a_lifetime_it_ends_with_its_parent() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    created(&shop, &admin, &ORDERS, None).await;
    let body = create(&shop, &custom, &ORDERS, None).await;
    assert!(body["data"]["delegateAccessTokenCreate"]["delegateAccessToken"]["expiresIn"].is_null());
    let live = sim.live_delegates(SHOP, APP);
    assert_eq!(live[0].expires_at, sim.live_access_tokens(SHOP)[0].expires_at);
    assert_eq!(live[1].expires_at, None);
}

#[tokio::test]
async fn it_dies_of_its_own_expiry_the_app_s_removal_and_its_secret_s() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let value = created(&shop, &admin, &ORDERS, Some(300)).await;
    sim.clock().advance(Duration::from_secs(299));
    assert!(sim.is_valid_admin(SHOP, &value));
    sim.clock().advance(Duration::from_secs(1));
    assert_eq!(scopes(&shop, &value).await, None);
    assert_eq!(destroy(&shop, &admin, &value).await["userErrors"][0]["code"], "ACCESS_TOKEN_NOT_FOUND");

    let value = created(&shop, &admin, &ORDERS, Some(300)).await;
    sim.add_secret(APP, "second").unwrap();
    assert!(sim.is_valid_admin(SHOP, &value));
    sim.revoke_secret(APP, SECRET).unwrap();
    assert_eq!(scopes(&shop, &value).await, None);

    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    let value = created(&shop, &custom, &ORDERS, Some(300)).await;
    sim.uninstall(SHOP, APP).unwrap();
    assert!(!sim.is_valid_admin(SHOP, &value));
    sim.install(SHOP, APP, ["read_orders"]).unwrap();
    assert!(!sim.is_valid_admin(SHOP, &value), "stays dead");
}

#[tokio::test]
async fn its_parent_s_early_end_is_its_own_or_not() {
    let (sim, shop) = start().await;
    let admin = sim.create_admin_token(SHOP, APP).unwrap();
    let value = created(&shop, &admin, &ORDERS, Some(300)).await;
    sim.revoke_admin_token(&admin).unwrap();
    assert!(sim.is_valid_admin(SHOP, &value));
    sim.switch(|switches| switches.delegate_ends_with_parent = true);
    assert!(!sim.is_valid_admin(SHOP, &value));
    assert!(sim.live_delegates(SHOP, APP).is_empty());
}

#[tokio::test]
async fn it_loses_what_the_app_loses() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let storefront = "unauthenticated_read_product_listings";
    let value = created(&shop, &admin, &["read_orders", storefront], Some(300)).await;
    sim.set_scopes(SHOP, APP, ["write_orders"]).unwrap();
    assert_eq!(scopes(&shop, &value).await, Some(json!([{ "handle": "read_orders" }])), "write_orders implies it");
    assert_eq!(private(&shop, &value).await, 401);
    assert_eq!(sim.live_delegates(SHOP, APP)[0].scopes.len(), 1);
}

#[tokio::test]
async fn without_a_scope_of_the_storefront_api_it_makes_no_storefront_token() {
    let (_sim, shop) = start().await;
    let admin = shop.token().await;
    let value = created(&shop, &admin, &ORDERS, Some(300)).await;
    assert_eq!(shop.create(&value, "t").await["errors"][0]["extensions"]["code"], "ACCESS_DENIED");
    let rest = shop.http.post(shop.url("/admin/api/2026-10/storefront_access_tokens.json"));
    let rest = rest.json(&json!({ "storefront_access_token": { "title": "t" } }));
    assert_eq!(rest.header("x-shopify-access-token", &value).send().await.unwrap().status(), 403);
    assert_eq!(private(&shop, &value).await, 401);
}

#[tokio::test]
async fn only_delegates_of_the_app_are_destroyed() {
    let config = config()
        .shop(ShopConfig::new("other.myshopify.com"))
        .app(AppConfig::new("other", "s").installed(SHOP, ORDERS).installed("other.myshopify.com", ORDERS));
    let (sim, shop) = start_with(config).await;
    let admin = shop.token().await;
    let theirs = sim.create_admin_token(SHOP, "other").unwrap();
    let elsewhere = Shop::new(&sim, "other.myshopify.com");
    let far = sim.create_admin_token("other.myshopify.com", "other").unwrap();
    let foreign = created(&shop, &theirs, &ORDERS, Some(300)).await;
    let distant = created(&elsewhere, &far, &ORDERS, Some(300)).await;
    let unknown = ("ACCESS_TOKEN_NOT_FOUND", "Access token does not exist.");
    let denied = ("ACCESS_DENIED", "Access denied.");
    for (value, (code, message)) in [
        ("nonsense", unknown),
        (distant.as_str(), unknown),
        (far.as_str(), unknown),
        (admin.as_str(), ("CAN_ONLY_DELETE_DELEGATE_TOKENS", "Can only delete delegate tokens.")),
        (foreign.as_str(), denied),
        (theirs.as_str(), denied),
    ] {
        let payload = destroy(&shop, &admin, value).await;
        let error = json!([{ "code": code, "field": null, "message": message }]);
        assert_eq!((&payload["status"], &payload["userErrors"]), (&json!(false), &error));
    }
    assert!(sim.is_valid_admin(SHOP, &foreign) && sim.is_valid_admin(SHOP, &theirs));

    // Twice, and with another token of the app: a switch.
    let value = created(&shop, &admin, &ORDERS, Some(300)).await;
    let another = sim.create_admin_token(SHOP, APP).unwrap();
    sim.switch(|switches| switches.delegate_destroyed_by = DestroyedBy::Parent);
    assert_eq!(destroy(&shop, &another, &value).await["userErrors"][0]["code"], "ACCESS_DENIED");
    sim.switch(|switches| switches.delegate_destroyed_by = DestroyedBy::App);
    assert_eq!(destroy(&shop, &another, &value).await["status"], true);
    assert_eq!(destroy(&shop, &another, &value).await["userErrors"][0]["code"], "ACCESS_TOKEN_NOT_FOUND");
}

#[tokio::test]
async fn faults_strike_before_and_after_it_is_made() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let count = || sim.live_delegates(SHOP, APP).len();
    let failed = json!({ "data": { "delegateAccessTokenCreate": { "delegateAccessToken": null, "userErrors": [
        { "code": "PERSISTENCE_FAILED", "field": null, "message": "Persistence failed." }] } } });
    let persistence = StatusFault { body: Some(failed.to_string()), ..StatusFault::new(200) };
    for (kind, made) in [
        (FaultKind::RefuseBefore, 0),
        (FaultKind::Throttled, 0),
        (FaultKind::Status(persistence), 0),
        (FaultKind::CommitThenDrop, 1),
        (FaultKind::StatusAfterCommit(StatusFault::new(520)), 1),
    ] {
        let before = count();
        sim.inject(Fault::new("admin.delegateAccessTokenCreate", kind).times(1));
        let _ = create_request(&shop, &admin, &ORDERS, Some(300)).send().await;
        assert_eq!(count() - before, made);
    }
    let value = sim.live_delegates(SHOP, APP)[0].value.clone();
    sim.inject(Fault::new("admin.delegateAccessTokenDestroy", FaultKind::CommitThenDrop).times(1));
    assert!(shop.graphql(&admin, DESTROY, &json!({ "value": value })).send().await.is_err());
    assert!(!sim.is_valid_admin(SHOP, &value));
    sim.destroy_delegate(&sim.live_delegates(SHOP, APP)[0].value).unwrap();
    assert_eq!(count(), 0);
}
