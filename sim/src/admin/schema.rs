//! The part of the Admin schema that credentials need. Names, types and
//! nullability are those of versions 2025-01 to 2026-10.

use std::sync::{Arc, LazyLock};

use async_graphql::{
    Context, EmptySubscription, ID, InputValueError, InputValueResult, Object, Result, Scalar, ScalarType, Schema,
    SimpleObject, Value,
};
use chrono::{DateTime, SecondsFormat, Utc};

use super::Caller;
use super::cost::{self, Charging, Meter};
use super::storefront_tokens::{Mutation, Page, StorefrontAccessTokenConnection};
use crate::shopify::Shopify;
use crate::state::Owner;

pub(super) static SCHEMA: LazyLock<Schema<QueryRoot, Mutation, EmptySubscription>> = LazyLock::new(|| {
    Schema::build(QueryRoot, Mutation, EmptySubscription).extension(Charging).disable_suggestions().finish()
});

/// What resolvers work with.
pub(super) struct Request<'a> {
    pub(super) shopify: &'a Shopify,
    pub(super) owner: &'a Owner,
    pub(super) meter: &'a Meter,
}

impl<'a> Request<'a> {
    pub(super) fn of(ctx: &Context<'a>) -> Result<Self> {
        Ok(Self {
            shopify: ctx.data::<Shopify>()?,
            owner: &ctx.data::<Caller>()?.owner,
            meter: ctx.data::<Arc<Meter>>()?,
        })
    }
}

/// `DateTime`, as in `2025-07-02T16:39:14Z`.
#[derive(Clone, Copy)]
pub(super) struct Timestamp(pub(super) DateTime<Utc>);

#[Scalar(name = "DateTime")]
impl ScalarType for Timestamp {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Ok(Self(text.parse()?)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// A scope by its handle.
#[derive(Clone, SimpleObject)]
pub(super) struct AccessScope {
    #[graphql(complexity = 0)]
    handle: String,
    #[graphql(complexity = 0)]
    description: String,
}

impl AccessScope {
    pub(super) fn all<S: Into<String>>(handles: impl IntoIterator<Item = S>) -> Vec<Self> {
        handles
            .into_iter()
            .map(|handle| {
                let handle = handle.into();
                let description = handle.replace('_', " ");
                Self { handle, description }
            })
            .collect()
    }
}

/// A mistake of the caller. There is no `code`.
#[derive(SimpleObject)]
pub(super) struct UserError {
    #[graphql(complexity = 0)]
    pub(super) field: Option<Vec<String>>,
    #[graphql(complexity = 0)]
    pub(super) message: String,
}

impl UserError {
    pub(super) fn new(field: &[&str], message: impl Into<String>) -> Vec<Self> {
        let field = field.iter().map(|&name| name.to_owned()).collect();
        vec![Self { field: Some(field), message: message.into() }]
    }
}

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

/// An app.
#[derive(SimpleObject)]
pub(super) struct App {
    #[graphql(complexity = 0)]
    id: ID,
    #[graphql(complexity = 0)]
    handle: Option<String>,
    #[graphql(complexity = 0)]
    title: String,
}

/// An app on a shop.
#[derive(SimpleObject)]
pub(super) struct AppInstallation {
    #[graphql(complexity = 0)]
    id: ID,
    #[graphql(complexity = 0)]
    access_scopes: Vec<AccessScope>,
    app: App,
}

/// The root of queries.
pub(super) struct QueryRoot;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl QueryRoot {
    async fn shop(&self) -> Shop {
        Shop
    }

    async fn current_app_installation(&self, ctx: &Context<'_>) -> Result<AppInstallation> {
        let request = Request::of(ctx)?;
        let state = request.shopify.state();
        let installation = state.installation(request.owner)?;
        let app = state.app(&request.owner.client_id)?;
        Ok(AppInstallation {
            id: installation.gid().into(),
            access_scopes: AccessScope::all(installation.scopes.iter().cloned()),
            app: App { id: app.gid().into(), handle: Some(app.handle()), title: app.title.clone() },
        })
    }
}
