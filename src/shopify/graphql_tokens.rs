//! Storefront tokens and scopes in the GraphQL Admin API.
//!
//! <https://shopify.dev/docs/api/admin-graphql/latest/objects/StorefrontAccessToken>

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    AdminAccess, ApiError, Client, Granted, ListedTokens,
    admin::{MOST_PAGES, Sent, made, too_many_pages},
    answer::Answer,
    failure,
    graphql::Operation,
    refusal,
};
use crate::core::{ours::StorefrontToken, vocabulary::labels::ShopifyCall};

const LIST: Operation = Operation {
    call: ShopifyCall::StorefrontTokenList,
    cost: 60.0,
    text: "query ($after: String) { \
        shop { storefrontAccessTokens(first: 100, after: $after) { \
            nodes { id accessToken title createdAt accessScopes { handle } } \
            pageInfo { hasNextPage endCursor } } } \
        currentAppInstallation { id accessScopes { handle } } }",
};

const CREATE: Operation = Operation {
    call: ShopifyCall::StorefrontTokenCreate,
    cost: 11.0,
    text: "mutation ($input: StorefrontAccessTokenInput!) { storefrontAccessTokenCreate(input: $input) { \
        storefrontAccessToken { id accessToken title createdAt accessScopes { handle } } \
        userErrors { field message } } }",
};

const DELETE: Operation = Operation {
    call: ShopifyCall::StorefrontTokenDelete,
    cost: 11.0,
    text: "mutation ($input: StorefrontAccessTokenDeleteInput!) { storefrontAccessTokenDelete(input: $input) { \
        deletedStorefrontAccessTokenId userErrors { field message } } }",
};

const SCOPES: Operation = Operation {
    call: ShopifyCall::InstallationScopes,
    cost: 4.0,
    text: "{ currentAppInstallation { accessScopes { handle } } }",
};

