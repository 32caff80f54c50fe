//! A customer's session against the simulated Shopify, over https: begun, believed, refreshed, ended.

use std::{net::SocketAddr, sync::Arc};

use chrono::TimeDelta;
use reqwest::{Certificate, header::LOCATION, redirect};
use secrecy::{ExposeSecret, SecretString};
use shopify_sim::{Config, CustomerClientConfig, Fault, FaultKind, IdToken, ShopConfig, Sim, StatusFault};
use url::Url;

use super::*;
use crate::{
    clock::Clock,
    core::{customer::Discovery, failure::Failure, vocabulary::Reason},
    shopify::{Client, ConnectTo, Observer, Options},
    time::Timestamp,
};

const SHOP: &str = "acme.myshopify.com";
const CLIENT: &str = "shp_0b9c1f0e";
const SECRET: &str = "canary+secret/5f2c=";
const BACK: &str = "https://tokens.example.com/oauth/callback";

struct Accounts {
    sim: Sim,
    shopify: Client,
    found: Discovery,
    client: OidcClient,
    nonce: SecretString,
    verifier: SecretString,
}

impl Accounts {
    async fn with(config: CustomerClientConfig, secret: Option<&str>) -> Self {
        let shop = ShopConfig::new(SHOP).customer_client(config.redirects_to(BACK));
        let sim = Sim::start(Config::default().shop(shop)).await.unwrap();
        let options = Options {
            connect_to: Some(ConnectTo::Address(sim.address())),
            ca_pem: Some(sim.ca_pem().as_bytes().to_vec()),
            ..Options::default()
        };
        let shopify = Client::new(options, Arc::new(Observer::default())).unwrap();
        let found = shopify.discover(&SHOP.parse().unwrap()).await.unwrap();
        let client = OidcClient {
            shop: SHOP.parse().unwrap(),
            client_id: CLIENT.into(),
            client_secret: secret.map(SecretString::from),
            origin: Url::parse(BACK).unwrap().origin(),
        };
        Self { sim, shopify, found, client, nonce: SecretString::from("n-1"), verifier: code_verifier([7; 32]) }
    }

    async fn confidential() -> Self {
        Self::with(CustomerClientConfig::confidential(CLIENT, SECRET), Some(SECRET)).await
    }

    /// What a browser brings back after the customer has approved.
    async fn code(&self) -> SecretString {
        let scopes = ["openid".to_owned(), "customer-account-api:full".to_owned()];
        let url = self.found.sign_in(&SignIn {
            client_id: CLIENT,
            scopes: &scopes,
            redirect_uri: BACK,
            state: "s",
            nonce: &self.nonce,
            verifier: &self.verifier,
        });
        let address: SocketAddr = self.sim.address();
        let browser = reqwest::Client::builder()
            .tls_certs_merge([Certificate::from_pem(self.sim.ca_pem().as_bytes()).unwrap()])
            .resolve(url.host_str().unwrap(), address)
            .redirect(redirect::Policy::none())
            .user_agent("a browser")
            .build()
            .unwrap();
        let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        form.push(("decision".into(), "approve".into()));
        let mut page = url;
        page.set_query(None);
        let answer = browser.post(page).form(&form).send().await.unwrap();
        let back = Url::parse(answer.headers()[LOCATION].to_str().unwrap()).unwrap();
        let code = back.query_pairs().find(|(key, _)| key == "code").map(|(_, code)| code.into_owned());
        SecretString::from(code.unwrap())
    }

    async fn begin(&self, code: &SecretString) -> Result<CustomerSession, Failure> {
        let code = Code { value: code, redirect_uri: BACK, verifier: &self.verifier };
        self.shopify.begin_session(&self.client, &self.found, &code, Clock::system().now()).await
    }

    async fn signed_in(&self, session: &CustomerSession) -> Result<String, Failure> {
        self.believed(session, &self.nonce, Clock::system().now()).await
    }

    async fn believed(
        &self,
        session: &CustomerSession,
        nonce: &SecretString,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let (shop, token) = (&self.client.shop, session.id_token.as_ref().unwrap());
        let keys = self.shopify.issuer_keys(shop, &self.found).await?;
        keys.signed_in(shop, &self.found, token, Expected { client_id: CLIENT, nonce }, now)
    }
}

fn reason<T>(result: Result<T, Failure>) -> Reason {
    result.map(drop).unwrap_err().reason
}

