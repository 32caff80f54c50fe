//! The token endpoint: the client-credentials grant, and what its refusals mean.
//!
//! <https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant>

use chrono::{SubsecRound, TimeDelta};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Client, Shop, Surface,
    answer::Answer,
    failure,
    form::{Refusal, Said},
};
use crate::{
    core::{
        credential::{self, Credential},
        failure::Failure,
        renewal::{self, Lifetime},
        scopes,
        vocabulary::Reason,
    },
    time::Timestamp,
};

/// "Always 86399 (24 hours)", says the grant's page.
const DOCUMENTED_LIFETIME: TimeDelta = TimeDelta::seconds(86_399);

#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

impl Client {
    /// Asks for an admin token by the client-credentials grant: a 24-hour token with the scopes of the
    /// app's released version. Older tokens stay valid as far as is known.
    ///
    /// `now` is the time before the call: the expiry counted from it is never too late.
    ///
    /// # Errors
    /// Each refusal of the token endpoint as a [`Failure`]; no answer as one that is `unreachable`.
    pub async fn client_credentials(
        &self,
        shop: &Shop,
        client_id: &str,
        client_secret: &SecretString,
        now: Timestamp,
    ) -> Result<Credential, Failure> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose_secret()),
        ];
        let url = shop.url(&["admin", "oauth", "access_token"]);
        let request = self.request(Method::POST, url).form(&form);
        let answer = self.send(Surface::TokenEndpoint, "client_credentials", shop, request).await?;
        if !answer.status.is_success() {
            return Err(with_hint(refusal(&answer, shop), client_id, client_secret));
        }
        granted(&answer, shop, now)
    }
}

fn granted(answer: &Answer, shop: &Shop, now: Timestamp) -> Result<Credential, Failure> {
    let garbled = || failure::garbled(answer, shop);
    let grant: Grant = answer.json().ok_or_else(garbled)?;
    let value =
        credential::check(grant.access_token.expose_secret().as_bytes(), "the answer").map_err(|_| garbled())?;
    let (lifetime, warning) = match renewal::lifetime(grant.expires_in.as_ref()) {
        Lifetime::Stated(lifetime) => (lifetime, None),
        Lifetime::Unusual(what) => (
            DOCUMENTED_LIFETIME,
            Some(format!("{shop} granted a token with {what}; the documented 24 hours are assumed")),
        ),
    };
    let issued_at = now.trunc_subsecs(0);
    Ok(Credential {
        value,
        token_id: None,
        scopes: scopes::parse(grant.scope.as_deref().unwrap_or_default()),
        issued_at,
        expires_at: Some(issued_at + lifetime),
        warning,
    })
}

/// What a refusal of the token endpoint means.
fn refusal(answer: &Answer, shop: &Shop) -> Failure {
    let refusal = match Refusal::read(answer, shop) {
        Ok(refusal) => refusal,
        // Signed already.
        Err(failure) => return failure,
    };
    let failure = match (&refusal.said, refusal.status()) {
        (Said::NoShop, _) => failure::shop_not_found(shop),
        (Said::Code(code), status) => known_code(code, shop).unwrap_or_else(|| match status {
            400 => Failure {
                ambiguous: true,
                ..rejected("Shopify refuses the app's credentials with an error this release doesn't know (400)")
            },
            // The gateways of others speak like this, too: `{"error": "unauthorized"}`, `{"error": "not_found"}`.
            _ => failure::foreign(answer, shop),
        }),
        (Said::Errors(_), status) => refusal.shop_state(shop).unwrap_or_else(|| match status {
            // "Unavailable Shop", "User does not have access": a flagged shop.
            403 => failure::shop_inactive(shop),
            401 => rejected("Shopify refuses the app's client id or secret (401)"),
            _ => failure::unknown_refusal(shop, &format!("the token request ({status})")),
        }),
    };
    failure::signed(failure, answer)
}

/// RFC 6749, section 5.2, and Shopify's own codes.
fn known_code(code: &str, shop: &Shop) -> Option<Failure> {
    Some(match code {
        "application_cannot_be_found" => Failure {
            may_settle: true,
            ..rejected("Shopify knows no app with this client id; a fresh app takes a minute to be known")
        },
        "invalid_client" | "unauthorized_client" => rejected("Shopify refuses the app's client id or secret"),
        "invalid_request" => Failure {
            ambiguous: true,
            ..rejected(&format!(
                "Shopify refuses without saying which: either the client secret is wrong or revoked, \
                 or the app isn't installed on {shop} (install it from the Dev Dashboard)"
            ))
        },
        "app_not_installed" => Failure::new(
            Reason::AppNotInstalled,
            format!(
                "the app isn't installed on {shop}: install it from the Dev Dashboard; \
                 a released version alone is no installation"
            ),
        ),
        "shop_not_permitted" => Failure::new(
            Reason::ShopNotPermitted,
            format!(
                "the app and {shop} belong to different organisations, and client credentials work within one only: \
                 use an app of the shop's own organisation, or source `offline`"
            ),
        ),
        _ => return None,
    })
}

