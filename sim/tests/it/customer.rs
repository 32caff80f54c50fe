//! A customer's sign-in, and the session that it begins.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use shopify_sim::{Config, CustomerClientConfig, ExpiresIn, Fault, FaultKind, IdToken, ShopConfig, Sim, StatusFault};
use url::Url;

use crate::client::{SHOP, Shop, builder, json, start_with};

const CLIENT: &str = "shp_0b9c1f0e";
const SECRET: &str = "5f2c";
const BACK: &str = "https://tokens.example.com/oauth/callback";
const ORIGIN: &str = "https://tokens.example.com";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct Accounts {
    sim: Sim,
    shop: Shop,
    url: String,
}

impl Accounts {
    async fn start(shop: ShopConfig) -> Self {
        let (sim, _) = start_with(Config::default().shop(shop)).await;
        let shop = Shop::with(builder(&sim).user_agent("test"), SHOP);
        let openid = json(shop.http.get(shop.url("/.well-known/openid-configuration")).send().await.unwrap()).await;
        let url = openid["issuer"].as_str().unwrap().to_owned();
        Self { sim, shop, url }
    }

    async fn confidential() -> Self {
        let mut client = CustomerClientConfig::confidential(CLIENT, SECRET).redirects_to(BACK);
        client.logout_uris.push("https://shop.example.com/bye".to_owned());
        Self::start(ShopConfig::new(SHOP).customer_client(client)).await
    }

    async fn public() -> Self {
        let client = CustomerClientConfig::public(CLIENT).redirects_to(BACK).with_origin(ORIGIN);
        Self::start(ShopConfig::new(SHOP).customer_client(client)).await
    }

    fn sign_in<'a>(edits: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("scope", "openid customer-account-api:full"),
            ("redirect_uri", BACK),
            ("state", "a state"),
            ("nonce", "n1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in edits {
            parameters.retain(|(known, _)| known != name);
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        parameters
    }

    async fn page(&self, edits: &[(&str, &str)]) -> Response {
        let url = Url::parse_with_params(&format!("{}/oauth/authorize", self.url), Self::sign_in(edits)).unwrap();
        self.shop.http.get(url).send().await.unwrap()
    }

    async fn decide(&self, decision: &str) -> Url {
        let form = Self::sign_in(&[("decision", decision)]);
        let request = self.shop.http.post(format!("{}/oauth/authorize", self.url)).form(&form);
        location(&request.send().await.unwrap())
    }

    async fn code(&self) -> String {
        parameter(&self.decide("approve").await, "code").unwrap()
    }

    fn token(&self, form: &[(&str, &str)]) -> RequestBuilder {
        self.shop.http.post(format!("{}/oauth/token", self.url)).form(form)
    }

    fn exchange(&self, code: &str, verifier: &str) -> RequestBuilder {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("redirect_uri", BACK),
            ("code", code),
            ("code_verifier", verifier),
        ])
    }

    fn refresh(&self, token: &str) -> RequestBuilder {
        self.token(&[("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", token)])
    }

    async fn session(&self) -> Value {
        let request = self.exchange(&self.code().await, VERIFIER).basic_auth(CLIENT, Some(SECRET));
        json(request.send().await.unwrap()).await
    }

    fn ask(&self, authorization: &str) -> RequestBuilder {
        self.shop
            .http
            .post(self.shop.url("/customer/api/2026-10/graphql"))
            .header("authorization", authorization)
            .json(&json!({ "query": "{ customer { id } }" }))
    }
}

fn location(response: &Response) -> Url {
    assert_eq!(response.status(), 302);
    response.headers()["location"].to_str().unwrap().parse().unwrap()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

async fn refusal(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, json(response).await["error"].clone())
}

#[tokio::test]
async fn a_sign_in_is_approved_or_denied_by_a_post() {
    let accounts = Accounts::confidential().await;
    let page = accounts.page(&[]).await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("value=\"approve\"") && page.contains("name=\"nonce\" value=\"n1\""), "{page}");
    let back = accounts.decide("approve").await;
    assert!(back.as_str().starts_with(BACK));
    assert_eq!(parameter(&back, "state").as_deref(), Some("a state"));
    let back = accounts.decide("deny").await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "code"), None);
    assert_eq!(accounts.sim.calls("customer.authorize.*"), 3);
}

#[tokio::test]
async fn a_browser_is_sent_back_only_to_addresses_of_the_client() {
    let accounts = Accounts::public().await;
    for edit in [("client_id", "shp_other"), ("redirect_uri", "https://evil.example.com/")] {
        assert_eq!(accounts.page(&[edit]).await.status(), 400, "{edit:?}");
    }
    for (edit, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "email"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "none"), "login_required"),
    ] {
        let back = location(&accounts.page(&[edit]).await);
        assert_eq!(parameter(&back, "error").as_deref(), Some(error), "{edit:?}");
    }
}

