//! Storefront tokens and scopes through the Admin API, whichever of the two the app uses.

use std::fmt;

use chrono::DateTime;
use secrecy::{ExposeSecret, SecretString};

use super::{ApiError, Client, Shop, answer::Answer, failure};
use crate::{
    api::app::AdminApi,
    core::{credential, ours::StorefrontToken},
};

/// How to speak to a shop's Admin API.
#[derive(Clone, Debug)]
pub struct AdminAccess {
    /// The shop.
    pub shop: Shop,
    /// An admin token of an app installed there.
    pub token: SecretString,
    /// Which of the two APIs manages storefront tokens.
    pub api: AdminApi,
    /// Its version, such as `2026-10`.
    pub version: String,
}

/// The storefront tokens an app has on a shop.
#[derive(Clone, Debug)]
pub struct ListedTokens {
    /// All of them; other apps' tokens are never listed.
    pub tokens: Vec<StorefrontToken>,
    /// The app's scopes on the shop, sorted; GraphQL tells them in the same call, REST doesn't.
    pub granted_scopes: Option<Vec<String>>,
    /// Gid of the app's installation on the shop; GraphQL tells it in the same call, REST doesn't.
    pub installation: Option<String>,
    /// The API version that answered, as far as Shopify says so; not the one asked for, if that was retired.
    pub served: Option<String>,
}

/// What a shop grants to the app that an admin token belongs to.
#[derive(Clone, Debug)]
pub struct Granted {
    /// Its scopes, sorted.
    pub scopes: Vec<String>,
    /// The API version that answered, as in [`ListedTokens`].
    pub served: Option<String>,
}

/// How a deletion ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deleted {
    /// Shopify deleted the token now.
    Gone,
    /// Shopify doesn't know the token: deleted before.
    AlreadyGone,
}

/// Pages of a list that are read: ten times what Shopify's limit of 100 tokens can fill.
pub(super) const MOST_PAGES: usize = 10;

pub(super) fn too_many_pages(shop: &Shop) -> ApiError {
    failure::unreadable(shop, "has more pages than 100 tokens can fill").into()
}

impl Client {
    /// Every storefront token of the app on the shop, values included.
    ///
    /// # Errors
    /// [`ApiError`]; a list that can't be read to its end is a failure, never a shorter list.
    pub async fn list_storefront_tokens(&self, access: &AdminAccess) -> Result<ListedTokens, ApiError> {
        match access.api {
            AdminApi::GraphQL => self.graphql_list(access).await,
            AdminApi::REST => self.rest_list(access).await,
        }
    }

    /// Makes a storefront token. It has every `unauthenticated_*` scope of the app.
    ///
    /// Not idempotent: after a failure the token may exist all the same. List, and look for the title.
    ///
    /// # Errors
    /// [`ApiError`], among them `ScopesMissing` and `LimitReached` (100 tokens per app and shop).
    pub async fn create_storefront_token(
        &self,
        access: &AdminAccess,
        title: &str,
    ) -> Result<StorefrontToken, ApiError> {
        match access.api {
            AdminApi::GraphQL => self.graphql_create(access, title).await,
            AdminApi::REST => self.rest_create(access, title).await,
        }
    }

    /// Deletes a storefront token by its id. Applications that use it are refused from now on.
    ///
    /// # Errors
    /// [`ApiError`]; never for a token that is gone already, in whichever way Shopify says so.
    pub async fn delete_storefront_token(&self, access: &AdminAccess, id: &str) -> Result<Deleted, ApiError> {
        let outcome = match access.api {
            AdminApi::GraphQL => self.graphql_delete(access, id).await,
            AdminApi::REST => self.rest_delete(access, id).await,
        };
        match outcome {
            Ok(()) => Ok(Deleted::Gone),
            Err(ApiError::NotFound(_)) => Ok(Deleted::AlreadyGone),
            Err(error) => Err(error),
        }
    }
}

/// A token's fields as either API sends them.
pub(super) struct Sent<'a> {
    pub(super) id: String,
    pub(super) value: SecretString,
    pub(super) title: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) created_at: Option<&'a str>,
}

/// A token that was made now, if its value can be one.
pub(super) fn made(token: StorefrontToken, answer: &Answer, shop: &Shop) -> Result<StorefrontToken, ApiError> {
    match credential::check(token.value.expose_secret().as_bytes(), "the answer") {
        Ok(_) => Ok(token),
        Err(_) => Err(failure::garbled(answer, shop).into()),
    }
}

impl Sent<'_> {
    /// The token. Whether its value can be one is for those to ask who take it up: a list has others' tokens, too.
    pub(super) fn token(self) -> StorefrontToken {
        StorefrontToken {
            id: self.id,
            value: self.value,
            title: self.title.unwrap_or_default(),
            scopes: self.scopes,
            created_at: self.created_at.and_then(|at| DateTime::parse_from_rfc3339(at).ok()).map(Into::into),
        }
    }
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "deleted",
            Self::AlreadyGone => "already gone",
        })
    }
}
