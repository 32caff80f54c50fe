//! The REST Admin API's storefront tokens: legacy since October 2024.
//!
//! <https://shopify.dev/docs/api/admin-rest/latest/resources/storefrontaccesstoken>

use std::time::Instant;

use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    AdminAccess, ApiError, Client, ListedTokens, Surface,
    admin::{MOST_PAGES, Sent, made, too_many_pages},
    answer::Answer,
    failure,
    limits::ThrottleStatus,
    refusal,
    transport::secret_header,
};
use crate::{
    api::app::AdminApi,
    core::{
        failure::Failure,
        ours::StorefrontToken,
        scopes,
        vocabulary::{Reason, labels::ShopifyCall},
    },
};

const COLLECTION: &str = "storefront_access_tokens.json";
const GID: &str = "gid://shopify/StorefrontAccessToken/";

#[derive(Deserialize)]
struct Resource {
    id: u64,
    access_token: SecretString,
    title: Option<String>,
    access_scope: Option<String>,
    created_at: Option<String>,
    admin_graphql_api_id: Option<String>,
}

#[derive(Deserialize)]
struct One {
    storefront_access_token: Resource,
}

#[derive(Deserialize)]
struct Many {
    storefront_access_tokens: Vec<Resource>,
}

impl Resource {
    fn token(self) -> StorefrontToken {
        Sent {
            id: self.admin_graphql_api_id.unwrap_or_else(|| format!("{GID}{}", self.id)),
            value: self.access_token,
            title: self.title,
            scopes: scopes::parse(self.access_scope.as_deref().unwrap_or_default()),
            created_at: self.created_at.as_deref(),
        }
        .token()
    }
}

/// REST's number of a gid, or of a bare number.
fn number(id: &str) -> Result<u64, Failure> {
    number_of(id).ok_or_else(|| {
        Failure::new(
            Reason::InvalidCredential,
            "the token's recorded id isn't one of a storefront token: restore the annotation token-id of its Secret",
        )
    })
}

fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix(GID).unwrap_or(id).parse().ok()
}

impl Client {
    pub(super) async fn rest_list(&self, access: &AdminAccess) -> Result<ListedTokens, ApiError> {
        let mut tokens = Vec::new();
        let mut page: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut url = rest_url(access, &[COLLECTION]);
            if let Some(cursor) = &page {
                url.query_pairs_mut().append_pair("page_info", cursor);
            }
            let request = self.request(Method::GET, url);
            let answer =
                self.rest(ShopifyCall::StorefrontTokenList, access, request).await.map_err(ApiError::of_api)?;
            let listed: Many = answer.json().ok_or_else(|| failure::garbled(&answer, &access.shop))?;
            for resource in listed.storefront_access_tokens {
                tokens.push(resource.token());
            }
            page = answer.next_page;
            if page.is_none() {
                return Ok(ListedTokens { tokens, granted_scopes: None, installation: None, served: answer.served });
            }
        }
        Err(too_many_pages(&access.shop))
    }

    pub(super) async fn rest_create(&self, access: &AdminAccess, title: &str) -> Result<StorefrontToken, ApiError> {
        let request = self
            .request(Method::POST, rest_url(access, &[COLLECTION]))
            .json(&json!({"storefront_access_token": {"title": title}}));
        let answer = self.rest(ShopifyCall::StorefrontTokenCreate, access, request).await.map_err(ApiError::of_api)?;
        let created: One = answer.json().ok_or_else(|| failure::garbled(&answer, &access.shop))?;
        made(created.storefront_access_token.token(), &answer, &access.shop)
    }

    pub(super) async fn rest_delete(&self, access: &AdminAccess, id: &str) -> Result<(), ApiError> {
        let number = number(id)?;
        let document = format!("{number}.json");
        let url = rest_url(access, &["storefront_access_tokens", &document]);
        let request = self.request(Method::DELETE, url);
        let answer = match self.rest(ShopifyCall::StorefrontTokenDelete, access, request).await {
            Ok(answer) => answer,
            // A version that isn't there is answered in the same way: the list tells.
            Err(ApiError::NotFound(failure)) => {
                let listed = self.rest_list(access).await?.tokens;
                let there = listed.iter().any(|token| number_of(&token.id) == Some(number));
                let refused = || failure::unknown_refusal(&access.shop, "the deletion of a token that it lists");
                return Err(if there { refused().into() } else { ApiError::NotFound(failure) });
            }
            Err(error) => return Err(error),
        };
        // `{}`, or nothing at all; any page may come with a success.
        let done = answer.body.is_empty() || answer.json::<Map<String, Value>>().is_some_and(|body| body.is_empty());
        done.then_some(()).ok_or_else(|| failure::garbled(&answer, &access.shop).into())
    }

    /// One call of REST: waits for its turn, sends it, and learns how many are left.
    pub(super) async fn rest(
        &self,
        operation: ShopifyCall,
        access: &AdminAccess,
        request: RequestBuilder,
    ) -> Result<Answer, ApiError> {
        let request = request.header("X-Shopify-Access-Token", secret_header(&access.token)?);
        let budget = self.budgets.key(access, AdminApi::REST);
        self.wait_for_points(&budget, 1.0).await?;
        let answer = self.send(Surface::AdminApi, operation, &access.shop, request).await?;
        if let Some(limit) = answer.call_limit {
            let status = ThrottleStatus::of_calls(limit);
            self.budgets.learn(budget, status, Instant::now());
        }
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(refusal::of_status(&answer, &access.shop, &access.version))
        }
    }
}