#[tokio::test]
async fn a_code_becomes_a_session_once() {
    let accounts = Accounts::confidential().await;
    let code = accounts.code().await;
    let wrong = accounts.exchange(&code, "another verifier").basic_auth(CLIENT, Some(SECRET));
    assert_eq!(refusal(wrong).await, (400, json!("invalid_grant")));
    let code = accounts.code().await;
    let exchange = || accounts.exchange(&code, VERIFIER).basic_auth(CLIENT, Some(SECRET));
    let session = json(exchange().send().await.unwrap()).await;
    assert_eq!(session["expires_in"], 3600);
    assert!(session["access_token"].as_str().unwrap().starts_with("shcat_"));
    assert!(session["refresh_token"].as_str().unwrap().starts_with("shcrt_"));
    assert_eq!(session["id_token"].as_str().unwrap().split('.').count(), 3);
    assert_eq!(refusal(exchange()).await, (400, json!("invalid_grant")), "used");
    let code = accounts.code().await;
    accounts.sim.clock().advance(Duration::from_mins(10));
    let late = accounts.exchange(&code, VERIFIER).basic_auth(CLIENT, Some(SECRET));
    assert_eq!(refusal(late).await, (400, json!("invalid_grant")));
    let live = accounts.sim.live_customer_sessions(SHOP);
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].access_token, session["access_token"]);
    assert!(live[0].scopes.contains("customer-account-api:full"));
    assert_eq!(accounts.sim.calls_of(CLIENT, "customer.token.code"), 4);
}

#[tokio::test]
async fn a_refresh_brings_the_next_pair_and_ends_the_one_before() {
    let accounts = Accounts::confidential().await;
    let first = accounts.session().await;
    let first = first["refresh_token"].as_str().unwrap();
    let refresh = |token: &str| accounts.refresh(token).basic_auth(CLIENT, Some(SECRET));
    let second = json(refresh(first).send().await.unwrap()).await;
    assert!(second.get("id_token").is_none());
    let second = second["refresh_token"].as_str().unwrap();
    assert_ne!(first, second);
    assert_eq!(refusal(refresh(first)).await, (400, json!("invalid_grant")));
    accounts.sim.switch(|switches| switches.customer_refresh_grace = Duration::from_mins(1));
    let third = json(refresh(second).send().await.unwrap()).await;
    assert!(refresh(second).send().await.unwrap().status().is_success(), "as after a lost answer");
    assert_eq!(refusal(refresh(third["refresh_token"].as_str().unwrap())).await.0, 400, "replaced by that");
    accounts.sim.clock().advance(Duration::from_mins(1));
    assert_eq!(refusal(refresh(second)).await.0, 400);
    accounts.sim.switch(|switches| switches.customer_refresh_rotates = false);
    let newest = accounts.sim.live_customer_sessions(SHOP)[0].refresh_token.clone();
    assert!(json(refresh(&newest).send().await.unwrap()).await.get("refresh_token").is_none());
    assert!(refresh(&newest).send().await.unwrap().status().is_success());
    accounts.sim.end_customer_sessions(SHOP);
    assert_eq!(refusal(refresh(&newest)).await, (400, json!("invalid_grant")));
}

#[tokio::test]
async fn a_confidential_client_proves_itself_by_any_live_secret() {
    let accounts = Accounts::confidential().await;
    let refresh = |secret: Option<&str>| {
        let request = accounts.refresh("x");
        match secret {
            Some(secret) => request.basic_auth(CLIENT, Some(secret)),
            None => request,
        }
    };
    assert_eq!(refusal(refresh(Some(SECRET))).await, (400, json!("invalid_grant")));
    assert_eq!(refusal(refresh(Some("wrong"))).await, (401, json!("invalid_client")));
    assert_eq!(refusal(refresh(None)).await, (401, json!("invalid_client")));
    accounts.sim.add_customer_secret(SHOP, CLIENT, "new/+&").unwrap();
    assert_eq!(refusal(refresh(Some("new%2F%2B%26"))).await.0, 400, "encoded as in a form");
    assert_eq!(refusal(refresh(Some(SECRET))).await.0, 400, "both live");
    accounts.sim.revoke_customer_secret(SHOP, CLIENT, SECRET).unwrap();
    assert_eq!(refusal(refresh(Some(SECRET))).await.0, 401);
    accounts.sim.remove_customer_client(SHOP, CLIENT).unwrap();
    assert_eq!(refusal(refresh(Some("new%2F%2B%26"))).await, (401, json!("invalid_client")));
}

