//! A real https client: real host names, resolved to the simulation.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response};
use serde_json::{Value, json};
use shopify_sim::{AppConfig, Config, ShopConfig, Sim};

pub(crate) const SHOP: &str = "acme.myshopify.com";
pub(crate) const APP: &str = "3bf1b2f57d4a4e6d9a4e1f0c8b7a6d5e";
pub(crate) const SECRET: &str = "shpss_0123456789abcdef0123456789abcdef";
pub(crate) const SCOPES: [&str; 3] = ["read_orders", "unauthenticated_read_product_listings", "write_orders"];

pub(crate) fn config() -> Config {
    Config::default().shop(ShopConfig::new(SHOP)).app(AppConfig::new(APP, SECRET).installed(SHOP, SCOPES))
}

pub(crate) async fn start() -> (Sim, Shop) {
    start_with(config()).await
}

pub(crate) async fn start_with(config: Config) -> (Sim, Shop) {
    let sim = Sim::start(config).await.unwrap();
    let shop = Shop::new(&sim, SHOP);
    (sim, shop)
}

pub(crate) struct Fixed(SocketAddr);

impl Fixed {
    pub(crate) fn of(sim: &Sim) -> Self {
        Self(sim.address())
    }
}

impl Resolve for Fixed {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

pub(crate) fn builder(sim: &Sim) -> ClientBuilder {
    let ca = Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
    Client::builder()
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Fixed::of(sim))
        .tls_certs_merge([ca])
        .timeout(Duration::from_secs(10))
}

/// One shop, as an app calls it.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) http: Client,
    pub(crate) domain: String,
}

impl Shop {
    pub(crate) fn new(sim: &Sim, domain: &str) -> Self {
        Self::with(builder(sim), domain)
    }

    pub(crate) fn with(builder: ClientBuilder, domain: &str) -> Self {
        Self { http: builder.build().unwrap(), domain: domain.to_owned() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.domain)
    }

    pub(crate) fn grant(&self, client_id: &str, secret: &str) -> RequestBuilder {
        self.http.post(self.url("/admin/oauth/access_token")).header("accept", "application/json").form(&[
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
        ])
    }

    pub(crate) async fn token(&self) -> String {
        let answer = json(self.grant(APP, SECRET).send().await.unwrap()).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn graphql(&self, token: &str, query: &str, variables: &Value) -> RequestBuilder {
        self.http
            .post(self.url("/admin/api/2026-10/graphql.json"))
            .header("x-shopify-access-token", token)
            .json(&json!({ "query": query, "variables": variables }))
    }

    pub(crate) async fn query(&self, token: &str, query: &str) -> Value {
        json(self.graphql(token, query, &json!({})).send().await.unwrap()).await
    }

    pub(crate) fn create_request(&self, token: &str, title: &str) -> RequestBuilder {
        self.graphql(token, CREATE, &json!({ "input": { "title": title } }))
    }

    pub(crate) async fn create(&self, token: &str, title: &str) -> Value {
        json(self.create_request(token, title).send().await.unwrap()).await
    }

    pub(crate) async fn delete(&self, token: &str, id: &str) -> Value {
        let variables = json!({ "input": { "id": id } });
        json(self.graphql(token, DELETE, &variables).send().await.unwrap()).await
    }

    pub(crate) fn probe(&self, token: &str) -> RequestBuilder {
        self.http
            .post(self.url("/api/2026-10/graphql.json"))
            .header("x-shopify-storefront-access-token", token)
            .json(&json!({ "query": "{ shop { name } }" }))
    }
}

pub(crate) const CREATE: &str = "mutation ($input: StorefrontAccessTokenInput!) {
  storefrontAccessTokenCreate(input: $input) {
    shop { id }
    storefrontAccessToken { id accessToken accessScopes { handle } title createdAt updatedAt }
    userErrors { field message }
  }
}";

pub(crate) const DELETE: &str = "mutation ($input: StorefrontAccessTokenDeleteInput!) {
  storefrontAccessTokenDelete(input: $input) {
    deletedStorefrontAccessTokenId
    userErrors { field message }
  }
}";

pub(crate) async fn json(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
