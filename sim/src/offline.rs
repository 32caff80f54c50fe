//! Offline tokens in tests: those that are there beforehand, those that live, and what ends them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Distribution;
use crate::error::Unknown;
use crate::shopify::Shopify;
use crate::state::{OfflineCounts, Owner, Pair, State};

/// A pair as an app holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflinePair {
    /// The access token.
    pub access_token: String,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// The refresh token.
    pub refresh_token: String,
    /// When that expires.
    pub refresh_token_expires_at: DateTime<Utc>,
}

impl From<Pair> for OfflinePair {
    fn from(Pair { access, refresh }: Pair) -> Self {
        Self {
            access_token: access.value,
            expires_at: access.expires_at,
            refresh_token: refresh.value,
            refresh_token_expires_at: refresh.expires_at,
        }
    }
}

/// A refresh token that can be used now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRefreshToken {
    /// The token itself.
    pub value: String,
    /// The app it belongs to.
    pub client_id: String,
    /// The access token that came with it, live or dead.
    pub access_token: String,
    /// The client secret it is pinned to.
    pub minted_by: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// When it was used first; from then on it is only there to be tried again.
    pub used_at: Option<DateTime<Utc>>,
}

impl Shopify {
    /// An authorization code, as if a merchant had approved the app just now. The app is installed there already.
    pub fn create_authorization_code(&self, shop: &str, client_id: &str) -> Result<String, Unknown> {
        self.state().grant_code(&Owner::new(shop, client_id))
    }

    /// A non-expiring offline token, pinned to the app's oldest live secret: the one there is, if there is one.
    pub fn create_offline_token(&self, shop: &str, client_id: &str) -> Result<String, Unknown> {
        let now = self.now();
        let mut state = self.state();
        let secret = oldest_secret(&state, client_id)?;
        let token = state.acquire_non_expiring(&Owner::new(shop, client_id), &secret, now)?;
        Ok(token.value)
    }

    /// A pair, pinned to the app's oldest live secret. Earlier ones can't be refreshed any more.
    pub fn create_offline_pair(&self, shop: &str, client_id: &str) -> Result<OfflinePair, Unknown> {
        let now = self.now();
        let mut state = self.state();
        let secret = oldest_secret(&state, client_id)?;
        state.acquire_pair(&Owner::new(shop, client_id), &secret, now).map(Into::into)
    }

    /// Ends a refresh token before its time. Access tokens go on.
    pub fn retire_refresh_token(&self, value: &str) -> Result<(), Unknown> {
        let mut state = self.state();
        let token = state.offline.refresh_tokens.get_mut(value).ok_or(Unknown::Token)?;
        token.retired = true;
        Ok(())
    }

    /// Changes whom an app is for: non-expiring tokens of a public one are refused with 403.
    pub fn set_distribution(&self, client_id: &str, distribution: Distribution) -> Result<(), Unknown> {
        self.state().app_mut(client_id)?.distribution = distribution;
        Ok(())
    }

    /// All refresh tokens of a shop that can be used, for the first time or again, oldest first.
    #[must_use]
    pub fn live_refresh_tokens(&self, shop: &str) -> Vec<LiveRefreshToken> {
        let now = self.now();
        let state = self.state();
        let all = state.offline.refresh_tokens.values();
        let mut live: Vec<_> = all.filter(|token| token.owner.shop == shop && state.is_active(token, now)).collect();
        live.sort_by_key(|token| token.id);
        live.into_iter()
            .map(|token| LiveRefreshToken {
                value: token.value.clone(),
                client_id: token.owner.client_id.clone(),
                access_token: token.access.clone(),
                minted_by: token.minted_by.clone(),
                issued_at: token.issued_at,
                expires_at: token.expires_at,
                used_at: token.used.as_ref().map(|(at, _)| *at),
            })
            .collect()
    }

    /// What became of an app's offline tokens on a shop.
    #[must_use]
    pub fn offline_counts(&self, shop: &str, client_id: &str) -> OfflineCounts {
        self.state().offline_counts(&Owner::new(shop, client_id))
    }
}

fn oldest_secret(state: &State, client_id: &str) -> Result<String, Unknown> {
    let secret = state.app(client_id)?.oldest_secret();
    secret.map(str::to_owned).ok_or_else(|| Unknown::Secret(client_id.to_owned()))
}
