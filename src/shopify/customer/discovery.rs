//! Discovery: where a shop's customer accounts are, asked at the shop's own domain.
//!
//! OIDC Discovery 1.0, section 4, of which Shopify serves the document at the shop's domain and the issuer
//! elsewhere; and a document of Shopify's own for the API (<https://shopify.dev/docs/api/customer>). Nothing secret is
//! sent, so that one redirect, to the shop's primary domain, can be followed.

use reqwest::Method;
use serde_json::{Map, Value};
use url::{Host, Url};

use crate::{
    core::{
        customer::{Discovery, Endpoint, InvalidEndpoint},
        failure::Failure,
        vocabulary::{Reason, labels::ShopifyCall},
    },
    shopify::{
        Client, Shop, Surface,
        answer::Answer,
        failure,
        form::{Refusal, Said},
        transport::Lost,
    },
};

impl Client {
    /// Finds out where a shop's customer accounts are: two documents, each with one redirect at most, to a public
    /// address.
    ///
    /// # Errors
    /// `DiscoveryInvalid` if what is served can't be used; it names document, field and shape. `BackingOff` if there is no
    /// answer, or one that says nothing of the shop: a limit, a fault, a page of something in between. What every endpoint
    /// of a shop says: that it isn't there, frozen or locked.
    pub async fn discover(&self, shop: &Shop) -> Result<Discovery, Failure> {
        let openid = self.document(Document { shop, name: "openid-configuration" }).await?;
        let api = self.document(Document { shop, name: "customer-account-api" }).await?;
        Ok(Discovery {
            issuer: openid.endpoint("issuer")?,
            authorization_endpoint: openid.endpoint("authorization_endpoint")?,
            token_endpoint: openid.endpoint("token_endpoint")?,
            end_session_endpoint: openid.endpoint("end_session_endpoint")?,
            jwks_uri: openid.endpoint("jwks_uri")?,
            graphql_api: api.endpoint("graphql_api")?,
        })
    }

    async fn document<'a>(&self, document: Document<'a>) -> Result<Served<'a>, Failure> {
        let url = document.url();
        let shop = document.shop;
        let mut answer = self.get(document, url.clone(), &shop.to_string()).await?;
        if is_redirect(&answer) {
            let to = target(&url, &answer).map_err(|what| document.invalid(what, &answer))?;
            answer = self.get(document, to, &format!("the domain that {shop} redirects to")).await?;
            if is_redirect(&answer) {
                return Err(document.invalid("redirects twice", &answer));
            }
        }
        document.read(answer)
    }

    async fn get(&self, document: Document<'_>, url: Url, whom: &str) -> Result<Answer, Failure> {
        let shop = document.shop;
        let request = self.request(Method::GET, url);
        let answer = self.receive(Surface::CustomerAccounts, ShopifyCall::CustomerDiscovery, shop, request).await;
        // What the shop has said, though it is of no use: nobody waits for it to come back.
        let unusable = |what: &str| {
            self.has_answered(Surface::CustomerAccounts);
            document.unusable(what)
        };
        let answer = answer.map_err(|lost| match &lost {
            Lost::Unreadable(what) => unusable(what),
            Lost::Silent(_) if lost.is_not_public() => {
                unusable("redirects to a name with an address that isn't public")
            }
            Lost::Silent(_) => self.lost(whom, lost),
        })?;
        match answer.status.as_u16() {
            200..400 => Ok(answer),
            _ => Err(document.refusal(&answer, whom)),
        }
    }
}

/// One of the two documents of a shop.
#[derive(Clone, Copy)]
struct Document<'a> {
    shop: &'a Shop,
    name: &'static str,
}

impl<'a> Document<'a> {
    fn url(self) -> Url {
        self.shop.url(&[".well-known", self.name])
    }

    /// It can't be used. `what` follows its address.
    fn unusable(self, what: &str) -> Failure {
        Failure::new(
            Reason::DiscoveryInvalid,
            format!(
                "{} {what}: open it in a browser; it must be served without the online store's password, from the primary \
                 domain, with customer accounts turned on (Shopify admin, Settings)",
                self.url()
            ),
        )
    }

    fn invalid(self, what: &str, answer: &Answer) -> Failure {
        failure::signed(self.unusable(what), answer)
    }

