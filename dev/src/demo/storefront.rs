//! The Storefront API as a shop front uses it: over https, under the shop's real name.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use reqwest::{Certificate, Client, StatusCode};
use serde_json::{Value, json};
use shopify_sim::Sim;

/// A client of the Storefront API of one shop.
#[derive(Debug)]
pub(super) struct Storefront {
    http: Client,
    url: String,
}

/// What the Storefront API says to a token.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It accepts the token, and names the shop.
    Shop(String),
    /// It doesn't.
    Refused(StatusCode),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shop(name) => write!(f, "200, the shop's name is {name:?}"),
            Self::Refused(status) => write!(f, "{}", status.as_u16()),
        }
    }
}

impl Storefront {
    /// A client that finds the shop in the simulation.
    pub(super) fn new(sim: &Sim, shop: &str, version: &str) -> Result<Self> {
        let http = Client::builder()
            .https_only(true)
            .no_proxy()
            .resolve(shop, sim.address())
            .tls_certs_merge([Certificate::from_pem(sim.ca_pem().as_bytes())?])
            .build()?;
        Ok(Self { http, url: format!("https://{shop}/api/{version}/graphql.json") })
    }

    /// Where it asks.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for the shop's name.
    pub(super) async fn ask(&self, token: &str) -> Result<Answer> {
        let request = self
            .http
            .post(&self.url)
            .header("X-Shopify-Storefront-Access-Token", token)
            .json(&json!({ "query": "{ shop { name } }" }));
        let response = request.send().await.context("the Storefront API can't be reached")?;
        match response.status() {
            StatusCode::OK => {}
            refused @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => return Ok(Answer::Refused(refused)),
            other => bail!("the Storefront API answers {other}"),
        }
        let body: Value = response.json().await.context("the Storefront API's answer isn't JSON")?;
        let name = body.pointer("/data/shop/name").and_then(Value::as_str);
        Ok(Answer::Shop(name.context("the Storefront API's answer names no shop")?.to_owned()))
    }
}
