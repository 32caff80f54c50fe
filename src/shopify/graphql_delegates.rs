//! Delegate access tokens in the GraphQL Admin API: made, and destroyed by their value. There is no list of them.
//!
//! <https://shopify.dev/docs/apps/build/authentication-authorization/delegate-api-access>

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    AdminAccess, ApiError, Client, Shop,
    answer::Answer,
    failure::{self, signed},
    graphql::Operation,
    refusal,
};
use crate::core::{
    credential,
    failure::Failure,
    renewal::{self, Lifetime},
    vocabulary::{Reason, labels::ShopifyCall},
};

const CREATE: Operation = Operation {
    call: ShopifyCall::DelegateTokenCreate,
    cost: 10.0,
    text: "mutation ($input: DelegateAccessTokenInput!) { delegateAccessTokenCreate(input: $input) { \
        delegateAccessToken { accessToken accessScopes expiresIn } userErrors { code message } } }",
};

/// Of versions before [`TELLS_LIFETIME`].
const CREATE_UNTOLD: Operation = Operation {
    text: "mutation ($input: DelegateAccessTokenInput!) { delegateAccessTokenCreate(input: $input) { \
        delegateAccessToken { accessToken accessScopes } userErrors { code message } } }",
    ..CREATE
};

/// The first version with `DelegateAccessToken.expiresIn`
/// (<https://shopify.dev/changelog/delegateaccesstokencreate-mutation-now-returns-expiresin>).
const TELLS_LIFETIME: &str = "2026-04";

const DESTROY: Operation = Operation {
    call: ShopifyCall::DelegateTokenDestroy,
    cost: 10.0,
    text: "mutation ($value: String!) { delegateAccessTokenDestroy(accessToken: $value) { \
        status userErrors { code message } } }",
};

/// A delegate access token that was made now. Shopify tells its value this once.
#[derive(Clone, Debug)]
pub struct Delegate {
    /// Its value. `Debug` prints `[REDACTED]`.
    pub value: SecretString,
    /// Its scopes, sorted.
    pub scopes: Vec<String>,
    /// How long it lives, 1 second to 400 days: counted from before the call, it is never too long.
    pub lifetime: TimeDelta,
    /// Something to warn of: a lifetime that can't be believed.
    pub warning: Option<String>,
    /// The API version that answered, as far as Shopify says so.
    pub served: Option<String>,
}

/// How the destruction of a delegate ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destroyed {
    /// Shopify destroyed it now.
    Gone,
    /// Shopify doesn't know it: destroyed before, or expired.
    AlreadyGone,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    access_token: SecretString,
    access_scopes: Vec<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

impl Client {
    /// Makes a delegate of the admin token, with these scopes and this lifetime, of which the part below a second is
    /// cut off. The API is GraphQL's, whatever `access.api` says.
    ///
    /// Not idempotent, and there is no list: after a failure that is `unsure` a delegate may exist that nobody knows,
    /// until it expires.
    ///
    /// # Errors
    /// [`ApiError`], among them `ScopesMissing` (the app doesn't have a scope), `InvalidCredential` (no delegate can be
    /// made of that admin token) and `AdminTokenNotReady` (it ends too early).
    pub async fn create_delegate(
        &self,
        access: &AdminAccess,
        scopes: &[String],
        expires_in: TimeDelta,
    ) -> Result<Delegate, ApiError> {
        let shop = &access.shop;
        let told = access.version.as_str() >= TELLS_LIFETIME;
        let operation = if told { &CREATE } else { &CREATE_UNTOLD };
        let asked = TimeDelta::seconds(expires_in.num_seconds());
        let variables = json!({"input": {"delegateAccessScope": scopes, "expiresIn": asked.num_seconds()}});
        let (payload, answer) = self
            .mutation(access, operation, "delegateAccessTokenCreate", variables)
            .await
            .map_err(|error| denied(error, scopes))?;
        if let Some(refusal) = not_created(&payload["userErrors"], scopes, &answer, shop) {
            return Err(refusal);
        }
        let made =
            Made::deserialize(&payload["delegateAccessToken"]).map_err(|_| failure::unexpected(&answer, shop))?;
        let value = credential::check(made.access_token.expose_secret().as_bytes(), "the answer")
            .map_err(|_| failure::garbled(&answer, shop))?;
        let (lifetime, warning) = match renewal::lifetime(made.expires_in.as_ref()) {
            Lifetime::Stated(lifetime) => (lifetime, None),
            Lifetime::Unusual(_) if !told => (asked, None),
            Lifetime::Unusual(what) => {
                let seconds = asked.num_seconds();
                (asked, Some(format!("{shop} made a delegate with {what}; the {seconds} s asked for are assumed")))
            }
        };
        let mut scopes = made.access_scopes;
        scopes.sort();
        scopes.dedup();
        Ok(Delegate { value, scopes, lifetime, warning, served: answer.served })
    }