#[derive(Deserialize)]
pub(super) struct Scope {
    handle: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Installation {
    id: Option<String>,
    access_scopes: Vec<Scope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    access_token: SecretString,
    title: Option<String>,
    #[serde(default)]
    access_scopes: Vec<Scope>,
    created_at: Option<String>,
}

impl Node {
    fn token(self) -> StorefrontToken {
        Sent {
            id: self.id,
            value: self.access_token,
            title: self.title,
            scopes: handles(self.access_scopes),
            created_at: self.created_at.as_deref(),
        }
        .token()
    }
}

pub(super) fn handles(scopes: Vec<Scope>) -> Vec<String> {
    let mut handles: Vec<String> = scopes.into_iter().map(|scope| scope.handle).collect();
    handles.sort();
    handles.dedup();
    handles
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListData {
    shop: ListShop,
    current_app_installation: Option<Installation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListShop {
    storefront_access_tokens: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    nodes: Vec<Node>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopesData {
    current_app_installation: Installation,
}

impl Client {
    /// The app's scopes on the shop. Also the cheapest proof that an admin token works.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] for a token that doesn't, or another [`ApiError`].
    pub async fn installation_scopes(&self, access: &AdminAccess) -> Result<Granted, ApiError> {
        let (data, answer): (ScopesData, _) = self.graphql(access, &SCOPES, json!({})).await?;
        Ok(Granted { scopes: handles(data.current_app_installation.access_scopes), served: answer.served })
    }

    pub(super) async fn graphql_list(&self, access: &AdminAccess) -> Result<ListedTokens, ApiError> {
        let mut tokens = Vec::new();
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let variables = json!({"after": after});
            let (data, answer): (ListData, _) = self.graphql(access, &LIST, variables).await?;
            let page = data.shop.storefront_access_tokens;
            for node in page.nodes {
                tokens.push(node.token());
            }
            if !page.page_info.has_next_page {
                let installation = data.current_app_installation;
                let id = installation.as_ref().and_then(|i| i.id.clone());
                let granted_scopes = installation.map(|i| handles(i.access_scopes));
                return Ok(ListedTokens { tokens, granted_scopes, installation: id, served: answer.served });
            }
            after = page.page_info.end_cursor;
        }
        Err(too_many_pages(&access.shop))
    }

    pub(super) async fn graphql_create(&self, access: &AdminAccess, title: &str) -> Result<StorefrontToken, ApiError> {
        let variables = json!({"input": {"title": title}});
        let (payload, answer) = self.mutate(access, &CREATE, "storefrontAccessTokenCreate", variables).await?;
        let created = Node::deserialize(&payload["storefrontAccessToken"])
            .map_err(|_| failure::unexpected(&answer, &access.shop))?;
        made(created.token(), &answer, &access.shop)
    }

    pub(super) async fn graphql_delete(&self, access: &AdminAccess, id: &str) -> Result<(), ApiError> {
        let variables = json!({"input": {"id": id}});
        let (payload, answer) = self.mutate(access, &DELETE, "storefrontAccessTokenDelete", variables).await?;
        match &payload["deletedStorefrontAccessTokenId"] {
            Value::String(_) => Ok(()),
            _ => Err(failure::unexpected(&answer, &access.shop).into()),
        }
    }

    /// The payload of a mutation without user errors.
    async fn mutate(
        &self,
        access: &AdminAccess,
        operation: &Operation,
        field: &str,
        variables: Value,
    ) -> Result<(Value, Answer), ApiError> {
        let (payload, answer) = self.mutation(access, operation, field, variables).await?;
        match refusal::of_user_errors(&payload["userErrors"], &answer, &access.shop) {
            Some(refusal) => Err(refusal),
            None => Ok((payload, answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use chrono::TimeDelta;

    use super::*;
    use crate::{
        api::app::AdminApi,
        core::vocabulary::Reason,
        shopify::{
            Deleted,
            stub::{Stub, access, reply, shop},
        },
    };

    fn token(n: usize) -> Value {
        json!({
            "id": format!("gid://shopify/StorefrontAccessToken/{n}"),
            "accessToken": format!("{n:032x}"),
            "title": format!("web {n}"),
            "createdAt": "2026-11-22T05:00:00Z",
            "accessScopes": [{"handle": "unauthenticated_read_product_listings"}, {"handle": "unauthenticated_read_content"}],
        })
    }

    fn list(nodes: &[Value], next: Option<&str>) -> String {
        json!({
            "data": {
                "shop": {"storefrontAccessTokens": {
                    "nodes": nodes,
                    "pageInfo": {"hasNextPage": next.is_some(), "endCursor": next},
                }},
                "currentAppInstallation": {"accessScopes": [{"handle": "write_x"}, {"handle": "read_x"}, {"handle": "read_x"}]},
            },
            "extensions": cost(2000.0),
        })
        .to_string()
    }

    fn cost(available: f64) -> Value {
        json!({"cost": {
            "requestedQueryCost": 11, "actualQueryCost": 11,
            "throttleStatus": {"maximumAvailable": 2000.0, "currentlyAvailable": available, "restoreRate": 100.0},
        }})
    }

    fn variables(request: &str) -> Value {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()["variables"].clone()
    }

    fn here() -> AdminAccess {
        access(AdminApi::GraphQL)
    }

    #[tokio::test]
    async fn lists_every_page_and_the_app_s_scopes() {
        let stub = Stub::start(|n, _| {
            let body = match n {
                0 => list(&[token(1), token(2)], Some("after-2")),
                _ => list(&[token(3)], None),
            };
            reply(200, "", &body)
        })
        .await;
        let listed = stub.client().list_storefront_tokens(&here()).await.unwrap();
        let ids: Vec<_> = listed.tokens.iter().map(|t| t.id.rsplit('/').next()).collect();
        assert_eq!(ids, [Some("1"), Some("2"), Some("3")]);
        let first = &listed.tokens[0];
        assert_eq!(first.title, "web 1");
        assert_eq!(first.created_at.unwrap().timestamp(), 1_795_323_600);
        assert_eq!(first.scopes, ["unauthenticated_read_content", "unauthenticated_read_product_listings"]);
        assert_eq!(listed.granted_scopes.unwrap(), ["read_x", "write_x"]);
        assert_eq!(variables(&stub.request(0)), json!({"after": null}));
        assert_eq!(variables(&stub.request(1)), json!({"after": "after-2"}));
        let request = stub.request(0);
        assert!(request.starts_with("POST /admin/api/2026-10/graphql.json HTTP/1.1\r\n"));
        assert!(request.contains("x-shopify-access-token: shpat_canary\r\n"));
        assert!(request.contains("content-type: application/json\r\n"));
        assert!(!request.contains("code"), "userErrors have no code");
        assert_eq!(stub.codes(), ["storefront_token_list 200"; 2]);
    }

    #[tokio::test]
    async fn pages_without_end_are_a_failure() {
        let stub = Stub::always(200, "", &list(&[], Some("same"))).await;
        let error = stub.client().list_storefront_tokens(&here()).await.unwrap_err();
        assert!(error.failure().message.contains("pages"), "{error:?}");
        assert_eq!(stub.count(), MOST_PAGES);
    }

    #[tokio::test]
    async fn creates_with_the_title() {
        let body =
            json!({"data": {"storefrontAccessTokenCreate": {"storefrontAccessToken": token(7), "userErrors": []}}});
        let stub = Stub::always(200, "", &body.to_string()).await;
        let title = "web \"#stok:u:1";
        let created = stub.client().create_storefront_token(&here(), title).await.unwrap();
        assert_eq!(created.id, "gid://shopify/StorefrontAccessToken/7");
        assert!(!format!("{created:?}").contains(&format!("{:032x}", 7)));
        assert_eq!(variables(&stub.request(0)), json!({"input": {"title": title}}));
    }

    #[tokio::test]
    async fn refusals_of_a_create() {
        let limit = "apps.admin.graph_api_errors.storefront_access_token_create.reached_limit";
        let denied = json!({
            "errors": [{"message": "Access denied for storefrontAccessTokenCreate field.", "extensions": {"code": "ACCESS_DENIED"}, "path": ["storefrontAccessTokenCreate"]}],
            "data": {"storefrontAccessTokenCreate": null},
            "extensions": cost(1988.0),
        });
        let refused = |text: &str| json!({"data": {"storefrontAccessTokenCreate": {"storefrontAccessToken": null, "userErrors": [{"field": ["input"], "message": text}]}}});
        for (body, reason) in [
            (denied, Reason::ScopesMissing),
            (refused(limit), Reason::LimitReached),
            (refused("Title can't be blank"), Reason::BackingOff),
        ] {
            let stub = Stub::always(200, "", &body.to_string()).await;
            let error = stub.client().create_storefront_token(&here(), "t").await.unwrap_err();
            assert_eq!(error.failure().reason, reason, "{body}");
            assert!(!error.failure().unreachable, "{body}");
        }
    }

    #[tokio::test]
    async fn answers_of_another_shape_are_no_answers() {
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"data":null}"#,
            r#"{"data":"canary"}"#,
            r#"{"data":["canary"]}"#,
            r#"{"data":{"storefrontAccessTokenCreate":"canary"}}"#,
            r#"{"data":{"storefrontAccessTokenCreate":null,"storefrontAccessTokenDelete":null}}"#,
            r#"{"data":{"storefrontAccessTokenCreate":{"storefrontAccessToken":{"id":"canary","accessToken":"","title":"t"}}}}"#,
            r#"{"data":{"storefrontAccessTokenDelete":{"deletedStorefrontAccessTokenId":null,"userErrors":[]}}}"#,
            r#"{"data":{"shop":{"storefrontAccessTokens":{"nodes":[{"id":"canary","title":"t"}],"pageInfo":{"hasNextPage":false}}}}}"#,
        ] {
            let stub = Stub::always(200, "", body).await;
            let (client, here) = (stub.client(), here());
            for error in [
                client.list_storefront_tokens(&here).await.unwrap_err(),
                client.create_storefront_token(&here, "t").await.unwrap_err(),
                client.delete_storefront_token(&here, "gid").await.unwrap_err(),
                client.installation_scopes(&here).await.unwrap_err(),
            ] {
                assert!(matches!(error, ApiError::Failed(_)), "{body}: {error:?}");
                let odd = error.failure().reason == Reason::UnexpectedAnswer;
                assert!(odd != error.failure().unreachable, "{body}: {error:?}");
                assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            }
        }
    }

    #[tokio::test]
    async fn deletes_and_takes_absence_for_success() {
        let id = "gid://shopify/StorefrontAccessToken/7";
        let payload = |deleted: Option<&str>, errors: Value| {
            json!({"data": {"storefrontAccessTokenDelete": {"deletedStorefrontAccessTokenId": deleted, "userErrors": errors}}}).to_string()
        };
        let user_error = |text: &str| json!([{"field": ["input", "id"], "message": text}]);
        let top_level = r#"{"errors":[{"message":"invalid id","extensions":{"code":"RESOURCE_NOT_FOUND"}}],"data":{"storefrontAccessTokenDelete":null}}"#;
        for (status, body, expected) in [
            (200, payload(Some(id), json!([])), Deleted::Gone),
            (200, payload(None, user_error("Storefront access token does not exist")), Deleted::AlreadyGone),
            (200, top_level.to_owned(), Deleted::AlreadyGone),
        ] {
            let stub = Stub::always(status, "", &body).await;
            let deleted = stub.client().delete_storefront_token(&here(), id).await.unwrap();
            assert_eq!(deleted, expected, "{body}");
            assert_eq!(variables(&stub.request(0)), json!({"input": {"id": id}}));
        }
        for (status, body) in [
            (200, payload(None, user_error("Something else"))),
            (200, payload(None, json!([]))),
            (200, r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Mutation'","extensions":{"code":"undefinedField"}}]}"#.to_owned()),
            // The API version isn't there; of the token it says nothing.
            (404, r#"{"errors":"Not Found"}"#.to_owned()),
            (404, "<html>Store unavailable</html>".to_owned()),
            (404, "<html>Not Found</html>".to_owned()),
            (401, "<html>Sign in</html>".to_owned()),
            (403, "<html>Sign in</html>".to_owned()),
            (402, String::new()),
            (500, String::new()),
        ] {
            let stub = Stub::always(status, "", &body).await;
            let outcome = stub.client().delete_storefront_token(&here(), id).await;
            assert!(matches!(outcome, Err(ApiError::Failed(_))), "{status} {body}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_dead_admin_token_is_told_apart() {
        let stub = Stub::always(401, "", r#"{"errors":"[API] Invalid API key or access token"}"#).await;
        let client = stub.client();
        let outcome = client.installation_scopes(&here()).await;
        assert!(matches!(outcome, Err(ApiError::Unauthorized(_))), "{outcome:?}");
        assert!(!format!("{:?} {client:?}", here()).contains("canary"));
    }

    #[tokio::test]
    async fn throttling_tells_how_long_to_wait() {
        let body = json!({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], "extensions": cost(-89.0)});
        let stub = Stub::always(200, "", &body.to_string()).await;
        let client = stub.client();
        let wait = |error: ApiError| {
            assert_eq!(error.failure().reason, Reason::BackingOff);
            assert!(!error.failure().unreachable);
            error.failure().retry_after.unwrap()
        };
        let first = client.delete_storefront_token(&here(), "gid").await.unwrap_err();
        assert_eq!(wait(first), TimeDelta::seconds(1));

        // Learned from it: a call that would have to wait too long isn't sent.
        let body = json!({"errors": "Throttled", "extensions": cost(-500.0)});
        let stub = Stub::always(200, "", &body.to_string()).await;
        let client = stub.client();
        assert!(client.installation_scopes(&here()).await.is_err());
        let second = wait(client.installation_scopes(&here()).await.unwrap_err());
        assert!(second > TimeDelta::seconds(4) && second < TimeDelta::seconds(6), "{second}");
        assert_eq!(stub.count(), 1);
        assert_eq!(stub.waits.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_short_wait_is_waited() {
        let body = json!({"data": {"currentAppInstallation": {"accessScopes": []}}, "extensions": cost(-16.0)});
        let stub = Stub::always(200, "", &body.to_string()).await;
        let client = stub.client();
        let started = Instant::now();
        client.installation_scopes(&here()).await.unwrap();
        client.installation_scopes(&here()).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(190));
        assert_eq!(stub.waits.lock().unwrap().len(), 1);
        let other = AdminAccess { shop: "other.myshopify.com".parse().unwrap(), ..here() };
        client.installation_scopes(&other).await.unwrap();
        assert_eq!(stub.waits.lock().unwrap().len(), 1, "another shop, another bucket");
        assert_ne!(other.shop, shop());
    }
}