    /// What an answer that is no success means.
    fn refusal(self, answer: &Answer, whom: &str) -> Failure {
        let shop = self.shop;
        let failure = match (Refusal::read(answer, whom), answer.status.as_u16()) {
            (Ok(Refusal { said: Said::NoShop, .. }), _) => failure::shop_not_found(shop),
            // Of a theme, or of a store behind a password.
            (_, 401) => self.unusable("is refused (401)"),
            (_, 404 | 410) => self.unusable("isn't there (404)"),
            // Signed already.
            (Err(failure), _) => return failure,
            (Ok(refusal), status) => refusal
                .shop_state(shop)
                .unwrap_or_else(|| failure::unknown_refusal(shop, &format!("discovery ({status})"))),
        };
        failure::signed(failure, answer)
    }

    fn read(self, answer: Answer) -> Result<Served<'a>, Failure> {
        let body = answer.body.trim_ascii();
        if !answer.status.is_success() {
            return Err(self.invalid(&format!("answers {}", answer.status.as_u16()), &answer));
        }
        if body.is_empty() {
            return Err(self.invalid("is empty", &answer));
        }
        if body.starts_with(b"<") {
            return Err(self.invalid("is a page, such as the one that asks for the online store's password", &answer));
        }
        match answer.json::<Map<String, Value>>() {
            Some(fields) => Ok(Served { document: self, answer, fields }),
            None => Err(self.invalid("isn't a JSON object", &answer)),
        }
    }
}

/// A document as it was served.
struct Served<'a> {
    document: Document<'a>,
    answer: Answer,
    fields: Map<String, Value>,
}

impl Served<'_> {
    fn endpoint(&self, name: &'static str) -> Result<Endpoint, Failure> {
        let invalid = |what: &str| self.document.invalid(&format!("can't be used: {name} {what}"), &self.answer);
        match self.fields.get(name) {
            None | Some(Value::Null) => Err(invalid("is missing")),
            Some(Value::String(text)) => text.parse().map_err(|error: InvalidEndpoint| invalid(&error.to_string())),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(invalid("isn't text")),
        }
    }
}

