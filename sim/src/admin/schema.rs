//! The part of the Admin schema that credentials need. Names, types and
//! nullability are those of versions 2025-01 to 2026-10.

use std::sync::LazyLock;

use async_graphql::{Context, EmptySubscription, ID, MergedObject, Object, Result, Schema, SimpleObject};

use super::app::App;
use super::cost::Charging;
use super::dated::Dating;
use super::delegate_tokens::DelegateTokens;
use super::shop::Shop;
use super::storefront_tokens::StorefrontTokens;
use super::types::{AccessScope, Request};
use super::uninstallation::Uninstallation;

pub(super) static SCHEMA: LazyLock<Schema<QueryRoot, Mutation, EmptySubscription>> = LazyLock::new(|| {
    Schema::build(QueryRoot, Mutation::default(), EmptySubscription)
        .extension(Dating)
        .extension(Charging)
        .disable_suggestions()
        .finish()
});

/// The root of mutations. Its fields are nullable: an error of one leaves a
/// null there, not in place of all data.
#[derive(Default, MergedObject)]
pub(super) struct Mutation(StorefrontTokens, DelegateTokens, Uninstallation);

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
        let app = App::of(&request)?;
        let state = request.shopify.state();
        let installation = state.installation(request.owner)?;
        Ok(AppInstallation {
            id: installation.gid().into(),
            access_scopes: AccessScope::all(installation.scopes.iter().cloned()),
            app,
        })
    }
}
