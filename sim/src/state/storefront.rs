//! Storefront access tokens: create, list, delete. GraphQL and REST share these.

use chrono::{DateTime, SubsecRound, Utc};

use super::{Owner, State, is_over};
use crate::error::Unknown;
use crate::switches::{DeleteUnlisted, LongTitle};

/// "An app can have a maximum of 100 active storefront access tokens for each shop."
/// (<https://shopify.dev/docs/api/admin-graphql/2024-07/objects/StorefrontAccessToken>)
pub(crate) const STOREFRONT_TOKEN_LIMIT: usize = 100;

/// What a title column of Rails holds; undocumented for this one.
pub(crate) const TITLE_LIMIT: usize = 255;

const GID: &str = "gid://shopify/StorefrontAccessToken/";

/// A public token of the Storefront API. Its scopes are those of its app.
#[derive(Clone, Debug)]
pub(crate) struct StorefrontToken {
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) title: String,
    /// As answers say it: in whole seconds.
    pub(crate) created_at: DateTime<Utc>,
    /// What delays count from.
    made_at: DateTime<Utc>,
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
    LongTitle,
    LimitReached,
}

impl State {
    /// Makes one, as an app asks with the token `caller`.
    pub(crate) fn create_storefront_token(
        &mut self,
        owner: &Owner,
        caller: &str,
        title: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<StorefrontToken, CreateRefused>, Unknown> {
        let scopes = self.scopes_of_caller(owner, caller)?;
        if !scopes.iter().any(|scope| scope.starts_with("unauthenticated_")) {
            return Ok(Err(CreateRefused::NoUnauthenticatedScope));
        }
        if title.trim().is_empty() {
            return Ok(Err(CreateRefused::BlankTitle));
        }
        let end = title.char_indices().nth(TITLE_LIMIT).map(|(end, _)| end);
        let title = match (end, self.switches.sf_long_title) {
            (Some(_), LongTitle::Refused) => return Ok(Err(CreateRefused::LongTitle)),
            (Some(end), LongTitle::Cut) => &title[..end],
            (None, LongTitle::Refused | LongTitle::Cut) => title,
        };
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
            made_at: now,
        };
        self.storefront_tokens.entry(owner.clone()).or_default().push(token.clone());
        token
    }

    /// The tokens of one app on one shop that lists show by now, oldest first:
    /// "These are scoped per-application" (schema of `Shop.storefrontAccessTokens`).
    pub(crate) fn listed_storefront_tokens(
        &self,
        owner: &Owner,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = &StorefrontToken> {
        self.storefront_tokens(owner).iter().filter(move |token| self.is_listed(token, now))
    }

    fn is_listed(&self, token: &StorefrontToken, now: DateTime<Utc>) -> bool {
        is_over(self.switches.sf_listed_after, token.made_at, now)
    }

    /// All tokens of one app on one shop, oldest first.
    pub(crate) fn storefront_tokens(&self, owner: &Owner) -> &[StorefrontToken] {
        self.storefront_tokens.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Deletes a token as its app asks; whether there was one, as far as the
    /// switch lets it be found.
    pub(crate) fn delete_own_storefront_token(&mut self, owner: &Owner, id: u64, now: DateTime<Utc>) -> bool {
        let is_hidden = match self.switches.sf_delete_unlisted {
            DeleteUnlisted::Deleted => false,
            DeleteUnlisted::NotFound => !self.listed_storefront_tokens(owner, now).any(|token| token.id == id),
        };
        !is_hidden && self.delete_storefront_token(owner, id)
    }

    /// Whether there was one to delete.
    fn delete_storefront_token(&mut self, owner: &Owner, id: u64) -> bool {
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

    /// The app that made a storefront token of that shop.
    pub(crate) fn storefront_owner(&self, shop: &str, value: &str) -> Option<&Owner> {
        let mut made = self.on_shop(shop).filter(|(_, tokens)| tokens.iter().any(|token| token.value == value));
        made.next().map(|(owner, _)| owner)
    }

    /// Whether the Storefront API of that shop accepts the token by now.
    pub(crate) fn is_valid_storefront(&self, shop: &str, value: &str, now: DateTime<Utc>) -> bool {
        let mut tokens = self.on_shop(shop).flat_map(|(_, tokens)| tokens);
        let token = tokens.find(|token| token.value == value);
        token.is_some_and(|token| is_over(self.switches.sf_accepted_after, token.made_at, now))
    }

    fn on_shop(&self, shop: &str) -> impl Iterator<Item = (&Owner, &Vec<StorefrontToken>)> {
        self.storefront_tokens.range(Owner::new(shop, "")..).take_while(move |(owner, _)| owner.shop == shop)
    }
}
