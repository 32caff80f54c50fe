//! The Admin GraphQL API.

use serde_json::{Value, json};
use shopify_sim::{AppConfig, DeleteUnknown, LimitMessage, Switches};

use crate::client::{APP, SHOP, config, json, start, start_with};

const TOKEN: &str = "/data/storefrontAccessTokenCreate/storefrontAccessToken";

#[tokio::test]
async fn a_storefront_token_is_created_listed_and_deleted() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let created = shop.create(&admin, "web").await;
    let token = created.pointer(TOKEN).unwrap();
    let id = token["id"].as_str().unwrap();
    assert!(id.starts_with("gid://shopify/StorefrontAccessToken/"));
    assert_eq!(token["accessToken"].as_str().unwrap().len(), 32);
    assert_eq!(token["accessScopes"], json!([{ "handle": "unauthenticated_read_product_listings" }]));
    assert_eq!(token["title"], "web");
    assert!(token["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(created["data"]["storefrontAccessTokenCreate"]["userErrors"], json!([]));
    let cost = &created["extensions"]["cost"];
    assert_eq!(cost["requestedQueryCost"], 11);
    assert_eq!(cost["actualQueryCost"], 11);
    assert_eq!(cost["throttleStatus"]["maximumAvailable"], 2000.0);
    let available = cost["throttleStatus"]["currentlyAvailable"].as_u64().unwrap();
    assert!((1989..=2000).contains(&available));
    assert_eq!(cost["throttleStatus"]["restoreRate"], 100.0);

    let live = sim.live_storefront_tokens(SHOP, APP);
    assert_eq!((live.len(), live[0].id.as_str()), (1, id));
    assert_eq!(live[0].value, token["accessToken"].as_str().unwrap());

    let listed =
        shop.query(&admin, "{ shop { storefrontAccessTokens(first: 10) { nodes { id accessToken } } } }").await;
    assert_eq!(
        listed["data"]["shop"]["storefrontAccessTokens"]["nodes"],
        json!([{ "id": id, "accessToken": live[0].value }])
    );

    let deleted = shop.delete(&admin, id).await;
    assert_eq!(
        deleted["data"]["storefrontAccessTokenDelete"],
        json!({ "deletedStorefrontAccessTokenId": id, "userErrors": [] })
    );
    assert!(sim.live_storefront_tokens(SHOP, APP).is_empty());
    for operation in
        ["admin.storefrontAccessTokenCreate", "admin.storefrontAccessTokens", "admin.storefrontAccessTokenDelete"]
    {
        assert_eq!(sim.calls(operation), 1, "{operation}");
    }
    assert_eq!(sim.calls("admin.*"), 3);
    let log = sim.call_log();
    assert_eq!(log.last().unwrap().status, Some(200));
}

#[tokio::test]
async fn user_errors_have_no_code() {
    let (_sim, shop) = start().await;
    let admin = shop.token().await;
    let query = "mutation {\n  storefrontAccessTokenCreate(input: {title: \"t\"}) \
                 { userErrors { code } } }";
    let body = shop.query(&admin, query).await;
    assert!(body.get("data").is_none());
    assert_eq!(
        body["errors"],
        json!([{
            "message": "Field 'code' doesn't exist on type 'UserError'",
            "locations": [{ "line": 2, "column": 67 }],
            "path": ["mutation", "storefrontAccessTokenCreate", "userErrors", "code"],
            "extensions": {
                "code": "undefinedField", "typeName": "UserError", "fieldName": "code",
            },
        }])
    );
    assert!(body["extensions"]["cost"]["throttleStatus"].is_object());
}

#[tokio::test]
async fn other_invalid_queries_are_refused_in_shopifys_words() {
    let (_sim, shop) = start().await;
    let admin = shop.token().await;
    let body = shop.query(&admin, "{ shop(a: 1) { id } }").await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "argumentNotAccepted");
    let body = shop.query(&admin, "mutation { storefrontAccessTokenCreate { userErrors { message } } }").await;
    assert_eq!(
        body["errors"][0]["message"],
        "Field 'storefrontAccessTokenCreate' is missing required arguments: input"
    );
    assert!(shop.query(&admin, "{ shop {").await["errors"][0]["message"].is_string());

    let response = shop.graphql(&admin, "", &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(json(response).await, json!({ "errors": { "query": "Required parameter missing or invalid" } }));
}

#[tokio::test]
async fn without_an_unauthenticated_scope_creation_is_denied() {
    let (sim, shop) = start().await;
    sim.set_scopes(SHOP, APP, ["read_orders"]).unwrap();
    let admin = shop.token().await;
    let body = shop.create(&admin, "web").await;
    let error = &body["errors"][0];
    assert_eq!(error["message"], "Access denied for storefrontAccessTokenCreate field.");
    assert_eq!(error["path"], json!(["storefrontAccessTokenCreate"]));
    assert_eq!(
        error["extensions"],
        json!({
            "code": "ACCESS_DENIED",
            "documentation": "https://shopify.dev/api/usage/access-scopes",
        })
    );
    assert_eq!(body["data"], json!({ "storefrontAccessTokenCreate": null }));
    assert_eq!(body["extensions"]["cost"]["requestedQueryCost"], 11);
    assert_eq!(body["extensions"]["cost"]["actualQueryCost"], 10);
}

#[tokio::test]
async fn a_blank_title_and_the_101st_token_are_user_errors() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let payload = "/data/storefrontAccessTokenCreate";
    let body = shop.create(&admin, " ").await;
    let errors = |body: &Value| body.pointer(payload).unwrap()["userErrors"].clone();
    assert_eq!(errors(&body), json!([{ "field": ["input", "title"], "message": "Title can't be blank" }]));
    for n in 0..99 {
        sim.create_storefront_token(SHOP, APP, &n.to_string()).unwrap();
    }
    assert!(shop.create(&admin, "100th").await.pointer(TOKEN).is_some());
    let body = shop.create(&admin, "101st").await;
    assert!(body.pointer(TOKEN).unwrap().is_null());
    let key = "apps.admin.graph_api_errors.storefront_access_token_create.reached_limit";
    assert_eq!(errors(&body), json!([{ "field": ["input"], "message": key }]));
    sim.set_switches(Switches { sf_limit_message: LimitMessage::English, ..Switches::default() });
    let body = shop.create(&admin, "101st").await;
    assert_eq!(errors(&body)[0]["message"], "Api permission exceeds public access token limit of: 100");
    assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 100);
}

