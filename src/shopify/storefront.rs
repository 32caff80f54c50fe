//! The Storefront API, which is asked only whether it accepts a token.
//!
//! <https://shopify.dev/docs/api/storefront#status-and-error-codes>

use reqwest::Method;
use secrecy::SecretString;
use serde_json::json;

use super::{ApiError, Client, Shop, Surface, failure, graphql::Envelope, refusal, transport::secret_header};
use crate::core::{failure::Failure, vocabulary::labels::ShopifyCall};

impl Client {
    /// Whether the Storefront API accepts a public storefront token. The cheapest query there is,
    /// which needs no scope.
    ///
    /// A token may need some seconds after its creation.
    ///
    /// # Errors
    /// A [`Failure`] if the answer says nothing of the token: the shop is down, frozen or gone.
    pub async fn probe_storefront_token(
        &self,
        shop: &Shop,
        version: &str,
        token: &SecretString,
    ) -> Result<bool, Failure> {
        self.probe("X-Shopify-Storefront-Access-Token", shop, version, token).await
    }

    /// The same for a private token, which a delegate with an `unauthenticated_*` scope is
    /// (<https://shopify.dev/docs/api/storefront#authentication>).
    ///
    /// # Errors
    /// As of [`Client::probe_storefront_token`].
    pub async fn probe_private_storefront_token(
        &self,
        shop: &Shop,
        version: &str,
        token: &SecretString,
    ) -> Result<bool, Failure> {
        self.probe("Shopify-Storefront-Private-Token", shop, version, token).await
    }

    async fn probe(
        &self,
        header: &'static str,
        shop: &Shop,
        version: &str,
        token: &SecretString,
    ) -> Result<bool, Failure> {
        let url = shop.url(&["api", version, "graphql.json"]);
        let request = self
            .request(Method::POST, url)
            .header(header, secret_header(token)?)
            .json(&json!({"query": "{ shop { name } }"}));
        let answer = self.send(Surface::StorefrontApi, ShopifyCall::StorefrontProbe, shop, request).await?;
        let error = if answer.status.is_success() {
            let envelope = Envelope::read(&answer, shop)?;
            if !envelope.has_errors() {
                let named = envelope.data.pointer("/shop/name").is_some();
                return named.then_some(true).ok_or_else(|| failure::garbled(&answer, shop));
            }
            refusal::of_errors(&envelope.errors, None, &answer, shop)
        } else {
            refusal::of_status(&answer, shop, version)
        };
        match error {
            ApiError::Unauthorized(_) => Ok(false),
            // `ACCESS_DENIED`: "the client doesn't have correct authentication credentials".
            ApiError::Forbidden(_) if answer.status.is_success() => Ok(false),
            error => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::vocabulary::Reason,
        shopify::stub::{Stub, shop},
    };

    async fn probe(stub: &Stub) -> Result<bool, Failure> {
        let token = SecretString::from("canary");
        let client = stub.client();
        client.probe_storefront_token(&shop(), "2026-10", &token).await
    }

    #[tokio::test]
    async fn accepted_or_not() {
        for (status, body, expected) in [
            (200, r#"{"data":{"shop":{"name":"Acme"}},"extensions":{"cost":{"requestedQueryCost":1}}}"#, true),
            (401, r#"{"errors":[{"message":"","extensions":{"code":"UNAUTHORIZED"}}]}"#, false),
            (200, r#"{"errors":[{"message":"","extensions":{"code":"UNAUTHORIZED"}}]}"#, false),
            (200, r#"{"errors":[{"message":"x","extensions":{"code":"ACCESS_DENIED"}}]}"#, false),
        ] {
            let stub = Stub::always(status, "", body).await;
            assert_eq!(probe(&stub).await.unwrap(), expected, "{status} {body}");
            let request = stub.request(0);
            assert!(request.starts_with("POST /api/2026-10/graphql.json HTTP/1.1\r\n"));
            assert!(request.contains("x-shopify-storefront-access-token: canary\r\n"));
            assert!(request.ends_with(r#"{"query":"{ shop { name } }"}"#));
            assert_eq!(stub.codes(), [format!("storefront_probe {status}")]);
        }
    }

    #[tokio::test]
    async fn a_private_token_goes_in_its_own_header() {
        let stub = Stub::always(200, "", r#"{"data":{"shop":{"name":"Acme"}}}"#).await;
        let token = SecretString::from("canary");
        assert_eq!(stub.client().probe_private_storefront_token(&shop(), "2026-10", &token).await, Ok(true));
        let request = stub.request(0);
        assert!(request.contains("shopify-storefront-private-token: canary\r\n"), "{request}");
        assert!(!request.contains("x-shopify-storefront-access-token"), "{request}");
    }

    #[tokio::test]
    async fn answers_that_say_nothing_of_the_token() {
        use Reason::{BackingOff, ShopUnavailable, UnknownApiVersion};
        for (status, body, reason, unreachable) in [
            (403, r#"{"errors":"Unavailable Shop"}"#, ShopUnavailable, false),
            (401, "", BackingOff, true),
            (401, "<html>", BackingOff, true),
            (403, "", BackingOff, true),
            (402, r#"{"errors":"Unavailable Shop"}"#, ShopUnavailable, false),
            (430, r#"{"errors":"x"}"#, ShopUnavailable, false),
            (404, r#"{"errors":"Not Found"}"#, UnknownApiVersion, false),
            (404, "", BackingOff, true),
            (429, "", BackingOff, false),
            (503, "", BackingOff, true),
            (200, "", BackingOff, true),
            (200, "{}", BackingOff, true),
            (200, r#"{"data":{"shop":null}}"#, BackingOff, true),
            (200, r#"{"errors":[{"message":"Throttled"}]}"#, BackingOff, false),
            (200, r#"{"errors":[{"extensions":{"code":"SHOP_INACTIVE"}}]}"#, ShopUnavailable, false),
            (200, r#"{"errors":[{"extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#, BackingOff, false),
        ] {
            let stub = Stub::always(status, "", body).await;
            let failure = probe(&stub).await.unwrap_err();
            assert_eq!((failure.reason, failure.unreachable), (reason, unreachable), "{status} {body}");
        }
    }
}
