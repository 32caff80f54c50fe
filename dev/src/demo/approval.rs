//! An app that a merchant approves, in a browser: by a script during the tour, by hand afterwards.

use anyhow::{Context as _, Result, ensure};
use kube::api::DynamicObject;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde_json::json;

use super::stage::{NAMESPACE, PARTNER_ID, SHOP};
use super::{Credentials, Demo};
use crate::Manifests;

/// Name of the ShopifyToken that waits for an approval.
const TOKEN: &str = "partner";

/// An app of a partner's, and an offline token of it that nobody has approved.
fn objects(credentials: &Credentials) -> Result<Vec<DynamicObject>> {
    let group = "tokens.shopify-operator.dev/v1alpha1";
    let secret = json!({"client_id": PARTNER_ID, "client_secret": credentials.client_secret});
    [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "partner-app"}, "stringData": secret}),
        json!({
            "apiVersion": group, "kind": "ShopifyApp", "metadata": {"name": "partner"},
            "spec": {"credentialsRef": {"name": "partner-app"}},
        }),
        json!({
            "apiVersion": group, "kind": "ShopifyToken", "metadata": {"name": TOKEN},
            "spec": {"shop": SHOP, "source": {"offline": {"appRef": {"name": "partner"}}}, "requiredScopes": ["read_orders"]},
        }),
    ]
    .into_iter()
    .map(|object| Ok(serde_json::from_value(object)?))
    .collect()
}

impl Demo {
    /// Applies a token that waits for an approval, and says where it can be given.
    pub(super) async fn ask_for_approval(&mut self) -> Result<String> {
        self.stage.cluster.apply(&Manifests::Objects(objects(&self.credentials)?), NAMESPACE).await?;
        self.until("there is an address to approve the app at", async |demo| {
            let token = demo.get(&["get", "stok", TOKEN, "--output=json"]).await?;
            let url = token["status"]["installURL"].as_str();
            Ok(url.with_context(|| format!("{TOKEN} has no status.installURL"))?.to_owned())
        })
        .await
    }

    pub(super) async fn approve(&mut self) -> Result<()> {
        self.screen.chapter("A merchant approves an app, in a browser")?;
        let url = self.ask_for_approval().await?;
        self.show(&["get", "stok", TOKEN]).await?;
        self.screen.say(&format!("Its status.installURL, for whoever may install apps on the shop:\n\n  {url}\n"))?;
        let mut browser = Browser::new(&self.stage.sim)?;
        let asked = browser.goes_to(url.parse()?).await?;
        self.screen.done(&format!("opened: the browser is sent to https://{SHOP}, which asks the merchant"))?;
        let back = browser.clicks_install(asked).await?;
        let seen = browser.goes_to(back).await?;
        self.screen.done("Install is clicked: Shopify sends it back with a code, which the record Secret keeps")?;
        let page = browser.opens(seen).await?;
        let (status, text) = (page.status(), page.text().await?);
        ensure!(status == StatusCode::OK && text.contains("<h1>Approved</h1>"), "the page says {status}: {text}");
        self.screen.done("the operator has exchanged the code; the page says: Approved\n")?;
        self.show(&["get", "stok", TOKEN]).await
    }
}

/// As much of a browser as that takes.
struct Browser {
    http: Client,
    cookie: Option<String>,
}

impl Browser {
    fn new(sim: &shopify_sim::Sim) -> Result<Self> {
        let http = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .resolve(SHOP, sim.address())
            .tls_certs_merge([Certificate::from_pem(sim.ca_pem().as_bytes())?])
            .build()?;
        Ok(Self { http, cookie: None })
    }

    async fn opens(&mut self, url: Url) -> Result<Response> {
        let request = self.http.get(url);
        let request = match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let page = request.send().await.context("the install pages can't be reached")?;
        if let Some(set) = page.headers().get(SET_COOKIE) {
            self.cookie = set.to_str()?.split(';').next().map(str::to_owned);
        }
        Ok(page)
    }

    /// Opens a page that sends it on: where to.
    async fn goes_to(&mut self, url: Url) -> Result<Url> {
        let page = self.opens(url).await?;
        next(page).await
    }

    async fn clicks_install(&self, asked: Url) -> Result<Url> {
        next(self.http.post(asked).form(&[("decision", "approve")]).send().await.context("Shopify can't be reached")?)
            .await
    }
}

async fn next(page: Response) -> Result<Url> {
    let (status, url) = (page.status(), page.url().clone());
    let location = page.headers().get(LOCATION).map(|to| to.to_str().map(str::to_owned)).transpose()?;
    match location {
        Some(to) if status.is_redirection() => Ok(url.join(&to)?),
        _ => anyhow::bail!("the page at {} answers {status}: {}", url.path(), page.text().await?),
    }
}
