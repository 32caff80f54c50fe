//! The client-credentials grant.
//!
//! <https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant>

use chrono::{SubsecRound, TimeDelta};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::refusal::{refusal, with_hint};
use crate::{
    core::{
        credential::{self, Credential},
        failure::Failure,
        renewal::{self, Lifetime},
        scopes,
    },
    shopify::{Client, Shop, Surface, answer::Answer, failure},
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::vocabulary::Reason,
        shopify::{
            answer::tests::answer,
            stub::{Stub, shop},
        },
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
}
