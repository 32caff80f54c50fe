//! Storefront access tokens: create, list, delete. GraphQL and REST share these.

use chrono::{DateTime, SubsecRound, Utc};

use super::{Owner, State};
use crate::error::Unknown;

/// "An app can have a maximum of 100 active storefront access tokens for each shop."
/// (<https://shopify.dev/docs/api/admin-graphql/2024-07/objects/StorefrontAccessToken>)
pub(crate) const STOREFRONT_TOKEN_LIMIT: usize = 100;

const GID: &str = "gid://shopify/StorefrontAccessToken/";

/// A public token of the Storefront API. Its scopes are those of its app.
#[derive(Clone, Debug)]
pub(crate) struct StorefrontToken {
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) title: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl StorefrontToken {
    pub(crate) fn gid(&self) -> String {
        format!("{GID}{}", self.id)
    }

    /// The number in a gid of this type.
    pub(crate) fn parse_gid(gid: &str) -> Option<u64> {
        gid.strip_prefix(GID)?.parse().ok()
    }
}

/// Why no storefront token was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateRefused {
    NoUnauthenticatedScope,
    BlankTitle,
    LimitReached,
}

impl State {
    pub(crate) fn create_storefront_token(
        &mut self,
        owner: &Owner,
        title: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<StorefrontToken, CreateRefused>, Unknown> {
        if self.installation(owner)?.unauthenticated_scopes().is_empty() {
            return Ok(Err(CreateRefused::NoUnauthenticatedScope));
        }
        if title.trim().is_empty() {
            return Ok(Err(CreateRefused::BlankTitle));
        }
        if self.storefront_tokens(owner).len() >= STOREFRONT_TOKEN_LIMIT {
            return Ok(Err(CreateRefused::LimitReached));
        }
        Ok(Ok(self.insert_storefront_token(owner, title, now)))
    }

    pub(crate) fn insert_storefront_token(
        &mut self,
        owner: &Owner,
        title: &str,
        now: DateTime<Utc>,
    ) -> StorefrontToken {
        let token = StorefrontToken {
            id: self.next_id(),
            value: self.mint(""),
            title: title.to_owned(),
            created_at: now.trunc_subsecs(0),
        };
        self.storefront_tokens.entry(owner.clone()).or_default().push(token.clone());
        token
    }

    /// The tokens of one app on one shop, oldest first: "These are scoped
    /// per-application" (schema of `Shop.storefrontAccessTokens`).
    pub(crate) fn storefront_tokens(&self, owner: &Owner) -> &[StorefrontToken] {
        self.storefront_tokens.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Whether there was one to delete.
    pub(crate) fn delete_storefront_token(&mut self, owner: &Owner, id: u64) -> bool {
        let Some(tokens) = self.storefront_tokens.get_mut(owner) else {
            return false;
        };
        let before = tokens.len();
        tokens.retain(|token| token.id != id);
        tokens.len() < before
    }

    /// Deletes a token whichever app made it.
    pub(crate) fn delete_any_storefront_token(&mut self, shop: &str, id: u64) -> bool {
        let owners: Vec<Owner> = self.on_shop(shop).map(|(owner, _)| owner.clone()).collect();
        owners.iter().any(|owner| self.delete_storefront_token(owner, id))
    }

    pub(crate) fn is_valid_storefront(&self, shop: &str, value: &str) -> bool {
        self.on_shop(shop).any(|(_, tokens)| tokens.iter().any(|token| token.value == value))
    }

    fn on_shop(&self, shop: &str) -> impl Iterator<Item = (&Owner, &Vec<StorefrontToken>)> {
        self.storefront_tokens.range(Owner::new(shop, "")..).take_while(move |(owner, _)| owner.shop == shop)
    }
}