fn is_redirect(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if it can be a shop's primary domain.
fn target(from: &Url, answer: &Answer) -> Result<Url, &'static str> {
    let location = answer.location.as_deref().filter(|location| !location.is_empty());
    let to = from.join(location.ok_or("redirects to nowhere")?).map_err(|_| "redirects to what isn't a URL")?;
    match to.host() {
        _ if to.scheme() != "https" => Err("redirects to a URL that isn't https"),
        _ if !to.username().is_empty() || to.password().is_some() => {
            Err("redirects to a URL with a user name or password in it")
        }
        _ if to.port_or_known_default() != Some(443) => Err("redirects to another port than 443"),
        Some(Host::Domain(name)) if name.trim_end_matches('.').contains('.') => Ok(to),
        // Of this machine or its network.
        Some(Host::Domain(_)) => Err("redirects to a name without a domain"),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => Err("redirects to an address instead of a host name"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use shopify_sim::{Config, CustomerDiscovery, Fault, FaultKind, ShopConfig, ShopState, Sim, StatusFault};

    use super::*;
    use crate::shopify::{
        ConnectTo, Options, Word,
        stub::{Reply, Stub, reply, shop},
    };

    const OPENID: &str = r#"{"issuer":"https://shopify.com/authentication/1","token_endpoint":"https://shopify.com/authentication/1/oauth/token","authorization_endpoint":"https://shopify.com/authentication/1/oauth/authorize","end_session_endpoint":"https://shopify.com/authentication/1/logout","jwks_uri":"https://shopify.com/authentication/1/.well-known/jwks.json","scopes_supported":["openid"]}"#;
    const API: &str = r#"{"graphql_api":"https://www.acme.example/customer/api/2026-10/graphql"}"#;

    /// What a shop with its accounts there would serve.
    pub(in crate::shopify::customer) fn discovery(accounts: &str) -> Discovery {
        let endpoint = |path: &str| format!("{accounts}{path}").parse().unwrap();
        Discovery {
            issuer: endpoint(""),
            authorization_endpoint: endpoint("/oauth/authorize"),
            token_endpoint: endpoint("/oauth/token"),
            end_session_endpoint: endpoint("/logout"),
            jwks_uri: endpoint("/.well-known/jwks.json"),
            graphql_api: "https://www.acme.example/customer/api/2026-10/graphql".parse().unwrap(),
        }
    }

    fn good(request: &str) -> Reply {
        reply(200, "", if request.starts_with("GET /.well-known/openid-configuration ") { OPENID } else { API })
    }

    fn moved(to: &str) -> Reply {
        reply(301, &format!("location: {to}\r\n"), "<html>canary</html>")
    }

    async fn refused(stub: &Stub) -> Failure {
        let failure = stub.client().discover(&shop()).await.unwrap_err();
        assert!(!failure.message.contains("canary"), "{}", failure.message);
        failure
    }

    #[tokio::test]
    async fn both_documents_are_asked_for_and_kept_as_served() {
        let stub = Stub::start(|_, request| good(request)).await;
        let found = stub.client().discover(&shop()).await.unwrap();
        assert_eq!(found.issuer.as_str(), "https://shopify.com/authentication/1");
        assert_eq!(found.authorization_endpoint.as_str(), "https://shopify.com/authentication/1/oauth/authorize");
        assert_eq!(found.token_endpoint.as_str(), "https://shopify.com/authentication/1/oauth/token");
        assert_eq!(found.end_session_endpoint.as_str(), "https://shopify.com/authentication/1/logout");
        assert_eq!(found.jwks_uri.as_str(), "https://shopify.com/authentication/1/.well-known/jwks.json");
        assert_eq!(found.graphql_api.as_str(), "https://www.acme.example/customer/api/2026-10/graphql");
        for (n, name) in ["openid-configuration", "customer-account-api"].into_iter().enumerate() {
            let request = stub.request(n).to_lowercase();
            assert!(request.starts_with(&format!("get /.well-known/{name} http/1.1\r\n")), "{request}");
            assert!(request.contains("host: acme.myshopify.com\r\n"), "{request}");
            assert!(!request.contains("authorization") && !request.contains("cookie"), "{request}");
        }
        assert_eq!(stub.codes(), ["customer_discovery 200", "customer_discovery 200"]);
    }

    #[tokio::test]
    async fn one_redirect_to_the_primary_domain_is_followed() {
        for status in [301, 302, 303, 307, 308] {
            let stub = Stub::start(move |_, request| {
                if request.contains("host: www.acme.example\r\n") {
                    return good(request);
                }
                let path = request.split(' ').nth(1).unwrap();
                reply(status, &format!("location: https://www.acme.example:443{path}\r\n"), "")
            })
            .await;
            assert!(stub.client().discover(&shop()).await.is_ok(), "{status}");
            assert_eq!(stub.count(), 4);
        }
    }

    #[tokio::test]
    async fn any_other_redirect_is_not_followed() {
        for (to, said) in [
            ("http://www.acme.example/canary", "isn't https"),
            ("ftp://www.acme.example/canary", "isn't https"),
            ("https://www.acme.example:8443/canary", "another port"),
            ("https://user@www.acme.example/canary", "user name"),
            ("https://user:canary@www.acme.example/", "user name"),
            ("https://10.0.0.1/canary", "an address"),
            ("https://169.254.169.254/latest/meta-data/canary", "an address"),
            ("https://0x7f000001/canary", "an address"),
            ("https://[::ffff:127.0.0.1]/canary", "an address"),
            ("https://localhost/canary", "without a domain"),
            ("https://metadata./canary", "without a domain"),
            ("https://", "isn't a URL"),
            ("", "to nowhere"),
        ] {
            let stub = Stub::start(move |_, _| moved(to)).await;
            let failure = refused(&stub).await;
            assert_eq!(failure.reason, Reason::DiscoveryInvalid, "{to}");
            assert!(failure.message.contains(said), "{to}: {}", failure.message);
            assert!(failure.message.ends_with("(x-request-id ab-1)"), "{}", failure.message);
            assert_eq!(stub.count(), 1, "{to}");
        }
    }

    #[tokio::test]
    async fn a_second_redirect_is_one_too_many() {
        for to in ["https://www.acme.example/x", "/x", "https://shop.acme.example/.well-known/openid-configuration"] {
            let stub = Stub::start(move |_, _| moved(to)).await;
            let failure = refused(&stub).await;
            assert_eq!(failure.reason, Reason::DiscoveryInvalid);
            assert!(failure.message.contains("redirects twice"), "{}", failure.message);
            assert_eq!(stub.count(), 2);
        }
    }

    /// Not by a lookup before the request, which may bring other addresses than that of the connection.
    #[tokio::test]
    async fn a_name_with_a_private_address_is_never_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Client::new(Options::default(), std::sync::Arc::default()).unwrap();
        let here = Url::parse(&format!("https://localhost:{port}/")).unwrap();
        let document = Document { shop: &shop(), name: "openid-configuration" };
        let failure = client.get(document, here, "the domain").await.unwrap_err();
        assert_eq!(failure.reason, Reason::DiscoveryInvalid, "{failure:?}");
        assert!(failure.message.contains("isn't public"), "{}", failure.message);
        let connected = tokio::time::timeout(std::time::Duration::from_millis(100), listener.accept()).await;
        assert!(connected.is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_used_names_document_field_and_shape() {
        let with = |name: &str, value: &str| {
            let mut fields: Map<String, Value> = serde_json::from_str(OPENID).unwrap();
            fields.insert(name.to_owned(), serde_json::from_str(value).unwrap());
            Value::from(fields).to_string()
        };
        let large = format!("{{\"issuer\":\"{}\"}}", "a".repeat(1024 * 1024));
        #[rustfmt::skip]
        let rows = [
            (200, "<!DOCTYPE html><title>canary</title>".to_owned(), "password"),
            (200, " \n<html>canary".to_owned(), "password"),
            (200, String::new(), "is empty"),
            (200, "canary".to_owned(), "isn't a JSON object"),
            (200, r#"["canary"]"#.to_owned(), "isn't a JSON object"),
            (200, "null".to_owned(), "isn't a JSON object"),
            (200, OPENID[..OPENID.len() - 1].to_owned(), "isn't a JSON object"),
            (200, "{}".to_owned(), "issuer is missing"),
            (200, large, "larger than 1 MiB"),
            (200, with("token_endpoint", "null"), "token_endpoint is missing"),
            (200, with("jwks_uri", "42"), "jwks_uri isn't text"),
            (200, with("jwks_uri", r#"["https://canary.example"]"#), "jwks_uri isn't text"),
            (200, with("authorization_endpoint", r#""http://acme.example/canary""#), "authorization_endpoint isn't an https URL"),
            (200, with("end_session_endpoint", r#""/canary""#), "end_session_endpoint isn't a URL"),
            (200, with("token_endpoint", r#""https://canary@acme.example""#), "token_endpoint has a user name"),
            (200, with("token_endpoint", r#""https://127.0.0.1/canary""#), "token_endpoint has an address"),
            (200, with("issuer", r#""""#), "issuer isn't a URL"),
            (204, String::new(), "is empty"),
            (304, String::new(), "answers 304"),
            (401, "<html>canary".to_owned(), "is refused"),
            (404, "<html>canary".to_owned(), "isn't there"),
            (404, r#"{"errors":"Not Found"}"#.to_owned(), "isn't there"),
        ];
        for (status, body, said) in rows {
            let sent = body.clone();
            let stub = Stub::start(move |_, _| reply(status, "", &sent)).await;
            let failure = refused(&stub).await;
            assert_eq!((failure.reason, failure.unreachable), (Reason::DiscoveryInvalid, false), "{status} {said}");
            let start = "https://acme.myshopify.com/.well-known/openid-configuration ";
            assert!(failure.message.starts_with(start), "{}", failure.message);
            assert!(failure.message.contains(said), "{said}: {}", failure.message);
            assert!(failure.message.contains("in a browser"), "{}", failure.message);
        }
        let stub = Stub::start(|n, request| if n == 0 { good(request) } else { reply(200, "", "{}") }).await;
        let failure = refused(&stub).await;
        assert!(failure.message.contains("/.well-known/customer-account-api can't be used: graphql_api is missing"));
    }

    #[tokio::test]
    async fn what_says_nothing_of_the_shop_is_asked_again() {
        use Reason::{BackingOff, ShopNotFound, ShopUnavailable};
        for (status, body, reason, unreachable) in [
            (429, "", BackingOff, false),
            (500, "", BackingOff, true),
            (503, "<html>canary", BackingOff, true),
            (520, "canary", BackingOff, true),
            (403, "<title>Just a moment... canary</title>", BackingOff, true),
            (402, r#"{"errors":"Unavailable Shop"}"#, ShopUnavailable, false),
            (423, r#"{"errors":"canary"}"#, ShopUnavailable, false),
            (404, "<title>Store unavailable</title>", ShopNotFound, false),
        ] {
            let stub = Stub::always(status, "retry-after: 7\r\n", body).await;
            let failure = refused(&stub).await;
            assert_eq!((failure.reason, failure.unreachable), (reason, unreachable), "{status} {body}");
            assert_eq!(failure.retry_after.map(|wait| wait.num_seconds()), Some(7));
        }
        let stub = Stub::start(|_, _| Reply::Raw(Vec::new())).await;
        let failure = refused(&stub).await;
        assert_eq!((failure.reason, failure.unreachable), (BackingOff, true));
    }

    #[tokio::test]
    async fn what_is_heard_is_of_the_customer_accounts() {
        let stub = Stub::start(|_, request| good(request)).await;
        let (client, heard) = stub.client().listening();
        client.discover(&shop()).await.unwrap();
        assert_eq!(heard.surfaces(false), [(Surface::CustomerAccounts, Word::Success)]);
        // More than is read is an answer, too.
        let stub = Stub::always(200, "", &"a".repeat(2 * 1024 * 1024)).await;
        let (client, heard) = stub.client().listening();
        let failure = client.discover(&shop()).await.unwrap_err();
        assert_eq!(heard.surfaces(failure.unreachable), [(Surface::CustomerAccounts, Word::Refusal)]);
    }

    const SHOP: &str = "acme.myshopify.com";

    async fn simulated(config: ShopConfig) -> (Sim, Client) {
        let sim = Sim::start(Config::default().shop(config)).await.unwrap();
        let options = Options {
            connect_to: Some(ConnectTo::Address(sim.address())),
            ca_pem: Some(sim.ca_pem().as_bytes().to_vec()),
            ..Options::default()
        };
        let client = Client::new(options, std::sync::Arc::default()).unwrap();
        (sim, client)
    }

    #[tokio::test]
    async fn a_simulated_shop_is_found_at_each_of_its_places() {
        let (sim, client) = simulated(ShopConfig::new(SHOP)).await;
        let found = client.discover(&shop()).await.unwrap();
        assert!(found.issuer.as_str().starts_with("https://shopify.com/authentication/"), "{found:?}");
        assert_eq!(found.token_endpoint.as_str(), format!("{}/oauth/token", found.issuer));
        assert_eq!(found.graphql_api.as_str(), "https://acme.myshopify.com/customer/api/2026-10/graphql");
        assert_eq!(sim.calls_to(SHOP, "customer.discovery*"), 2);

        let elsewhere = ShopConfig {
            primary_domain: Some("www.acme.example".to_owned()),
            account_domain: Some("account.acme.example".to_owned()),
            ..ShopConfig::new(SHOP)
        };
        let (sim, client) = simulated(elsewhere).await;
        let found = client.discover(&shop()).await.unwrap();
        assert_eq!(found.issuer.as_str(), "https://account.acme.example/authentication");
        assert_eq!(found.graphql_api.as_str(), "https://www.acme.example/customer/api/2026-10/graphql");
        assert_eq!(sim.calls_to(SHOP, "customer.discovery*"), 4, "with a redirect each");
    }

    #[tokio::test]
    async fn each_bad_way_of_a_simulated_shop_is_told() {
        let (sim, client) = simulated(ShopConfig::new(SHOP)).await;
        for (switch, said) in [
            (CustomerDiscovery::NotFound, "isn't there"),
            (CustomerDiscovery::Page, "is a page"),
            (CustomerDiscovery::Password, "is a page"),
            (CustomerDiscovery::Malformed, "isn't a JSON object"),
            (CustomerDiscovery::Huge, "larger than 1 MiB"),
            (CustomerDiscovery::MissingField, "token_endpoint is missing"),
            (CustomerDiscovery::HttpUrls, "issuer isn't an https URL"),
            (CustomerDiscovery::TwoRedirects, "redirects twice"),
            (CustomerDiscovery::RedirectToHttp, "isn't https"),
            (CustomerDiscovery::RedirectToPort, "another port"),
            (CustomerDiscovery::RedirectToAddress, "an address"),
        ] {
            sim.switch(|switches| switches.customer_discovery = switch);
            let failure = client.discover(&shop()).await.unwrap_err();
            assert_eq!(failure.reason, Reason::DiscoveryInvalid, "{switch:?}: {failure:?}");
            assert!(failure.message.contains(said), "{switch:?}: {failure:?}");
        }
        sim.switch(|switches| switches.customer_discovery = CustomerDiscovery::Good);
        sim.inject(Fault::new("customer.discoveryApi", FaultKind::Status(StatusFault::new(503))).times(1));
        assert!(client.discover(&shop()).await.unwrap_err().unreachable);
        sim.set_shop_state(SHOP, ShopState::Closed).unwrap();
        assert_eq!(client.discover(&shop()).await.unwrap_err().reason, Reason::ShopNotFound);
        sim.set_shop_state(SHOP, ShopState::Open).unwrap();
        assert!(client.discover(&shop()).await.is_ok());
    }
}