#[tokio::test]
async fn deleting_what_is_not_there_follows_the_switch() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let gid = "gid://shopify/StorefrontAccessToken/1";
    let body = shop.delete(&admin, gid).await;
    let payload = &body["data"]["storefrontAccessTokenDelete"];
    assert!(payload["deletedStorefrontAccessTokenId"].is_null());
    assert_eq!(payload["userErrors"][0]["field"], json!(["input", "id"]));

    sim.set_switches(Switches { sf_delete_unknown: DeleteUnknown::TopLevelError, ..Switches::default() });
    let body = shop.delete(&admin, gid).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "RESOURCE_NOT_FOUND");
    let body = shop.delete(&admin, "gid://shopify/Product/1").await;
    assert_eq!(body["errors"][0]["message"], "invalid id");
}

#[tokio::test]
async fn an_app_sees_and_deletes_only_its_own_tokens() {
    let config = config().app(AppConfig::new("other", "s").installed(SHOP, ["unauthenticated_read_content"]));
    let (sim, shop) = start_with(config).await;
    let foreign = sim.create_storefront_token(SHOP, "other", "theirs").unwrap();
    let admin = shop.token().await;
    let body = shop
        .query(
            &admin,
            "{ shop { storefrontAccessTokens(first: 10) { nodes { id } pageInfo {
            hasNextPage hasPreviousPage startCursor endCursor } } } }",
        )
        .await;
    assert_eq!(
        body["data"]["shop"]["storefrontAccessTokens"],
        json!({ "nodes": [], "pageInfo": { "hasNextPage": false, "hasPreviousPage": false,
            "startCursor": null, "endCursor": null } })
    );
    shop.delete(&admin, &foreign.id).await;
    assert_eq!(sim.live_storefront_tokens(SHOP, "other"), std::slice::from_ref(&foreign));
    sim.delete_storefront_token(SHOP, &foreign.id).unwrap();
    assert!(!sim.is_valid_storefront(SHOP, &foreign.value));
}

