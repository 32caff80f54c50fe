//! What an admin token may do by its own account: the one call that tells a delegate's scopes.
//!
//! <https://shopify.dev/docs/api/admin-rest/latest/resources/accessscope>

use reqwest::Method;
use serde::Deserialize;

use super::{
    AdminAccess, ApiError, Client, failure,
    graphql_tokens::{Scope, handles},
};
use crate::core::vocabulary::labels::ShopifyCall;

#[derive(Deserialize)]
struct Own {
    access_scopes: Vec<Scope>,
}

impl Client {
    /// The scopes of the token itself, sorted: of a delegate fewer than its app's, which
    /// [`Client::installation_scopes`] tells. Also the proof that it works.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] for a token that is dead, or another [`ApiError`].
    pub async fn token_scopes(&self, access: &AdminAccess) -> Result<Vec<String>, ApiError> {
        let shop = &access.shop;
        // Neither of the two APIs' versions is in it.
        let url = shop.url(&["admin", "oauth", "access_scopes.json"]);
        let request = self.request(Method::GET, url);
        let answer = self.rest(ShopifyCall::TokenScopes, access, request).await.map_err(|error| match error {
            ApiError::NotFound(_) => ApiError::Failed(failure::shop_not_found(shop)),
            error @ (ApiError::Unauthorized(_) | ApiError::Forbidden(_) | ApiError::Failed(_)) => error,
        })?;
        let own: Own = answer.json().ok_or_else(|| failure::garbled(&answer, shop))?;
        Ok(handles(own.access_scopes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::app::AdminApi,
        core::vocabulary::Reason,
        shopify::stub::{Stub, access},
    };

    async fn ask(status: u16, body: &str) -> (Result<Vec<String>, ApiError>, Stub) {
        let stub = Stub::always(status, "", body).await;
        (stub.client().token_scopes(&access(AdminApi::GraphQL)).await, stub)
    }

    #[tokio::test]
    async fn asks_with_the_token_itself() {
        let body = r#"{"access_scopes":[{"handle":"write_b"},{"handle":"read_a"},{"handle":"read_a"}]}"#;
        let (scopes, stub) = ask(200, body).await;
        assert_eq!(scopes.unwrap(), ["read_a", "write_b"]);
        let request = stub.request(0);
        assert!(request.starts_with("GET /admin/oauth/access_scopes.json HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("x-shopify-access-token: shpat_canary\r\n"), "{request}");
        assert_eq!(stub.codes(), ["token_scopes 200"]);
    }

    #[tokio::test]
    async fn only_shopify_s_401_is_a_dead_token() {
        use Reason::{BackingOff, ShopNotFound, ShopUnavailable};
        let dead = r#"{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}"#;
        assert!(matches!(ask(401, dead).await.0, Err(ApiError::Unauthorized(_))));
        for (status, body, reason) in [
            (401, "<html>Sign in</html>", BackingOff),
            (401, r#"{"error":"unauthorized"}"#, BackingOff),
            (402, r#"{"errors":"Unavailable Shop"}"#, ShopUnavailable),
            (404, r#"{"errors":"Not Found"}"#, ShopNotFound),
            (429, "", BackingOff),
            (503, "", BackingOff),
            (200, "", BackingOff),
            (200, "{}", BackingOff),
            (200, r#"{"access_scopes":["canary"]}"#, BackingOff),
            (200, r#"{"access_scopes":null}"#, BackingOff),
        ] {
            let error = ask(status, body).await.0.unwrap_err();
            assert!(matches!(error, ApiError::Failed(_)), "{status} {body}: {error:?}");
            assert_eq!(error.failure().reason, reason, "{status} {body}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
