//! The two mutations that create and delete storefront access tokens
//! (<https://shopify.dev/docs/api/admin-graphql/latest/mutations/storefrontAccessTokenCreate>).

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::graphql_error::{access_denied, invalid_id};
use super::shop::Shop;
use super::token_list::StorefrontAccessToken;
use super::types::{Request, UserError};
use crate::state::{CreateRefused, STOREFRONT_TOKEN_LIMIT, StorefrontToken, TITLE_LIMIT};
use crate::switches::{DeleteUnknown, LimitMessage};

#[derive(InputObject)]
struct StorefrontAccessTokenInput {
    title: String,
}

#[derive(InputObject)]
struct StorefrontAccessTokenDeleteInput {
    id: ID,
}

#[derive(SimpleObject)]
pub(super) struct StorefrontAccessTokenCreatePayload {
    #[graphql(complexity = "child_complexity")]
    shop: Shop,
    storefront_access_token: Option<StorefrontAccessToken>,
    #[graphql(complexity = 0)]
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub(super) struct StorefrontAccessTokenDeletePayload {
    #[graphql(complexity = 0)]
    deleted_storefront_access_token_id: Option<ID>,
    #[graphql(complexity = 0)]
    user_errors: Vec<UserError>,
}

/// What the root of mutations has of these.
#[derive(Default)]
pub(super) struct StorefrontTokens;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl StorefrontTokens {
    #[graphql(complexity = "10 + child_complexity")]
    async fn storefront_access_token_create(
        &self,
        ctx: &Context<'_>,
        input: StorefrontAccessTokenInput,
    ) -> Option<Result<StorefrontAccessTokenCreatePayload>> {
        Some(Request::of(ctx).and_then(|request| create(&request, &input)))
    }

    #[graphql(complexity = "10 + child_complexity")]
    async fn storefront_access_token_delete(
        &self,
        ctx: &Context<'_>,
        input: StorefrontAccessTokenDeleteInput,
    ) -> Option<Result<StorefrontAccessTokenDeletePayload>> {
        Some(Request::of(ctx).and_then(|request| delete(&request, input)))
    }
}

fn create(request: &Request<'_>, input: &StorefrontAccessTokenInput) -> Result<StorefrontAccessTokenCreatePayload> {
    let now = request.shopify.now();
    let mut state = request.shopify.state();
    let created = state.create_storefront_token(request.owner, request.token, &input.title, now)?;
    let (token, user_errors) = match created {
        Ok(token) => {
            let scopes = state.installation(request.owner)?.unauthenticated_scopes();
            (Some(StorefrontAccessToken::new(&token, &scopes)), Vec::new())
        }
        Err(refused) => {
            request.meter.refund(1);
            (None, refusal(refused, state.switches.sf_limit_message)?)
        }
    };
    Ok(StorefrontAccessTokenCreatePayload { shop: Shop, storefront_access_token: token, user_errors })
}

fn delete(
    request: &Request<'_>,
    input: StorefrontAccessTokenDeleteInput,
) -> Result<StorefrontAccessTokenDeletePayload> {
    let id = StorefrontToken::parse_gid(&input.id).ok_or_else(invalid_id)?;
    let now = request.shopify.now();
    let mut state = request.shopify.state();
    let deleted = state.delete_own_storefront_token(request.owner, id, now);
    let user_errors = match (deleted, state.switches.sf_delete_unknown) {
        (true, _) => Vec::new(),
        (false, DeleteUnknown::TopLevelError) => return Err(invalid_id()),
        (false, DeleteUnknown::UserErrors) => {
            UserError::new(&["input", "id"], "Storefront access token does not exist")
        }
    };
    Ok(StorefrontAccessTokenDeletePayload {
        deleted_storefront_access_token_id: deleted.then_some(input.id),
        user_errors,
    })
}

fn refusal(refused: CreateRefused, limit: LimitMessage) -> Result<Vec<UserError>> {
    match refused {
        CreateRefused::NoUnauthenticatedScope => Err(access_denied("storefrontAccessTokenCreate")),
        CreateRefused::BlankTitle => Ok(UserError::new(&["input", "title"], "Title can't be blank")),
        CreateRefused::LongTitle => {
            let message = format!("Title is too long (maximum is {TITLE_LIMIT} characters)");
            Ok(UserError::new(&["input", "title"], message))
        }
        CreateRefused::LimitReached => Ok(UserError::new(
            &["input"],
            match limit {
                LimitMessage::Key => "apps.admin.graph_api_errors.storefront_access_token_create\
                                      .reached_limit"
                    .to_owned(),
                LimitMessage::English => {
                    format!("Api permission exceeds public access token limit of: {STOREFRONT_TOKEN_LIMIT}")
                }
            },
        )),
    }
}