#[tokio::test]
async fn a_session_from_its_beginning_to_its_end() {
    let accounts = Accounts::confidential().await;
    let code = accounts.code().await;
    let session = accounts.begin(&code).await.unwrap();
    assert!(!accounts.signed_in(&session).await.unwrap().is_empty());
    assert!(session.credential.expires_at.is_some_and(|at| at > Clock::system().now() + TimeDelta::minutes(30)));
    assert_eq!(reason(accounts.begin(&code).await), Reason::ConsentRequired, "a code works once");

    let first = session.refresh_token.unwrap();
    let refresh = async |token: &SecretString| {
        accounts.shopify.refresh_session(&accounts.client, &accounts.found, token, Clock::system().now()).await
    };
    let next = refresh(&first).await.unwrap();
    assert!(next.id_token.is_none());
    assert_ne!(next.credential.value.expose_secret(), session.credential.value.expose_secret());
    let second = next.refresh_token.unwrap();
    assert!(refresh(&second).await.is_ok());
    assert_eq!(reason(refresh(&first).await), Reason::RefreshTokenDead);
}

#[tokio::test]
async fn another_verifier_brings_nothing() {
    let mut accounts = Accounts::confidential().await;
    let code = accounts.code().await;
    accounts.verifier = code_verifier([8; 32]);
    assert_eq!(reason(accounts.begin(&code).await), Reason::ConsentRequired);
}

#[tokio::test]
async fn a_client_that_is_refused_is_told_apart_from_what_it_presents() {
    let mut accounts = Accounts::confidential().await;
    let code = accounts.code().await;
    accounts.client.client_secret = Some(SecretString::from("wrong"));
    assert_eq!(reason(accounts.begin(&code).await), Reason::CredentialsRejected);
    accounts.client.client_secret = Some(SecretString::from(SECRET));
    assert!(accounts.begin(&code).await.is_ok(), "the code wasn't used up by that");

    let config = CustomerClientConfig::public(CLIENT).with_origin("https://tokens.example.com");
    let mut accounts = Accounts::with(config, None).await;
    let code = accounts.code().await;
    accounts.client.origin = Url::parse("https://elsewhere.example.com").unwrap().origin();
    let failure = accounts.begin(&code).await.map(drop).unwrap_err();
    assert_eq!(failure.reason, Reason::CredentialsRejected);
    assert!(failure.message.contains("https://elsewhere.example.com"), "{}", failure.message);
    accounts.client.origin = Url::parse(BACK).unwrap().origin();
    assert!(accounts.begin(&code).await.is_ok());
}

#[tokio::test]
async fn who_signed_in_is_believed_only_as_it_should_be() {
    let accounts = Accounts::confidential().await;
    for (switch, says) in [
        (IdToken::OtherIssuer, "(iss)"),
        (IdToken::OtherAudience, "(aud)"),
        (IdToken::OtherNonce, "(nonce)"),
        (IdToken::Expired, "(exp)"),
        (IdToken::OtherKey, "isn't signed by the issuer"),
    ] {
        accounts.sim.switch(|switches| switches.customer_id_token = switch);
        let session = accounts.begin(&accounts.code().await).await.unwrap();
        let failure = accounts.signed_in(&session).await.unwrap_err();
        assert_eq!(failure.reason, Reason::ConsentRequired, "{switch:?}");
        assert!(failure.message.contains(says), "{switch:?}: {}", failure.message);
    }
    // One that is good, of another sign-in.
    accounts.sim.switch(|switches| switches.customer_id_token = IdToken::Good);
    let session = accounts.begin(&accounts.code().await).await.unwrap();
    let other = SecretString::from("n-2");
    assert_eq!(reason(accounts.believed(&session, &other, Clock::system().now()).await), Reason::ConsentRequired);
    // And one that was good, an hour and more later.
    let late = Clock::system().now() + TimeDelta::days(2);
    let seen = accounts.believed(&session, &accounts.nonce, late).await;
    assert!(seen.unwrap_err().message.contains("(exp)"));
}

#[tokio::test]
async fn a_set_without_a_key_that_could_verify_anything_is_no_verdict() {
    let accounts = Accounts::confidential().await;
    for keys in [r#"{"keys": []}"#, r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#, "{}"] {
        let status = StatusFault { code: 200, retry_after: None, body: Some(keys.to_owned()) };
        accounts.sim.inject(Fault::new("customer.jwks", FaultKind::Status(status)));
        let asked = accounts.shopify.issuer_keys(&accounts.client.shop, &accounts.found).await;
        assert_eq!(reason(asked), Reason::BackingOff, "{keys}");
        accounts.sim.clear_faults();
    }
}
