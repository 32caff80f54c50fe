//! The client-credentials grant.
//!
//! <https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant>

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{
    Ask,
    granted::{self, Documented},
};
use crate::{
    core::{credential::Credential, failure::Failure, vocabulary::labels::ShopifyCall},
    shopify::{Client, Shop},
    time::Timestamp,
};

/// "Always 86399 (24 hours)", says the grant's page.
const DOCUMENTED: Documented = Documented { lifetime: TimeDelta::seconds(86_399), words: "24 hours" };

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
        let ask = Ask {
            operation: ShopifyCall::ClientCredentials,
            parameters: &[("grant_type", "client_credentials")],
            presented: None,
        };
        let answer = self.ask(shop, client_id, client_secret, ask).await?;
        granted::credential(&answer, shop, now, &DOCUMENTED)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

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
            let answer = answer(200, &[], &body);
            let credential = granted::credential(&answer, &shop(), now(), &DOCUMENTED).unwrap();
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
            let answer = answer(200, &[], body);
            let failure = granted::credential(&answer, &shop(), now(), &DOCUMENTED).unwrap_err();
            assert_eq!(failure.reason, Reason::BackingOff, "{body}");
            assert!(failure.unreachable, "{body}");
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
    }
}