#[tokio::test]
async fn pages_go_both_ways() {
    let (sim, shop) = start().await;
    for title in ["a", "b", "c", "d", "e"] {
        sim.create_storefront_token(SHOP, APP, title).unwrap();
    }
    let admin = shop.token().await;
    let page = async |arguments: &str| {
        let query = format!(
            "{{ shop {{ storefrontAccessTokens({arguments}) {{ edges {{ cursor node {{ title }} }}
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"
        );
        let body = shop.query(&admin, &query).await;
        let page = body["data"]["shop"]["storefrontAccessTokens"].clone();
        let titles: String = page["edges"]
            .as_array()
            .unwrap_or_else(|| panic!("{body}"))
            .iter()
            .map(|edge| edge["node"]["title"].as_str().unwrap())
            .collect();
        let info = &page["pageInfo"];
        let cursor = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
        let more = |name: &str| info[name].as_bool().unwrap();
        (titles, more("hasPreviousPage"), more("hasNextPage"), cursor("startCursor"), cursor("endCursor"))
    };
    let (titles, previous, next, _, end) = page("first: 2").await;
    assert_eq!((titles.as_str(), previous, next), ("ab", false, true));
    let (titles, previous, next, start, end2) = page(&format!("first: 2, after: \"{end}\"")).await;
    assert_eq!((titles.as_str(), previous, next), ("cd", true, true));
    let (titles, previous, next, ..) = page(&format!("first: 2, after: \"{end2}\"")).await;
    assert_eq!((titles.as_str(), previous, next), ("e", true, false));
    let (titles, previous, next, ..) = page(&format!("last: 5, before: \"{start}\"")).await;
    assert_eq!((titles.as_str(), previous, next), ("ab", false, true));
    let (titles, previous, next, ..) = page("last: 2").await;
    assert_eq!((titles.as_str(), previous, next), ("de", true, false));
    let (titles, _, next, _, end) = page("first: 2, reverse: true").await;
    assert_eq!((titles.as_str(), next), ("ed", true));
    let (titles, _, next, ..) = page(&format!("first: 9, reverse: true, after: \"{end}\"")).await;
    assert_eq!((titles.as_str(), next), ("cba", false));
    // The token at the cursor may go meanwhile.
    let third = sim.live_storefront_tokens(SHOP, APP)[2].id.clone();
    let (.., after_c) = page("first: 3").await;
    sim.delete_storefront_token(SHOP, &third).unwrap();
    assert_eq!(page(&format!("first: 9, after: \"{after_c}\"")).await.0, "de");

    for wrong in ["", "(first: 1, last: 1)", "(first: 251)", "(first: -1)"] {
        let query = format!("{{ shop {{ storefrontAccessTokens{wrong} {{ nodes {{ id }} }} }} }}");
        let body = shop.query(&admin, &query).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{wrong}");
    }
}

#[tokio::test]
async fn the_installation_says_what_is_granted_now() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let query = "{ currentAppInstallation { id app { id handle title } accessScopes { handle } } }";
    let body = shop.query(&admin, query).await;
    let installation = &body["data"]["currentAppInstallation"];
    let id = installation["id"].as_str().unwrap();
    assert!(id.starts_with("gid://shopify/AppInstallation/"));
    assert_eq!(installation["app"]["handle"], "tokens");
    assert_eq!(installation["app"]["title"], "Tokens");
    assert_eq!(body["extensions"]["cost"]["requestedQueryCost"], 2);
    sim.set_scopes(SHOP, APP, ["read_themes"]).unwrap();
    let body = shop.query(&admin, query).await;
    assert_eq!(body["data"]["currentAppInstallation"]["accessScopes"], json!([{ "handle": "read_themes" }]));
    let body = shop.query(&admin, "{ shop { id name myshopifyDomain } }").await;
    assert_eq!(body["data"]["shop"]["name"], "acme");
    assert_eq!(body["data"]["shop"]["myshopifyDomain"], SHOP);
    assert_eq!(sim.calls("admin.currentAppInstallation"), 2);
    assert_eq!(sim.calls("admin.shop"), 1);
}

#[tokio::test]
async fn only_live_tokens_of_that_shop_in_that_header_are_accepted() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let unauthorized = json!({
        "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)",
    });
    let bearer = shop
        .http
        .post(shop.url("/admin/api/2026-10/graphql.json"))
        .bearer_auth(&admin)
        .json(&json!({ "query": "{ shop { id } }" }));
    let wrong = shop.graphql("shpat_wrong", "{ shop { id } }", &json!({}));
    for request in [bearer, wrong] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(json(response).await, unauthorized);
    }
    let permanent = sim.create_admin_token(SHOP, APP).unwrap();
    for token in [&admin, &permanent] {
        assert!(shop.query(token, "{ shop { id } }").await["data"].is_object());
    }
    sim.revoke_admin_token(&admin).unwrap();
    assert_eq!(shop.query(&admin, "{ shop { id } }").await, unauthorized);
    sim.uninstall(SHOP, APP).unwrap();
    assert_eq!(shop.query(&permanent, "{ shop { id } }").await, unauthorized);
    sim.install(SHOP, APP, ["read_orders"]).unwrap();
    assert!(!sim.is_valid_admin(SHOP, &permanent), "stays dead");
}
