//! A customer's session: a code becomes one, and a refresh token the next one.
//!
//! <https://shopify.dev/docs/storefronts/headless/building-with-the-customer-account-api/getting-started>

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{SubsecRound, TimeDelta};
use reqwest::{
    Method, RequestBuilder,
    header::{AUTHORIZATION, ORIGIN},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::{Origin, form_urlencoded};

use crate::{
    core::{
        cause::REDIRECT,
        credential::{self, Credential},
        customer::{Discovery, Endpoint},
        failure::Failure,
        renewal::{self, Lifetime},
        vocabulary::{Reason, labels::ShopifyCall},
    },
    shopify::{Client, Shop, Surface, answer::Answer, failure, form::Refusal, transport::secret_header},
    time::Timestamp,
};

/// Shopify documents no lifetime. Its own library's examples have this one, and to assume less than there is costs a
/// refresh.
const ASSUMED_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A client of the Customer Account API, as the Headless or Hydrogen channel shows it.
#[derive(Clone, Debug)]
pub struct OidcClient {
    /// The shop whose channel it is of.
    pub shop: Shop,
    /// A UUID, or `shp_` and one. Not secret.
    pub client_id: String,
    /// Of a confidential client; a public one has none.
    pub client_secret: Option<SecretString>,
    /// Sent as `Origin`: of a public client it must be among its JavaScript origins.
    pub origin: Origin,
}

/// A code that a sign-in brought, with what it was asked for with.
#[derive(Clone, Debug)]
pub struct Code<'a> {
    /// The code. It works once.
    pub value: &'a SecretString,
    /// The same as in [`super::SignIn`].
    pub redirect_uri: &'a str,
    /// The same as in [`super::SignIn`].
    pub verifier: &'a SecretString,
}

/// What the token endpoint granted.
#[derive(Clone, Debug)]
pub struct CustomerSession {
    /// The access token, which always expires.
    pub credential: Credential,
    /// For the next one. `None`: the one that was used stays.
    pub refresh_token: Option<SecretString>,
    /// Who signed in, signed by the issuer; not of a refresh. To be checked before anything else is believed.
    pub id_token: Option<SecretString>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<SecretString>,
    #[serde(default)]
    id_token: Option<SecretString>,
    #[serde(default)]
    scope: Option<String>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct OauthError {
    error: String,
}

/// What is presented, and what it means if that is dead.
#[derive(Clone, Copy)]
enum Presented {
    Code,
    RefreshToken,
}

impl Client {
    /// Exchanges a code for a session. If the answer is lost, so is the code.
    ///
    /// `now` is the time before the call: the expiry counted from it is never too late.
    ///
    /// # Errors
    /// `ConsentRequired` if the code is refused (`invalid_grant`), `CredentialsRejected` if the client is. Everything else
    /// says nothing of either.
    pub async fn begin_session(
        &self,
        client: &OidcClient,
        discovery: &Discovery,
        code: &Code<'_>,
        now: Timestamp,
    ) -> Result<CustomerSession, Failure> {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client.client_id),
            ("redirect_uri", code.redirect_uri),
            ("code", code.value.expose_secret()),
            ("code_verifier", code.verifier.expose_secret()),
        ];
        self.grant(client, &discovery.token_endpoint, Presented::Code, &form, now).await
    }

    /// Exchanges a refresh token for the next session. `now` as in [`Client::begin_session`].
    ///
    /// # Errors
    /// `RefreshTokenDead` if the refresh token is refused (`invalid_grant`), `CredentialsRejected` if the client is.
    /// Everything else says nothing of either: the same refresh token again.
    pub async fn refresh_session(
        &self,
        client: &OidcClient,
        discovery: &Discovery,
        refresh_token: &SecretString,
        now: Timestamp,
    ) -> Result<CustomerSession, Failure> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &client.client_id),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        self.grant(client, &discovery.token_endpoint, Presented::RefreshToken, &form, now).await
    }

    async fn grant(
        &self,
        client: &OidcClient,
        endpoint: &Endpoint,
        presented: Presented,
        form: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<CustomerSession, Failure> {
        let shop = &client.shop;
        let request = self.request(Method::POST, endpoint.url()).form(form);
        let request = client.identify(request)?.header(ORIGIN, client.origin.ascii_serialization());
        let answer = self.of_accounts(shop, presented.operation(), TOKEN_ENDPOINT, request).await?;
        if answer.status.is_success() { granted(&answer, shop, now) } else { Err(refusal(&answer, client, presented)) }
    }

    /// Asks an endpoint that discovery named.
    ///
    /// # Errors
    /// `DiscoveryInvalid` if its name has an address that isn't public; no answer and redirects as `BackingOff`.
    pub(super) async fn of_accounts(
        &self,
        shop: &Shop,
        operation: ShopifyCall,
        name: &str,
        request: RequestBuilder,
    ) -> Result<Answer, Failure> {
        let whom = format!("the {name} of {shop}");
        let answer = self.receive(Surface::CustomerAccounts, operation, shop, request).await;
        let answer = answer.map_err(|lost| {
            if lost.is_not_public() {
                // The shop has named it: nobody waits for it to come back.
                self.has_answered(Surface::CustomerAccounts);
                let message = format!(
                    "{whom} is at a name with an address that isn't public, and isn't asked: see what \
                     https://{shop}/.well-known/openid-configuration says"
                );
                return Failure::new(Reason::DiscoveryInvalid, message);
            }
            self.lost(&whom, lost)
        })?;
        if answer.status.is_redirection() {
            let message = format!(
                "{whom} {REDIRECT}: it may have moved, which the next discovery finds out; if that finds nothing \
                 new, a proxy or a captive portal may stand between"
            );
            return Err(failure::signed(Failure::new(Reason::BackingOff, message), &answer));
        }
        Ok(answer)
    }
}

