//! `/_sim/…` over the wire, and the program around it.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use shopify_sim::{Config, Sim};

use crate::client::{APP, SECRET, SHOP, Shop, builder, json, start};

struct Control(Client);

impl Control {
    fn new(sim: &Sim) -> Self {
        Self(builder(sim).build().unwrap())
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("https://localhost/_sim{path}");
        let response = self.0.request(method, url).json(&body).send().await.unwrap();
        (response.status().as_u16(), json(response).await)
    }

    async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

#[tokio::test]
async fn everything_can_be_steered_over_the_wire() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let control = Control::new(&sim);
    let put = async |path: &str, body| control.ok(Method::PUT, path, body).await;
    let post = async |path: &str, body| control.ok(Method::POST, path, body).await;
    let get = async |path: &str| control.ok(Method::GET, path, Value::Null).await;
    let delete = async |path: &str, body| control.ok(Method::DELETE, path, body).await;

    post("/shops", json!({ "domain": SHOP, "plan": "plus" })).await;
    let installations = json!([{ "shop": SHOP, "scopes": ["read_orders"] }]);
    let app = json!({
        "client_id": APP, "client_secrets": [SECRET], "token_lifetime": "1h",
        "installations": installations,
    });
    post("/apps", app).await;
    let shop = Shop::new(&sim, SHOP);
    let admin = shop.token().await;
    let tokens = get(&format!("/shops/{SHOP}/access-tokens")).await;
    assert_eq!(tokens[0]["value"], admin);
    assert_eq!(tokens[0]["minted_by"], SECRET);
    assert_eq!(tokens[0]["kind"], "client_credentials");

    let on_app = format!("/shops/{SHOP}/apps/{APP}");
    put(&on_app, json!({ "scopes": ["unauthenticated_read_content"] })).await;
    let storefront = format!("{on_app}/storefront-tokens");
    let created = post(&storefront, json!({ "title": "theirs" })).await;
    assert_eq!(get(&storefront).await, json!([created]));
    let id = json!({ "id": created["id"] });
    delete(&format!("/shops/{SHOP}/storefront-tokens"), id).await;
    assert_eq!(get(&storefront).await, json!([]));

    let secrets = format!("/apps/{APP}/secrets");
    post(&secrets, json!({ "value": "second" })).await;
    delete(&secrets, json!({ "value": SECRET })).await;
    assert!(!sim.is_valid_admin(SHOP, &admin));
    put(&format!("/apps/{APP}/expires-in"), json!({ "value": -5 })).await;
    let said = json(shop.grant(APP, "second").send().await.unwrap()).await;
    assert_eq!(said["expires_in"], -5);
    put(&format!("/apps/{APP}/expires-in"), json!("absent")).await;

    let custom = post(&format!("{on_app}/access-tokens"), Value::Null).await;
    assert!(sim.is_valid_admin(SHOP, custom["value"].as_str().unwrap()));
    delete(&format!("/shops/{SHOP}/access-tokens"), custom.clone()).await;
    assert!(!sim.is_valid_admin(SHOP, custom["value"].as_str().unwrap()));

