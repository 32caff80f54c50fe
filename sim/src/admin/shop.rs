//! The shop in GraphQL, with the list of its storefront tokens.

use async_graphql::{Context, ID, Object, Result};

use super::cost;
use super::token_list::{Page, StorefrontAccessTokenConnection};
use super::types::Request;

/// The shop called.
pub(super) struct Shop;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl Shop {
    #[graphql(complexity = 0)]
    async fn id(&self, ctx: &Context<'_>) -> Result<ID> {
        let request = Request::of(ctx)?;
        let state = request.shopify.state();
        Ok(state.shop(&request.owner.shop)?.gid().into())
    }

    #[graphql(complexity = 0)]
    async fn name(&self, ctx: &Context<'_>) -> Result<String> {
        let request = Request::of(ctx)?;
        let state = request.shopify.state();
        Ok(state.shop(&request.owner.shop)?.name.clone())
    }

    #[graphql(complexity = 0)]
    async fn myshopify_domain(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(Request::of(ctx)?.owner.shop.clone())
    }

    #[graphql(complexity = "cost::connection_asked(first, last)")]
    async fn storefront_access_tokens(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        #[graphql(default = false)] reverse: bool,
    ) -> Result<StorefrontAccessTokenConnection> {
        let page = Page::new(first, after, last, before, reverse)?;
        StorefrontAccessTokenConnection::list(&Request::of(ctx)?, &page, first.or(last))
    }
}
