//! Admin access tokens: minting and validity.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Owner, State, is_over};
use crate::error::Unknown;

/// How an admin access token came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenKind {
    /// By a client-credentials grant; lives a day.
    ClientCredentials,
    /// Shown once in the admin of a legacy custom app; permanent.
    Custom,
    /// Approved by the merchant; permanent.
    Offline,
    /// The same with an expiry, and a refresh token beside it.
    ExpiringOffline,
}

impl TokenKind {
    /// Whether it comes with a refresh token.
    pub(super) fn is_refreshed(self) -> bool {
        match self {
            Self::ClientCredentials | Self::Custom | Self::Offline => false,
            Self::ExpiringOffline => true,
        }
    }
}

/// An admin access token.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    /// Tokens issued later have greater ids.
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) kind: TokenKind,
    pub(crate) owner: Owner,
    /// "An access token stays pinned to the secret that minted it."
    /// (<https://shopify.dev/docs/apps/build/authentication-authorization/manage-credentials>)
    pub(crate) minted_by: Option<String>,
    /// As granted when it was issued.
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) issued_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) revoked: bool,
}

impl State {
    pub(crate) fn is_live(&self, token: &AccessToken, now: DateTime<Utc>) -> bool {
        !token.revoked
            && token.expires_at.is_none_or(|expires_at| now < expires_at)
            && self.installations.contains_key(&token.owner)
            && self.has_live_secret(&token.owner, token.minted_by.as_deref())
    }

    /// Whether the client secret that a token is pinned to, if any, isn't revoked.
    pub(super) fn has_live_secret(&self, owner: &Owner, minted_by: Option<&str>) -> bool {
        let lives = |secret| self.apps.get(&owner.client_id).is_some_and(|app| app.has_live_secret(secret));
        minted_by.is_none_or(lives)
    }

    /// The admin token of that value, if the Admin API of that shop accepts it by now.
    pub(crate) fn accepted_token(&self, shop: &str, value: &str, now: DateTime<Utc>) -> Option<&AccessToken> {
        self.access_tokens
            .get(value)
            .filter(|token| token.owner.shop == shop && self.is_live(token, now) && self.has_spread(token, now))
    }

    /// Whether all of Shopify knows of a token: of a granted one after a while.
    fn has_spread(&self, token: &AccessToken, now: DateTime<Utc>) -> bool {
        match token.kind {
            TokenKind::ClientCredentials => is_over(self.switches.cc_accepted_after, token.issued_at, now),
            TokenKind::Custom | TokenKind::Offline | TokenKind::ExpiringOffline => true,
        }
    }

    /// Mints a client-credentials token. The caller has checked the secret.
    pub(crate) fn mint_client_credentials(
        &mut self,
        owner: &Owner,
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, Unknown> {
        if self.switches.cc_invalidates_previous {
            for token in self.access_tokens.values_mut() {
                if token.owner == *owner && token.kind == TokenKind::ClientCredentials {
                    token.revoked = true;
                }
            }
        }
        let lifetime = self.app(&owner.client_id)?.token_lifetime;
        self.mint_access_token(owner, secret, TokenKind::ClientCredentials, Some(lifetime), now)
    }

    /// Mints a token that is pinned to a client secret, with the scopes granted by now.
    pub(super) fn mint_access_token(
        &mut self,
        owner: &Owner,
        secret: &str,
        kind: TokenKind,
        lifetime: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, Unknown> {
        let lifetime = lifetime.map(|lifetime| TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX));
        let token = AccessToken {
            id: self.next_id(),
            value: self.mint("shpat_"),
            kind,
            owner: owner.clone(),
            minted_by: Some(secret.to_owned()),
            scopes: self.installation(owner)?.scopes.clone(),
            issued_at: now,
            expires_at: lifetime.and_then(|lifetime| now.checked_add_signed(lifetime)),
            revoked: false,
        };
        self.access_tokens.insert(token.value.clone(), token.clone());
        Ok(token)
    }

    /// Creates a permanent admin token, as an admin-created custom app has one.
    pub(crate) fn create_admin_token(
        &mut self,
        shop: &str,
        client_id: &str,
        now: DateTime<Utc>,
    ) -> Result<String, Unknown> {
        let value = self.mint("shpat_");
        self.insert_custom(shop, client_id, value.clone(), now)?;
        Ok(value)
    }

    /// The same with a value that is known beforehand.
    pub(super) fn keep_admin_token(&mut self, shop: &str, client_id: &str, value: String) -> Result<(), Unknown> {
        self.insert_custom(shop, client_id, value, DateTime::UNIX_EPOCH)
    }

    fn insert_custom(&mut self, shop: &str, client_id: &str, value: String, now: DateTime<Utc>) -> Result<(), Unknown> {
        let owner = Owner::new(shop, client_id);
        let scopes = self.installation(&owner)?.scopes.clone();
        let token = AccessToken {
            id: self.next_id(),
            value: value.clone(),
            kind: TokenKind::Custom,
            owner,
            minted_by: None,
            scopes,
            issued_at: now,
            expires_at: None,
            revoked: false,
        };
        self.access_tokens.insert(value, token);
        Ok(())
    }
}