    let custom = post(&format!("{on_app}/access-tokens"), Value::Null).await;
    let delegate =
        "mutation { delegateAccessTokenCreate(input: { delegateAccessScope: [\"unauthenticated_read_content\"] })
        { delegateAccessToken { accessToken } } }";
    shop.query(custom["value"].as_str().unwrap(), delegate).await;
    let live = get(&format!("{on_app}/delegates")).await;
    assert_eq!(live[0]["parent"], custom["value"]);
    delete(&format!("/shops/{SHOP}/delegates"), json!({ "value": live[0]["value"] })).await;
    assert_eq!(get(&format!("{on_app}/delegates")).await, json!([]));

    let code = post(&format!("{on_app}/authorization-codes"), Value::Null).await;
    assert!(code["code"].is_string());
    let lone = post(&format!("{on_app}/offline-tokens"), json!({ "expiring": false })).await;
    put(&format!("/apps/{APP}/distribution"), json!("public")).await;
    let refused = shop.graphql(lone["access_token"].as_str().unwrap(), "{ shop { id } }", &json!({})).send().await;
    assert_eq!(refused.unwrap().status(), 403);
    let pair = post(&format!("{on_app}/offline-tokens"), json!({ "expiring": true })).await;
    let refresh_tokens = format!("/shops/{SHOP}/refresh-tokens");
    assert_eq!(get(&refresh_tokens).await[0]["value"], pair["refresh_token"]);
    delete(&refresh_tokens, json!({ "value": pair["refresh_token"] })).await;
    assert_eq!(get(&refresh_tokens).await, json!([]));
    assert_eq!(get(&format!("{on_app}/offline-counts")).await["refreshed"], 0);

    let fault = json!({ "operation": "*", "kind": { "status": { "code": 503 } }, "times": 1 });
    let fault_id = post("/faults", fault).await;
    assert_eq!(shop.probe("x").send().await.unwrap().status(), 503);
    assert_eq!(get("/faults").await[0][1]["times"], 0);
    delete(&format!("/faults/{fault_id}"), Value::Null).await;
    post("/faults", json!({ "operation": "x", "kind": { "delay": "2s" } })).await;
    delete("/faults", Value::Null).await;
    assert_eq!(get("/faults").await, json!([]));
    put("/cut", json!({ "nth": 0, "mode": "after_commit" })).await;
    assert!(shop.probe("x").send().await.is_err());

    post("/clock/advance", json!({ "by": "25h" })).await;
    assert!(get("/clock").await["offset_seconds"].as_i64() >= Some(90_000));
    put("/clock", json!({ "now": "2030-01-01T00:00:00Z" })).await;
    assert!(get("/clock").await["now"].as_str().unwrap().starts_with("2030-01-01T00:00"));

    put("/api-versions", json!(["2027-01"])).await;
    let served = shop.http.post(shop.url("/api/2026-10/graphql.json")).send().await.unwrap();
    assert_eq!(served.headers()["x-shopify-api-version"], "2027-01");
    let mut switches = get("/switches").await;
    assert_eq!(switches["cc_wrong_secret"], "invalid_request");
    switches["cc_wrong_secret"] = json!("invalid_client_401");
    put("/switches", switches).await;
    assert_eq!(shop.grant(APP, "no").send().await.unwrap().status(), 401);
    let grants = get(&format!("/apps/{APP}/grants")).await;
    assert_eq!(grants, json!({ "asked": 3, "granted": 2, "secret_rejected": 1 }));
    let fault = json!({ "operation": "*", "surface": "admin", "app": APP, "kind":
        { "edited": [{ "set": { "at": "/data", "to": null } }, { "remove": "/extensions" }] } });
    post("/faults", fault.clone()).await;
    assert_eq!(get("/faults").await[0][1]["kind"], fault["kind"]);
    post("/faults", json!({ "operation": "*", "kind": { "page": { "code": 403, "page": "bot_wall" } }, "times": 1 }))
        .await;
    assert_eq!(shop.probe("x").send().await.unwrap().status(), 403);
    delete("/faults", Value::Null).await;
    put(&format!("/shops/{SHOP}/state"), json!("locked")).await;
    assert_eq!(shop.grant(APP, "no").send().await.unwrap().status(), 423);
    delete(&on_app, Value::Null).await;
    assert!(sim.live_access_tokens(SHOP).is_empty());

    let calls = get("/calls").await;
    assert_eq!(calls.as_array().unwrap().len() as u64, sim.total_calls());
    assert_eq!(calls[0]["operation"], "oauth.clientCredentials");
    assert!(!calls.to_string().contains("shp"), "no values");
}

#[tokio::test]
async fn mistakes_are_named() {
    let (sim, _shop) = start().await;
    let control = Control::new(&sim);
    for (method, path, body, part) in [
        (Method::PUT, "/shops/nowhere/state", json!("open"), "no shop nowhere"),
        (Method::PUT, "/switches", json!({ "nonsense": 1 }), "nonsense"),
        (Method::POST, "/apps/nobody/secrets", json!({ "value": "x" }), "no app nobody"),
    ] {
        let (status, answer) = control.call(method, path, body).await;
        assert_eq!(status, 422);
        assert!(answer["errors"].as_str().unwrap().contains(part), "{answer}");
    }
    let (status, _) = control.call(Method::GET, "/nothing", Value::Null).await;
    assert_eq!(status, 404);
    assert_eq!(sim.total_calls(), 0, "steering isn't counted");
}