fn rest_url(access: &AdminAccess, path: &[&str]) -> Url {
    let segments = [&["admin", "api", access.version.as_str()], path].concat();
    access.shop.url(&segments)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shopify::{
        Deleted,
        stub::{Stub, access, reply},
    };

    const TOKEN: &str = r#"{"access_token":"58ce44faa12e743cfcfe77d34d5a39e8","access_scope":"unauthenticated_read_product_listings,unauthenticated_read_content","created_at":"2025-07-02T11:39:14-05:00","id":1003304090,"admin_graphql_api_id":"gid://shopify/StorefrontAccessToken/1003304090","title":"Test"}"#;

    fn here() -> AdminAccess {
        access(AdminApi::REST)
    }

    #[tokio::test]
    async fn lists_every_page() {
        let stub = Stub::start(|n, _| {
            let link = "link: <https://evil.com/admin/api/2026-10/x.json?page_info=next%26x>; rel=\"next\"\r\n";
            let body = format!(r#"{{"storefront_access_tokens":[{TOKEN}]}}"#);
            reply(200, if n == 0 { link } else { "" }, &body)
        })
        .await;
        let listed = stub.client().list_storefront_tokens(&here()).await.unwrap();
        assert_eq!(listed.tokens.len(), 2);
        assert_eq!(listed.granted_scopes, None);
        let token = &listed.tokens[1];
        assert_eq!(token.id, "gid://shopify/StorefrontAccessToken/1003304090");
        assert_eq!(token.title, "Test");
        assert_eq!(token.created_at.unwrap().timestamp(), 1_751_474_354);
        assert_eq!(token.scopes, ["unauthenticated_read_content", "unauthenticated_read_product_listings"]);
        let path = "GET /admin/api/2026-10/storefront_access_tokens.json";
        assert!(stub.request(0).starts_with(&format!("{path} HTTP/1.1\r\n")));
        assert!(stub.request(1).starts_with(&format!("{path}?page_info=next%26x HTTP/1.1\r\n")));
        assert!(stub.request(0).contains("x-shopify-access-token: shpat_canary\r\n"));
        assert_eq!(stub.codes(), ["storefront_token_list 200"; 2]);
    }

    #[tokio::test]
    async fn pages_without_end_are_a_failure() {
        let link = "link: <https://acme.myshopify.com/?page_info=a>; rel=\"next\"\r\n";
        let stub = Stub::always(200, link, r#"{"storefront_access_tokens":[]}"#).await;
        let error = stub.client().list_storefront_tokens(&here()).await.unwrap_err();
        assert!(error.failure().message.contains("pages"), "{error:?}");
        assert_eq!(stub.count(), MOST_PAGES);
    }

    #[tokio::test]
    async fn creates_with_the_title() {
        for status in [200, 201] {
            let stub = Stub::always(status, "", &format!(r#"{{"storefront_access_token":{TOKEN}}}"#)).await;
            let created = stub.client().create_storefront_token(&here(), "Test").await.unwrap();
            assert_eq!(created.id, "gid://shopify/StorefrontAccessToken/1003304090");
            assert!(stub.request(0).ends_with(r#"{"storefront_access_token":{"title":"Test"}}"#));
        }
    }

    #[tokio::test]
    async fn refusals_of_a_create() {
        for (status, body, reason) in [
            (400, r#"{"errors":["Api permission exceeds public access token limit of: 100"]}"#, Reason::LimitReached),
            (403, r#"{"errors":"Token must be eligible to manage storefront tokens."}"#, Reason::ScopesMissing),
            (200, r#"{"storefront_access_token":{"id":1,"access_token":""}}"#, Reason::BackingOff),
            (200, "{}", Reason::BackingOff),
        ] {
            let stub = Stub::always(status, "", body).await;
            let error = stub.client().create_storefront_token(&here(), "t").await.unwrap_err();
            assert_eq!(error.failure().reason, reason, "{body}");
        }
    }

    #[tokio::test]
    async fn deletes_and_takes_absence_for_success() {
        for (status, body, expected) in [
            (200, "{}", Deleted::Gone),
            (200, "", Deleted::Gone),
            (204, "", Deleted::Gone),
            (404, r#"{"errors":"Not Found"}"#, Deleted::AlreadyGone),
        ] {
            let stub = Stub::start(move |n, _| match n {
                0 => reply(status, "", body),
                _ => reply(200, "", r#"{"storefront_access_tokens":[]}"#),
            })
            .await;
            let id = "gid://shopify/StorefrontAccessToken/7";
            let deleted = stub.client().delete_storefront_token(&here(), id).await.unwrap();
            assert_eq!(deleted, expected, "{status} {body}");
            let line = "DELETE /admin/api/2026-10/storefront_access_tokens/7.json HTTP/1.1\r\n";
            assert!(stub.request(0).starts_with(line), "{}", stub.request(0));
        }
        for (status, body) in [
            (404, "<html>Store unavailable</html>"),
            (404, ""),
            (404, "<html>Not Found</html>"),
            (200, "<html>Sign in</html>"),
            (200, "OK"),
            (200, r#"{"message":"blocked"}"#),
        ] {
            let stub = Stub::always(status, "", body).await;
            let outcome = stub.client().delete_storefront_token(&here(), "7").await;
            assert!(matches!(outcome, Err(ApiError::Failed(_))), "{status} {body}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn an_api_version_that_is_not_there_deletes_nothing() {
        let not_found = r#"{"errors":"Not Found"}"#;
        let stub = Stub::always(404, "", not_found).await;
        let error = stub.client().delete_storefront_token(&here(), "7").await.unwrap_err();
        assert_eq!(error.failure().reason, Reason::UnknownApiVersion);
        assert!(error.failure().message.contains("\"2026-10\""), "{error}");
        for error in [
            stub.client().list_storefront_tokens(&here()).await.unwrap_err(),
            stub.client().create_storefront_token(&here(), "t").await.unwrap_err(),
        ] {
            assert!(matches!(&error, ApiError::Failed(f) if f.reason == Reason::UnknownApiVersion), "{error:?}");
        }

        let listed = format!(r#"{{"storefront_access_tokens":[{TOKEN}]}}"#);
        let stub =
            Stub::start(move |n, _| if n == 0 { reply(404, "", not_found) } else { reply(200, "", &listed) }).await;
        let error = stub.client().delete_storefront_token(&here(), "1003304090").await.unwrap_err();
        assert_eq!(error.failure().reason, Reason::BackingOff, "it is listed");
    }

    #[tokio::test]
    async fn waits_when_the_call_limit_is_reached() {
        let limit = "x-shopify-shop-api-call-limit: 400/400\r\n";
        let stub = Stub::always(200, limit, r#"{"storefront_access_tokens":[]}"#).await;
        let client = stub.client();
        for _ in 0..2 {
            client.list_storefront_tokens(&here()).await.unwrap();
        }
        let waits = stub.waits.lock().unwrap();
        assert_eq!(waits.len(), 1);
        assert!(waits[0] <= Duration::from_millis(50), "{waits:?}");
    }

    #[test]
    fn ids_are_numbers() {
        assert_eq!(number("gid://shopify/StorefrontAccessToken/7"), Ok(7));
        assert_eq!(number("7"), Ok(7));
        for odd in ["", "gid://shopify/Shop/7", "7/../8", "-7", "7.json?x", "99999999999999999999"] {
            assert_eq!(number(odd).unwrap_err().reason, Reason::InvalidCredential, "{odd}");
        }
    }
}