    /// Destroys a delegate by its value, with an admin token of its app. Applications that use it are refused from now
    /// on.
    ///
    /// # Errors
    /// [`ApiError`], among them [`ApiError::Forbidden`] for what will never be destroyed in this way: another app's
    /// delegate, or a token that isn't one. Never for a delegate that is gone already.
    pub async fn destroy_delegate(&self, access: &AdminAccess, value: &SecretString) -> Result<Destroyed, ApiError> {
        match self.graphql_destroy(access, value).await {
            Ok(()) => Ok(Destroyed::Gone),
            Err(ApiError::NotFound(_)) => Ok(Destroyed::AlreadyGone),
            Err(error) => Err(error),
        }
    }

    async fn graphql_destroy(&self, access: &AdminAccess, value: &SecretString) -> Result<(), ApiError> {
        // Never in the text of the query, which may be logged on the way.
        let variables = json!({"value": value.expose_secret()});
        let (payload, answer) = self.mutation(access, &DESTROY, "delegateAccessTokenDestroy", variables).await?;
        match not_destroyed(&payload["userErrors"], &answer, &access.shop) {
            Some(refusal) => Err(refusal),
            None if payload["status"] == true => Ok(()),
            None => Err(failure::unexpected(&answer, &access.shop).into()),
        }
    }
}

/// What isn't a user error: of `ACCESS_DENIED` with the scopes asked for, which it is about.
fn denied(error: ApiError, scopes: &[String]) -> ApiError {
    match error {
        ApiError::Forbidden(failure) if failure.reason == Reason::ScopesMissing => {
            let message = format!("a delegate with {} can't be made: {}", scopes.join(", "), failure.message);
            ApiError::Forbidden(Failure { message, ..failure })
        }
        error => error.of_api(),
    }
}

/// Why nothing was made; `None` if there are no user errors.
///
/// <https://shopify.dev/docs/api/admin-graphql/latest/enums/DelegateAccessTokenCreateUserErrorCode>
fn not_created(errors: &Value, scopes: &[String], answer: &Answer, shop: &Shop) -> Option<ApiError> {
    let refused = |reason, message: String| ApiError::Failed(signed(Failure::new(reason, message), answer));
    let known = codes(errors).find_map(|code| {
        Some(match code {
            "UNKNOWN_SCOPES" => ApiError::Forbidden(signed(scopes_missing(errors, scopes, shop), answer)),
            "EMPTY_ACCESS_SCOPE" => {
                let message = format!("{shop} makes no delegate without a scope: name at least one for it");
                ApiError::Forbidden(signed(Failure::new(Reason::ScopesMissing, message), answer))
            }
            "DELEGATE_ACCESS_TOKEN" => refused(
                Reason::InvalidCredential,
                format!(
                    "the admin token (adminTokenRef) is itself a delegate, and {shop} makes none of a delegate: name the \
                     token that it was made of"
                ),
            ),
            "REFRESH_TOKEN" => refused(
                Reason::InvalidCredential,
                format!(
                    "{shop} makes no delegate of an admin token (adminTokenRef) that has a refresh token: name one of \
                     source `clientCredentials` or `custom`"
                ),
            ),
            // Of nothing that is left of the parent's life, nothing is left to ask for.
            "EXPIRES_AFTER_PARENT" | "NEGATIVE_EXPIRES_IN" => refused(
                Reason::AdminTokenNotReady,
                format!(
                    "the admin token (adminTokenRef) ends on {shop} before the delegate would: it goes on by itself once \
                     that token is renewed; if this lasts, ask for a shorter lifetime"
                ),
            ),
            "PERSISTENCE_FAILED" => ApiError::Failed(signed(not_saved(shop), answer)),
            _ => return None,
        })
    });
    known.or_else(|| refusal::of_user_errors(errors, answer, shop).map(ApiError::of_api))
}