const TOKEN_ENDPOINT: &str = "Customer Account API's token endpoint";

impl OidcClient {
    /// HTTP Basic for a confidential client, id and secret each encoded as in a form (RFC 6749, section 2.3.1).
    fn identify(&self, request: RequestBuilder) -> Result<RequestBuilder, Failure> {
        let Some(secret) = &self.client_secret else {
            return Ok(request);
        };
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&self.client_id), encode(secret.expose_secret()));
        let header = SecretString::from(format!("Basic {}", BASE64_STANDARD.encode(pair)));
        Ok(request.header(AUTHORIZATION, secret_header(&header)?))
    }
}

impl Presented {
    fn operation(self) -> ShopifyCall {
        match self {
            Self::Code => ShopifyCall::CustomerTokenCode,
            Self::RefreshToken => ShopifyCall::CustomerTokenRefresh,
        }
    }

    fn dead(self, shop: &Shop) -> Failure {
        match self {
            Self::Code => Failure::new(
                Reason::ConsentRequired,
                format!(
                    "Shopify refuses the code of the customer's sign-in at {shop}: it was used or has expired; sign in again"
                ),
            ),
            Self::RefreshToken => Failure::new(
                Reason::RefreshTokenDead,
                format!("Shopify refuses the refresh token of the customer's session at {shop}: sign in again"),
            ),
        }
    }
}

fn granted(answer: &Answer, shop: &Shop, now: Timestamp) -> Result<CustomerSession, Failure> {
    let garbled = || failure::garbled(answer, shop);
    let checked =
        |value: &SecretString| credential::check(value.expose_secret().as_bytes(), "the answer").map_err(|_| garbled());
    let granted: Granted = answer.json().ok_or_else(garbled)?;
    let (lifetime, warning) = match renewal::lifetime(granted.expires_in.as_ref()) {
        Lifetime::Stated(lifetime) => (lifetime, None),
        Lifetime::Unusual(what) => {
            (ASSUMED_LIFETIME, Some(format!("{shop} granted a customer's token with {what}; an hour is assumed")))
        }
    };
    let issued_at = now.trunc_subsecs(0);
    let mut scopes: Vec<String> =
        granted.scope.iter().flat_map(|list| list.split_ascii_whitespace()).map(str::to_owned).collect();
    scopes.sort();
    Ok(CustomerSession {
        credential: Credential {
            value: checked(&granted.access_token)?,
            token_id: None,
            scopes,
            issued_at,
            expires_at: Some(issued_at + lifetime),
            warning,
        },
        refresh_token: granted.refresh_token.as_ref().map(checked).transpose()?,
        id_token: granted.id_token.as_ref().map(checked).transpose()?,
    })
}

/// What a refusal of the token endpoint means. Only `invalid_grant` is the end of what was presented.
fn refusal(answer: &Answer, client: &OidcClient, presented: Presented) -> Failure {
    let shop = &client.shop;
    // How it refuses an `Origin` (<https://shopify.dev/docs/api/customer>).
    if answer.invalid_token {
        return failure::signed(client.foreign_origin(), answer);
    }
    let whom = format!("the {TOKEN_ENDPOINT} of {shop}");
    let status = match Refusal::read(answer, whom.as_str()) {
        Ok(refusal) => refusal.status(),
        // Signed already.
        Err(failure) => return failure,
    };
    let failure = match answer.json().map(|OauthError { error }| error).as_deref() {
        Some("invalid_grant") => presented.dead(shop),
        Some("invalid_client" | "unauthorized_client") => client.rejected(),
        Some("invalid_token") => client.foreign_origin(),
        Some(_) | None => failure::unknown_refusal(shop, &format!("a customer's session ({status})")),
    };
    failure::signed(failure, answer)
}

impl OidcClient {
    fn rejected(&self) -> Failure {
        let shop = &self.shop;
        let compare = match self.client_secret {
            Some(_) => "client_id and client_secret",
            None => "client_id, and that the client is a public one,",
        };
        Failure::new(
            Reason::CredentialsRejected,
            format!(
                "Shopify refuses the Customer Account API client of {shop}: compare {compare} in the credentials Secret with \
                 the Headless or Hydrogen channel"
            ),
        )
    }

    fn foreign_origin(&self) -> Failure {
        Failure::new(
            Reason::CredentialsRejected,
            format!(
                "Shopify refuses the origin {} for the Customer Account API client of {}: add it to the client's JavaScript \
                 origins in the Headless or Hydrogen channel",
                self.origin.ascii_serialization(),
                self.shop
            ),
        )
    }
}
