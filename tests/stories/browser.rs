//! A merchant's or customer's browser, and the replicas that serve install pages to it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use chrono::TimeDelta;
use reqwest::{
    Url,
    header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE},
    redirect::Policy,
};
use shopify_token_operator::{
    controller::{Setup, consent::Consent},
    install, server,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::world::{PUBLIC_URL, SHOP, World};

/// Where customers sign in.
const ACCOUNTS: &str = "shopify.com";
/// Where a callback that changes nothing is sent on to.
const REFUSED: &str = "/oauth/refused";
/// Between two that nobody has signed.
pub(crate) const APART: TimeDelta = TimeDelta::seconds(10);
/// How long a merchant waits for Shopify.
const PATIENCE: Duration = Duration::from_secs(3);

/// A replica that serves install pages; what ends TLS before it is left out.
pub(crate) struct Pages {
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Pages {
    pub(crate) async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let public = setup.public_url.clone().unwrap();
        let router = install::router(Consent::new(setup), public, stop.clone());
        let task = tokio::spawn(server::serve(listener, router, stop.clone()));
        Self { address, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// What a browser is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Shown {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Where it sends the browser.
    pub(crate) fn location(&self) -> Url {
        let base = Url::parse(PUBLIC_URL).unwrap();
        base.join(self.headers[LOCATION].to_str().unwrap()).unwrap()
    }

    pub(crate) fn title(&self) -> &str {
        self.text.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap_or_default()
    }
}

/// A browser: it keeps cookies, and goes only where it is told.
pub(crate) struct Browser {
    http: reqwest::Client,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(world: &World) -> Self {
        let http = reqwest::Client::builder()
            .resolve(SHOP, world.sim.address())
            .resolve(ACCOUNTS, world.sim.address())
            .user_agent("a browser")
            .add_root_certificate(reqwest::Certificate::from_pem(world.sim.ca_pem().as_bytes()).unwrap())
            .redirect(Policy::none())
            .build()
            .unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    /// Opens an address of the install pages, as it is known to the world, at a replica.
    pub(crate) async fn loads(&mut self, at: SocketAddr, url: &str) -> Shown {
        let path = url.strip_prefix(PUBLIC_URL).unwrap_or(url);
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.get(format!("http://{at}{path}"));
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) };
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        for set in headers.get_all(SET_COOKIE) {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        }
        Shown { status, headers, text: answer.text().await.unwrap() }
    }

    /// Opens an address, and the page that a callback which changes nothing is sent on to.
    pub(crate) async fn opens(&mut self, at: SocketAddr, url: &str) -> Shown {
        let shown = self.loads(at, url).await;
        let refused = shown.headers.get(LOCATION).and_then(|to| to.to_str().ok()).filter(|to| to.starts_with(REFUSED));
        let Some(to) = refused.map(str::to_owned) else { return shown };
        assert!(shown.status == 303 && !to.contains("code=") && !to.contains("hmac="), "{to}");
        self.loads(at, &to).await
    }

    /// Begins the approval of an object: the address at Shopify.
    pub(crate) async fn begins(&mut self, at: SocketAddr, world: &World, name: &str) -> Url {
        let shown = self.opens(at, &format!("/oauth/install/{}/{name}", world.namespace)).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
        shown.location()
    }

    /// Decides at Shopify: the address to come back to.
    pub(crate) async fn decides(&self, asked: &Url, decision: &str) -> Url {
        self.tries_to_decide(asked, decision).await.expect("an answer of Shopify's")
    }

    /// The same, unless the answer is lost.
    pub(crate) async fn tries_to_decide(&self, asked: &Url, decision: &str) -> Option<Url> {
        let mut form = vec![("decision".to_owned(), decision.to_owned())];
        // The sign-in's page has all that it was asked with in its form.
        form.extend(asked.query_pairs().into_owned().filter(|_| asked.host_str() == Some(ACCOUNTS)));
        let answer = self.http.post(asked.clone()).form(&form).timeout(PATIENCE).send().await.ok()?;
        Url::parse(answer.headers().get(LOCATION)?.to_str().unwrap()).ok()
    }

    /// Does all of it, a while after whoever came before: what is shown in the end.
    pub(crate) async fn goes_through(&mut self, at: SocketAddr, world: &World, decision: &str) -> Shown {
        world.pass(APART);
        let asked = self.begins(at, world, "web").await;
        let back = self.decides(&asked, decision).await;
        let shown = self.opens(at, back.as_str()).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
        self.opens(at, shown.location().as_str()).await
    }
}