/// Why nothing was destroyed: [`ApiError::NotFound`] if there is nothing to. `None` if there are no user errors.
///
/// <https://shopify.dev/docs/api/admin-graphql/latest/enums/DelegateAccessTokenDestroyUserErrorCode>
fn not_destroyed(errors: &Value, answer: &Answer, shop: &Shop) -> Option<ApiError> {
    let refused = |reason, message: String| ApiError::Forbidden(signed(Failure::new(reason, message), answer));
    let known = codes(errors).find_map(|code| {
        Some(match code {
            "CAN_ONLY_DELETE_DELEGATE_TOKENS" => refused(
                Reason::InvalidCredential,
                format!(
                    "what is to be destroyed on {shop} is an admin token, and Shopify destroys only delegates in this \
                     way: find out who wrote it into the Secret"
                ),
            ),
            "ACCESS_DENIED" => refused(
                Reason::DependencyInvalid,
                format!(
                    "{shop} doesn't let this admin token (adminTokenRef) destroy the delegate, which another app or \
                     token has made: it lives until it expires, unless that one is named"
                ),
            ),
            "PERSISTENCE_FAILED" => ApiError::Failed(signed(not_saved(shop), answer)),
            _ => return None,
        })
    });
    // `ACCESS_TOKEN_NOT_FOUND` among them.
    known.or_else(|| refusal::of_user_errors(errors, answer, shop))
}

fn codes(errors: &Value) -> impl Iterator<Item = &str> {
    errors.as_array().into_iter().flatten().map(|error| error["code"].as_str().unwrap_or_default())
}

/// Of the scopes asked for those that Shopify's words name; all of them if it names none.
fn scopes_missing(errors: &Value, asked: &[String], shop: &Shop) -> Failure {
    let words = failure::words(errors);
    let is_of_scope = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named: Vec<&str> = words.split(|c| !is_of_scope(c)).collect();
    let mut missing: Vec<&str> = asked.iter().map(String::as_str).filter(|scope| named.contains(scope)).collect();
    if missing.is_empty() {
        missing = asked.iter().map(String::as_str).collect();
    }
    Failure::new(
        Reason::ScopesMissing,
        format!(
            "{shop} delegates only scopes that the admin token has, and not: {}; take them out of the delegate's scopes, \
             or release an app version with them and let the merchant approve or install it again",
            missing.join(", ")
        ),
    )
}