#[tokio::test]
async fn a_public_client_comes_from_its_origin_and_everybody_has_a_name() {
    let accounts = Accounts::public().await;
    let exchange = async || accounts.exchange(&accounts.code().await, VERIFIER);
    for request in [exchange().await, exchange().await.header("origin", "https://evil.example.com")] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    }
    let session = json(exchange().await.header("origin", ORIGIN).send().await.unwrap()).await;
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(accounts.ask(token).send().await.unwrap().status(), 401, "without an origin");
    assert_eq!(accounts.ask(token).header("origin", ORIGIN).send().await.unwrap().status(), 200);
    let nameless = Shop::with(builder(&accounts.sim), SHOP);
    let request = nameless.http.post(format!("{}/oauth/token", accounts.url)).form(&[("grant_type", "refresh_token")]);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(response.text().await.unwrap().contains("You do not have permission to access this website"));
}

#[tokio::test]
async fn the_api_takes_a_bare_token_until_it_expires() {
    let accounts = Accounts::confidential().await;
    let session = accounts.session().await;
    let token = session["access_token"].as_str().unwrap();
    let answer = accounts.ask(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(json(answer).await["data"]["customer"]["id"], "gid://shopify/Customer/6780000000001");
    for other in [format!("Bearer {token}"), "shcat_unknown".to_owned()] {
        let answer = accounts.ask(&other).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(json(answer).await, json!({ "errors": "User does not have access" }));
    }
    accounts.sim.clock().advance(Duration::from_hours(1));
    assert_eq!(accounts.ask(token).send().await.unwrap().status(), 401);
    assert_eq!(accounts.sim.calls_of(CLIENT, "customer.graphql"), 2);
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let accounts = Accounts::confidential().await;
    let session = accounts.session().await;
    let sign_out = |hint: &str, to: &str| {
        let parameters = [("id_token_hint", hint), ("post_logout_redirect_uri", to)];
        accounts.shop.http.get(Url::parse_with_params(&format!("{}/logout", accounts.url), parameters).unwrap())
    };
    assert_eq!(sign_out("x", "").send().await.unwrap().status(), 400);
    let hint = session["id_token"].as_str().unwrap();
    let bye = sign_out(hint, "https://shop.example.com/bye").send().await.unwrap();
    assert_eq!(location(&bye).as_str(), "https://shop.example.com/bye");
    assert!(accounts.sim.live_customer_sessions(SHOP).is_empty());
    let session = accounts.session().await;
    let evil = sign_out(session["id_token"].as_str().unwrap(), "https://evil.example.com/").send().await.unwrap();
    assert_eq!(evil.status(), 200, "and nowhere");
}

#[tokio::test]
async fn what_is_not_known_is_a_switch_and_what_goes_wrong_a_fault() {
    let accounts = Accounts::confidential().await;
    accounts.sim.set_customer_expires_in(SHOP, CLIENT, ExpiresIn::Value(json!("soon"))).unwrap();
    accounts.sim.switch(|switches| switches.customer_id_token = IdToken::Absent);
    let session = accounts.session().await;
    assert_eq!(session["expires_in"], "soon");
    assert!(session.get("id_token").is_none());
    let token = session["refresh_token"].as_str().unwrap();
    accounts.sim.inject(Fault::new("customer.token.*", FaultKind::StatusAfterCommit(StatusFault::new(520))).times(1));
    let refresh = || accounts.refresh(token).basic_auth(CLIENT, Some(SECRET));
    assert_eq!(refresh().send().await.unwrap().status(), 520);
    assert_eq!(refusal(refresh()).await, (400, json!("invalid_grant")), "it was committed");
}

#[tokio::test]
async fn accounts_can_be_at_a_domain_of_the_shop() {
    let client = CustomerClientConfig::confidential(CLIENT, SECRET).redirects_to(BACK);
    let shop = ShopConfig {
        account_domain: Some("account.acme.example".to_owned()),
        ..ShopConfig::new(SHOP).customer_client(client)
    };
    let accounts = Accounts::start(shop).await;
    assert_eq!(accounts.url, "https://account.acme.example/authentication");
    let session = accounts.session().await;
    assert!(session["access_token"].is_string());
    let keys =
        json(accounts.shop.http.get(format!("{}/.well-known/jwks.json", accounts.url)).send().await.unwrap()).await;
    assert_eq!(keys["keys"][0]["alg"], "RS256");
    let unknown = accounts.shop.http.get("https://shopify.com/authentication/1/logout").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}