fn rejected(what: &str) -> Failure {
    Failure::new(
        Reason::CredentialsRejected,
        format!("{what}: compare client_id and client_secret in the app's credentials Secret with the Dev Dashboard"),
    )
}

/// Where the shape of what was refused says what a person did to it, the message does.
fn with_hint(mut failure: Failure, client_id: &str, client_secret: &SecretString) -> Failure {
    if failure.reason == Reason::CredentialsRejected {
        for (key, value) in [("client_id", &SecretString::from(client_id)), ("client_secret", client_secret)] {
            if let Some(mishap) = credential::mishap(value) {
                failure.message = format!("{}; the value of {key} {mishap}", failure.message);
            }
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shopify::{
        answer::tests::answer,
        stub::{Stub, shop},
    };

    fn now() -> Timestamp {
        Timestamp::from_timestamp_millis(1_000_000_900).unwrap()
    }

    async fn ask(stub: &Stub) -> Result<Credential, Failure> {
        let secret = SecretString::from("shpss_canary");
        let client = stub.client();
        client.client_credentials(&shop(), "id&x", &secret, now()).await
    }

    #[tokio::test]
    async fn asks_as_documented_and_reads_the_grant() {
        let body = r#"{"access_token":"shpat_1","scope":"write_orders,read_products","expires_in":86399}"#;
        let stub = Stub::always(200, "", body).await;
        let credential = ask(&stub).await.unwrap();
        assert_eq!(credential.value.expose_secret(), "shpat_1");
        assert_eq!(credential.scopes, ["read_products", "write_orders"]);
        assert_eq!(credential.issued_at.timestamp_millis(), 1_000_000_000);
        assert_eq!(credential.expires_at.unwrap().timestamp_millis(), 1_086_399_000);
        assert_eq!((credential.token_id, credential.warning), (None, None));

        let request = stub.request(0);
        assert!(request.starts_with("POST /admin/oauth/access_token HTTP/1.1\r\n"));
        assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"));
        assert!(request.contains("accept: application/json\r\n"));
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&client_id=id%26x&client_secret=shpss_canary"));
        assert_eq!(stub.codes(), ["client_credentials 200"]);
    }

    #[tokio::test]
    async fn a_refused_secret_in_quotes_is_told_by_its_shape() {
        let refuse = |body: &'static str| async move {
            let stub = Stub::always(400, "", body).await;
            let secret = SecretString::from("\"shpss_canary\"");
            stub.client().client_credentials(&shop(), "id", &secret, now()).await.unwrap_err().message
        };
        let told = refuse(r#"{"error":"invalid_request"}"#).await;
        assert!(told.ends_with("; the value of client_secret stands in quotes: write it without them"), "{told}");
        assert!(!told.contains("canary"), "{told}");
        let told = refuse(r#"{"error":"app_not_installed"}"#).await;
        assert!(!told.contains("quotes"), "{told}");
    }

    #[test]
    fn lifetimes_that_cannot_be_believed_are_the_documented_one() {
        let expiry = |rest: &str| {
            let body = format!(r#"{{"access_token":"t"{rest}}}"#);
            let credential = granted(&answer(200, &[], &body), &shop(), now()).unwrap();
            assert!(credential.scopes.is_empty());
            let lifetime = credential.expires_at.unwrap() - credential.issued_at;
            (lifetime.num_seconds(), credential.warning.is_some())
        };
        assert_eq!(expiry(r#","expires_in":3600"#), (3600, false));
        assert_eq!(expiry(r#","expires_in":"3600","scope":null"#), (3600, false));
        for odd in [
            "",
            r#","expires_in":null"#,
            r#","expires_in":0"#,
            r#","expires_in":-1"#,
            r#","expires_in":1e99"#,
            r#","expires_in":"soon""#,
            r#","expires_in":[]"#,
        ] {
            assert_eq!(expiry(odd), (86_399, true), "{odd}");
        }
    }

    #[test]
    fn a_grant_without_a_usable_token_is_no_answer() {
        for body in [
            "",
            "{}",
            "null",
            "[]",
            "<html>canary</html>",
            r#"{"access_token":""}"#,
            r#"{"access_token":null}"#,
            r#"{"access_token":42}"#,
            r#"{"access_token":"canary\n"}"#,
            r#"{"access_token":"can ary"}"#,
            r#"{"access_token":"canary"#,
            "\u{1f}\u{8b}\u{8}gzip",
        ] {
            let failure = granted(&answer(200, &[], body), &shop(), now()).unwrap_err();
            assert_eq!(failure.reason, Reason::BackingOff, "{body}");
            assert!(failure.unreachable, "{body}");
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
    }

    /// Every documented refusal, in JSON and as a page.
    #[test]
    fn refusals() {
        use Reason::{
            AppNotInstalled, BackingOff, CredentialsRejected, ShopNotFound, ShopNotPermitted, ShopUnavailable,
        };
        let json = |code: &str| format!(r#"{{"error":"{code}","error_description":"canary shpss_canary"}}"#);
        let page = |title: &str| {
            format!(
                "<!DOCTYPE html><html><head><TITLE>{title}</TITLE></head><body>Oauth error canary: canary</body></html>"
            )
        };
        #[rustfmt::skip]
        let rows = [
            (400, json("application_cannot_be_found"), CredentialsRejected, "a minute"),
            (400, json("invalid_client"), CredentialsRejected, "client_secret"),
            (401, json("invalid_client"), CredentialsRejected, "client_secret"),
            (403, json("unauthorized_client"), CredentialsRejected, "client_secret"),
            (400, json("invalid_request"), CredentialsRejected, "isn't installed"),
            (401, json("invalid_request"), CredentialsRejected, "isn't installed"),
            (400, json("app_not_installed"), AppNotInstalled, "install it"),
            (400, json("shop_not_permitted"), ShopNotPermitted, "organisation"),
            (400, json("canary"), CredentialsRejected, "doesn't know (400)"),
            (400, page("400 - Oauth error application_cannot_be_found"), CredentialsRejected, "a minute"),
            (400, page("400 - Oauth error invalid_request"), CredentialsRejected, "isn't installed"),
            (401, page("unauthorized - Oauth error invalid_request"), CredentialsRejected, "isn't installed"),
            (400, page("400 - Oauth error shop_not_permitted"), ShopNotPermitted, "organisation"),
            (400, page("400 - Oauth error app_not_installed: canary"), AppNotInstalled, "install it"),
            (401, r#"{"errors":"canary"}"#.to_owned(), CredentialsRejected, "(401)"),
            (418, r#"{"errors":"canary"}"#.to_owned(), BackingOff, "(418)"),
            (402, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "bill"),
            (403, r#"{"errors":"Unavailable Shop"}"#.to_owned(), ShopUnavailable, "unavailable"),
            (420, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "locked"),
            (423, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "locked"),
            (430, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "security"),
            (404, page("Store unavailable"), ShopNotFound, "check its"),
            (404, r#"{"errors":"Not Found"}"#.to_owned(), ShopNotFound, "check its"),
            (429, String::new(), BackingOff, "rate"),
        ];
        for (status, body, reason, words) in rows {
            let failure = refusal(&answer(status, &[("x-request-id", "ab-1"), ("retry-after", "7")], &body), &shop());
            assert_eq!(failure.reason, reason, "{status} {body}");
            assert!(failure.message.contains(words), "{status}: {}", failure.message);
            assert!(failure.message.ends_with("(x-request-id ab-1)"), "{}", failure.message);
            assert!(!failure.message.contains("canary"), "{}", failure.message);
            assert_eq!(failure.retry_after, Some(TimeDelta::seconds(7)));
            assert_eq!(failure.may_settle, body.contains("application_cannot_be_found"));
            assert!(!failure.unreachable, "{status} {body}");
        }
        // Faults of Shopify's, and pages and JSON that aren't.
        for status in [401, 402, 403, 404, 407, 423, 430] {
            for code in ["unauthorized", "forbidden", "not_found", "canary"] {
                let failure = refusal(&answer(status, &[], &json(code)), &shop());
                assert_eq!((failure.reason, failure.unreachable), (BackingOff, true), "{status} {code}");
            }
        }
        for status in [500, 502, 503, 504, 520, 524, 408, 400, 401, 402, 403, 404, 418, 420, 423, 430] {
            for page in ["<title>canary</title>", "canary", "", r#"{"error":"Canary"}"#] {
                let failure = refusal(&answer(status, &[], page), &shop());
                assert_eq!(failure.reason, BackingOff, "{status}");
                assert!(failure.unreachable, "{status}");
                assert!(!failure.message.to_lowercase().contains("canary"), "{}", failure.message);
            }
        }
    }
}