/// It says so itself: nothing was done.
fn not_saved(shop: &Shop) -> Failure {
    Failure { unsure: false, ..failure::fault(shop) }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use shopify_sim::{
        AppConfig, Config, DelegateParents, DestroyedBy, Fault, FaultKind, ShopConfig, Sim, StatusFault, Switches,
        UngrantedScope,
    };

    use super::*;
    use crate::{
        api::app::AdminApi,
        shopify::{
            ConnectTo, Observer, Options,
            stub::{Stub, access, shop},
        },
    };

    const APP: &str = "app";
    const SCOPES: [&str; 2] = ["read_orders", "unauthenticated_read_content"];
    const DEAD: &str = r#"{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}"#;

    fn here() -> AdminAccess {
        access(AdminApi::GraphQL)
    }

    fn scopes() -> Vec<String> {
        SCOPES.map(str::to_owned).to_vec()
    }

    fn seconds(n: i64) -> TimeDelta {
        TimeDelta::seconds(n)
    }

    fn made(token: &Value) -> String {
        json!({"data": {"delegateAccessTokenCreate": {"delegateAccessToken": token, "userErrors": []}}}).to_string()
    }

    fn token(expires_in: &Value) -> Value {
        json!({"accessToken": "shpat_child", "accessScopes": ["write_b", "read_a", "read_a"], "expiresIn": expires_in})
    }

    fn refused(field: &str, errors: &[(Option<&str>, &str)]) -> String {
        let errors: Value = errors.iter().map(|(code, text)| json!({"code": code, "message": text})).collect();
        json!({"data": {field: {"delegateAccessToken": null, "status": false, "userErrors": errors}}}).to_string()
    }

    fn body(request: &str) -> Value {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    async fn create(stub: &Stub) -> Result<Delegate, ApiError> {
        stub.client().create_delegate(&here(), &scopes(), seconds(300)).await
    }

    async fn destroy(stub: &Stub) -> Result<Destroyed, ApiError> {
        stub.client().destroy_delegate(&here(), &SecretString::from("shpat_canary_child")).await
    }

    #[tokio::test]
    async fn a_delegate_is_made_as_documented() {
        let stub = Stub::always(200, "x-shopify-api-version: 2026-10\r\n", &made(&token(&json!(299)))).await;
        let asked = seconds(300) + TimeDelta::milliseconds(900);
        let delegate = stub.client().create_delegate(&here(), &scopes(), asked).await.unwrap();
        assert_eq!(delegate.value.expose_secret(), "shpat_child");
        assert_eq!(delegate.scopes, ["read_a", "write_b"]);
        assert_eq!((delegate.lifetime, delegate.warning.as_deref()), (seconds(299), None));
        assert_eq!(delegate.served.as_deref(), Some("2026-10"));
        assert!(!format!("{delegate:?}").contains("child"));
        let request = stub.request(0);
        assert!(request.starts_with("POST /admin/api/2026-10/graphql.json HTTP/1.1\r\n"), "{request}");
        let sent = body(&request);
        assert_eq!(sent["variables"], json!({"input": {"delegateAccessScope": SCOPES, "expiresIn": 300}}));
        assert!(sent["query"].as_str().unwrap().contains("expiresIn"));
        assert_eq!(stub.codes(), ["delegate_token_create 200"]);
    }

    #[tokio::test]
    async fn a_lifetime_that_can_not_be_believed_is_the_one_asked_for() {
        for (told, lifetime) in [(json!(299), 299), (json!("60"), 60), (json!(1), 1), (json!(34_560_000), 34_560_000)] {
            let stub = Stub::always(200, "", &made(&token(&told))).await;
            let delegate = create(&stub).await.unwrap();
            assert_eq!((delegate.lifetime, delegate.warning), (seconds(lifetime), None), "{told}");
        }
        for odd in [json!(null), json!(0), json!(-1), json!(34_560_001), json!("soon"), json!([])] {
            let stub = Stub::always(200, "", &made(&token(&odd))).await;
            let delegate = create(&stub).await.unwrap();
            assert_eq!(delegate.lifetime, seconds(300), "{odd}");
            assert!(delegate.warning.unwrap().contains("the 300 s asked for are assumed"), "{odd}");
        }
    }

    #[tokio::test]
    async fn a_version_that_does_not_tell_the_lifetime_is_not_asked_for_it() {
        for (version, asks) in [("2025-10", false), ("2026-01", false), ("2026-04", true), ("unstable", true)] {
            let token = json!({"accessToken": "shpat_child", "accessScopes": []});
            let stub = Stub::always(200, "", &made(&token)).await;
            let old = AdminAccess { version: version.to_owned(), ..here() };
            let delegate = stub.client().create_delegate(&old, &scopes(), seconds(300)).await.unwrap();
            assert_eq!(delegate.lifetime, seconds(300));
            assert_eq!(delegate.warning.is_some(), asks, "{version}");
            let query = body(&stub.request(0))["query"].to_string();
            assert_eq!(query.contains("accessScopes expiresIn"), asks, "{version}");
        }
    }

    /// Every code of the schema, with its words, and what has none.
    #[tokio::test]
    async fn refusals_of_a_create() {
        use Reason::{AdminTokenNotReady, BackingOff, InvalidCredential, ScopesMissing, UnexpectedAnswer};
        let after = "The delegate token can't expire after the parent token.";
        let user = |code, text| (200, refused("delegateAccessTokenCreate", &[(code, text)]));
        let coded = |code: &str| {
            let errors = json!([{"message": "canary", "extensions": {"code": code}}]);
            (200, json!({"errors": errors, "data": {"delegateAccessTokenCreate": null}}).to_string())
        };
        #[rustfmt::skip]
        let rows = [
            (user(Some("UNKNOWN_SCOPES"), "The access scope is invalid: read_orders"), ScopesMissing, "and not: read_orders;", false),
            (user(Some("UNKNOWN_SCOPES"), "canary"), ScopesMissing, "and not: read_orders, unauthenticated_read_content;", false),
            (user(Some("EMPTY_ACCESS_SCOPE"), "The access scope can't be empty."), ScopesMissing, "at least one", false),
            (coded("ACCESS_DENIED"), ScopesMissing, "a delegate with read_orders, unauthenticated_read_content", false),
            (user(Some("DELEGATE_ACCESS_TOKEN"), "canary"), InvalidCredential, "itself a delegate", false),
            (user(Some("REFRESH_TOKEN"), "The parent access token can't have a refresh token."), InvalidCredential, "clientCredentials", false),
            (user(Some("EXPIRES_AFTER_PARENT"), after), AdminTokenNotReady, "is renewed", false),
            (user(Some("NEGATIVE_EXPIRES_IN"), "canary"), AdminTokenNotReady, "is renewed", false),
            (user(Some("PERSISTENCE_FAILED"), "Persistence failed."), BackingOff, "Shopify's side", false),
            (user(Some("CANARY"), "canary"), BackingOff, "doesn't know", false),
            (user(None, "canary does not exist"), BackingOff, "doesn't know", true),
            (coded("THROTTLED"), BackingOff, "limits the rate", false),
            (coded("INTERNAL_SERVER_ERROR"), BackingOff, "internal error", true),
            (coded("RESOURCE_NOT_FOUND"), BackingOff, "isn't there", true),
            ((200, r#"{"data":{"delegateAccessTokenCreate":null}}"#.to_owned()), UnexpectedAnswer, "without what", true),
            ((200, made(&json!({"accessToken": null, "accessScopes": []}))), UnexpectedAnswer, "without what", true),
            ((200, made(&json!({"accessToken": "can ary", "accessScopes": []}))), BackingOff, "documents", true),
            ((200, "canary".to_owned()), BackingOff, "isn't how Shopify answers", true),
            ((503, r#"{"errors":"canary"}"#.to_owned()), BackingOff, "503", true),
            ((429, String::new()), BackingOff, "limits the rate", false),
            ((404, r#"{"errors":"Not Found"}"#.to_owned()), Reason::UnknownApiVersion, "no API", false),
        ];
        for ((status, body), reason, words, unsure) in rows {
            let stub = Stub::always(status, "", &body).await;
            let error = create(&stub).await.unwrap_err();
            let failure = error.failure();
            assert_eq!((failure.reason, failure.unsure), (reason, unsure), "{body}: {failure:?}");
            assert!(failure.message.contains(words), "{body}: {}", failure.message);
            assert!(failure.message.ends_with("(x-request-id ab-1)"), "{}", failure.message);
            assert!(!failure.message.to_lowercase().contains("canary"), "{}", failure.message);
            assert_eq!(matches!(error, ApiError::Forbidden(_)), reason == ScopesMissing, "{body}");
            assert!(!matches!(error, ApiError::NotFound(_) | ApiError::Unauthorized(_)), "{body}: {error:?}");
        }
        let stub = Stub::always(401, "", DEAD).await;
        assert!(matches!(create(&stub).await, Err(ApiError::Unauthorized(_))));
    }

    #[tokio::test]
    async fn a_destruction_sends_the_value_as_a_variable() {
        let body_of = |status: Value| {
            json!({"data": {"delegateAccessTokenDestroy": {"status": status, "userErrors": []}}}).to_string()
        };
        let stub = Stub::always(200, "", &body_of(json!(true))).await;
        assert_eq!(destroy(&stub).await.unwrap(), Destroyed::Gone);
        let sent = body(&stub.request(0));
        assert_eq!(sent["variables"], json!({"value": "shpat_canary_child"}));
        assert!(!sent["query"].to_string().contains("canary"), "{sent}");
        assert_eq!(stub.codes(), ["delegate_token_destroy 200"]);
        for odd in [json!(false), json!(null), json!("true")] {
            let stub = Stub::always(200, "", &body_of(odd)).await;
            assert_eq!(destroy(&stub).await.unwrap_err().failure().reason, Reason::UnexpectedAnswer);
        }
    }

    #[tokio::test]
    async fn what_is_gone_already_is_told_apart_and_a_success() {
        let unknown = (Some("ACCESS_TOKEN_NOT_FOUND"), "Access token does not exist.");
        let top = r#"{"errors":[{"message":"x","extensions":{"code":"RESOURCE_NOT_FOUND"}}]}"#.to_owned();
        let gone = |errors: &[_]| refused("delegateAccessTokenDestroy", errors);
        for body in
            [gone(&[unknown]), gone(&[(unknown.0, "x")]), gone(&[(None, unknown.1)]), gone(&[unknown, unknown]), top]
        {
            let stub = Stub::always(200, "", &body).await;
            assert_eq!(destroy(&stub).await.unwrap(), Destroyed::AlreadyGone, "{body}");
        }
        for other in [(Some("CANARY"), "x"), (None, "x"), (Some("PERSISTENCE_FAILED"), "x")] {
            let stub = Stub::always(200, "", &gone(&[unknown, other])).await;
            assert!(matches!(destroy(&stub).await, Err(ApiError::Failed(_))), "{other:?}");
        }
        // Not of the delegate, but of the admin token, the version and the shop.
        for (status, body) in [(401, DEAD), (404, r#"{"errors":"Not Found"}"#), (404, "<html>Store unavailable</html>")]
        {
            let stub = Stub::always(status, "", body).await;
            let error = destroy(&stub).await.unwrap_err();
            assert_eq!(matches!(error, ApiError::Unauthorized(_)), status == 401, "{error:?}");
            assert!(!matches!(error, ApiError::NotFound(_)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn refusals_of_a_destruction_are_final_or_not() {
        use Reason::{BackingOff, DependencyInvalid, InvalidCredential};
        for (code, text, reason, is_final) in [
            ("CAN_ONLY_DELETE_DELEGATE_TOKENS", "Can only delete delegate tokens.", InvalidCredential, true),
            ("ACCESS_DENIED", "Access denied.", DependencyInvalid, true),
            ("PERSISTENCE_FAILED", "Persistence failed.", BackingOff, false),
            ("CANARY", "canary", BackingOff, false),
        ] {
            let stub = Stub::always(200, "", &refused("delegateAccessTokenDestroy", &[(Some(code), text)])).await;
            let error = destroy(&stub).await.unwrap_err();
            assert_eq!((error.failure().reason, matches!(error, ApiError::Forbidden(_))), (reason, is_final), "{code}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    /// A client of the simulated Shopify, and the access of an admin token there.
    async fn simulated() -> (Sim, Client, AdminAccess) {
        let config = Config::default()
            .shop(ShopConfig::new(shop().as_str()))
            .app(AppConfig::new(APP, "s").installed(shop().as_str(), [SCOPES[1], "write_orders"]))
            .app(AppConfig::new("other", "s").installed(shop().as_str(), SCOPES));
        let sim = Sim::start(config).await.unwrap();
        let options = Options {
            connect_to: Some(ConnectTo::Address(sim.address())),
            ca_pem: Some(sim.ca_pem().as_bytes().to_vec()),
            ..Options::default()
        };
        let client = Client::new(options, Arc::new(Observer::default())).unwrap();
        let access = of(&SecretString::from(sim.create_admin_token(shop().as_str(), APP).unwrap()));
        (sim, client, access)
    }

    fn of(token: &SecretString) -> AdminAccess {
        AdminAccess { token: token.clone(), ..here() }
    }

    #[tokio::test]
    async fn a_delegate_lives_works_and_dies_at_a_shop() {
        let (sim, client, admin) = simulated().await;
        let delegate = client.create_delegate(&admin, &scopes(), seconds(300)).await.unwrap();
        let child = of(&delegate.value);
        assert_eq!((delegate.scopes.as_slice(), delegate.lifetime), (scopes().as_slice(), seconds(299)));
        assert_eq!(client.token_scopes(&child).await.unwrap(), SCOPES);
        assert!(client.probe_private_storefront_token(&shop(), "2026-10", &delegate.value).await.unwrap());
        assert!(!client.probe_storefront_token(&shop(), "2026-10", &delegate.value).await.unwrap());
        assert_eq!(client.installation_scopes(&child).await.unwrap().scopes, [SCOPES[1], "write_orders"]);

        assert_eq!(client.destroy_delegate(&admin, &delegate.value).await.unwrap(), Destroyed::Gone);
        assert_eq!(client.destroy_delegate(&admin, &delegate.value).await.unwrap(), Destroyed::AlreadyGone);
        assert!(matches!(client.token_scopes(&child).await, Err(ApiError::Unauthorized(_))));
        assert!(!client.probe_private_storefront_token(&shop(), "2026-10", &delegate.value).await.unwrap());

        let old = AdminAccess { version: "2026-01".to_owned(), ..admin.clone() };
        let brief = client.create_delegate(&old, &scopes(), seconds(60)).await.unwrap();
        assert_eq!(brief.lifetime, seconds(60));
        sim.clock().advance(Duration::from_mins(1));
        assert!(matches!(client.token_scopes(&of(&brief.value)).await, Err(ApiError::Unauthorized(_))));
        assert_eq!(client.destroy_delegate(&admin, &brief.value).await.unwrap(), Destroyed::AlreadyGone);
    }

    #[tokio::test]
    async fn a_shop_s_refusals_say_what_to_do() {
        let (sim, client, admin) = simulated().await;
        let create = async |access: &AdminAccess, scopes: &[&str], lifetime| {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            client.create_delegate(access, &scopes, seconds(lifetime)).await.map_err(Failure::from)
        };
        let missing = create(&admin, &["read_orders", "read_themes"], 300).await.unwrap_err();
        assert_eq!(missing.reason, Reason::ScopesMissing);
        assert!(missing.message.contains("and not: read_themes;"), "{}", missing.message);
        sim.set_switches(Switches { delegate_ungranted_scope: UngrantedScope::AccessDenied, ..Switches::default() });
        assert_eq!(create(&admin, &["read_themes"], 300).await.unwrap_err().reason, Reason::ScopesMissing);

        let now = crate::time::Timestamp::default();
        let daily = client.client_credentials(&shop(), APP, &SecretString::from("s"), now).await.unwrap();
        let late = create(&of(&daily.value), &SCOPES, 90_000).await.unwrap_err();
        assert_eq!((late.reason, late.is_stalled()), (Reason::AdminTokenNotReady, false));
        let child = create(&of(&daily.value), &SCOPES, 300).await.unwrap();
        let grandchild = create(&of(&child.value), &SCOPES, 60).await.unwrap_err();
        assert_eq!(grandchild.reason, Reason::InvalidCredential);

        sim.switch(|switches| switches.delegate_parents = DelegateParents::WithoutRefreshToken);
        let offline = SecretString::from(sim.create_offline_pair(shop().as_str(), APP).unwrap().access_token);
        let refreshed = create(&of(&offline), &SCOPES, 60).await.unwrap_err();
        assert_eq!((refreshed.reason, refreshed.is_stalled()), (Reason::InvalidCredential, true));

        let other = SecretString::from(sim.create_admin_token(shop().as_str(), "other").unwrap());
        let destroy = async |token: &SecretString| client.destroy_delegate(&of(&other), token).await.unwrap_err();
        for (token, reason) in [(&child.value, Reason::DependencyInvalid), (&other, Reason::InvalidCredential)] {
            let error = destroy(token).await;
            assert!(matches!(&error, ApiError::Forbidden(failure) if failure.reason == reason), "{error:?}");
            assert!(!error.to_string().contains(token.expose_secret()), "{error}");
        }
        sim.switch(|switches| switches.delegate_destroyed_by = DestroyedBy::Parent);
        let sibling = client.destroy_delegate(&admin, &child.value).await;
        assert!(matches!(sibling, Err(ApiError::Forbidden(_))), "{sibling:?}");
        assert_eq!(client.destroy_delegate(&of(&daily.value), &child.value).await.unwrap(), Destroyed::Gone);
    }

    #[tokio::test]
    async fn a_lost_answer_may_have_made_one() {
        let (sim, client, admin) = simulated().await;
        let operation = "admin.delegateAccessTokenCreate";
        for (kind, alive, unsure) in [
            (FaultKind::CommitThenDrop, 1, true),
            (FaultKind::StatusAfterCommit(StatusFault::new(520)), 2, true),
            (FaultKind::Garbage, 3, true),
            (FaultKind::without("/data/delegateAccessTokenCreate/delegateAccessToken/accessToken"), 4, true),
            (FaultKind::RefuseBefore, 4, true),
            (FaultKind::Throttled, 4, false),
        ] {
            let name = kind.name();
            sim.inject(Fault::new(operation, kind).times(1));
            let error = client.create_delegate(&admin, &scopes(), seconds(300)).await.unwrap_err();
            assert_eq!(sim.live_delegates(shop().as_str(), APP).len(), alive, "{name}");
            assert_eq!(error.failure().unsure, unsure, "{name}: {error:?}");
        }
        let lost = SecretString::from(sim.live_delegates(shop().as_str(), APP)[0].value.clone());
        sim.inject(Fault::new("admin.delegateAccessTokenDestroy", FaultKind::CommitThenDrop).times(1));
        assert!(client.destroy_delegate(&admin, &lost).await.unwrap_err().failure().unsure);
        assert_eq!(client.destroy_delegate(&admin, &lost).await.unwrap(), Destroyed::AlreadyGone);
    }
}
