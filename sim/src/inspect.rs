//! What is live right now, and what has been called: the questions of tests.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::calls::LoggedCall;
use crate::error::Unknown;
use crate::shopify::Shopify;
use crate::state::{Owner, StorefrontToken, TokenKind};

/// A storefront token that exists at Shopify, listed and accepted by now or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStorefrontToken {
    /// `gid://shopify/StorefrontAccessToken/…`.
    pub id: String,
    /// The title it was created with.
    pub title: String,
    /// The token itself.
    pub value: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl From<&StorefrontToken> for LiveStorefrontToken {
    fn from(token: &StorefrontToken) -> Self {
        Self { id: token.gid(), title: token.title.clone(), value: token.value.clone(), created_at: token.created_at }
    }
}

/// An admin access token that lives at Shopify, accepted by now or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAccessToken {
    /// The token itself.
    pub value: String,
    /// How it came to be.
    pub kind: TokenKind,
    /// The app it belongs to.
    pub client_id: String,
    /// The client secret it is pinned to, if any.
    pub minted_by: Option<String>,
    /// The scopes when it was issued.
    pub scopes: BTreeSet<String>,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it expires, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A delegate access token that lives at Shopify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveDelegate {
    /// The token itself.
    pub value: String,
    /// The value of the admin token it was made with, which may be dead.
    pub parent: String,
    /// What it may do now: a scope that the app has lost is lost to it, too.
    pub scopes: BTreeSet<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires; never, if its parent doesn't and no lifetime was asked for.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A customer's session that lives at Shopify: its refresh token does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCustomerSession {
    /// The client it belongs to.
    pub client_id: String,
    /// What was asked for.
    pub scopes: BTreeSet<String>,
    /// The newest access token.
    pub access_token: String,
    /// When that expires.
    pub expires_at: DateTime<Utc>,
    /// The newest refresh token.
    pub refresh_token: String,
}

/// How often the token endpoint was asked with an app's client id, on all shops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantCounts {
    /// Calls, those that a fault struck included.
    pub asked: u64,
    /// Calls that a token was granted to.
    pub granted: u64,
    /// Calls refused because the client secret is wrong or revoked.
    pub secret_rejected: u64,
}

impl Shopify {
    /// An app's storefront tokens on a shop, oldest first.
    #[must_use]
    pub fn live_storefront_tokens(&self, shop: &str, client_id: &str) -> Vec<LiveStorefrontToken> {
        self.state().storefront_tokens(&Owner::new(shop, client_id)).iter().map(LiveStorefrontToken::from).collect()
    }

    /// An app's delegate access tokens on a shop, oldest first.
    #[must_use]
    pub fn live_delegates(&self, shop: &str, client_id: &str) -> Vec<LiveDelegate> {
        let now = self.now();
        let state = self.state();
        let live = state.live_delegates(&Owner::new(shop, client_id), now);
        live.into_iter()
            .map(|token| LiveDelegate {
                value: token.value.clone(),
                parent: token.parent.clone(),
                scopes: state.scopes_of_delegate(token),
                created_at: token.created_at,
                expires_at: token.expires_at,
            })
            .collect()
    }

    /// All admin access tokens of a shop but delegates, oldest first.
    #[must_use]
    pub fn live_access_tokens(&self, shop: &str) -> Vec<LiveAccessToken> {
        let now = self.now();
        let state = self.state();
        let mut live: Vec<_> = state
            .access_tokens
            .values()
            .filter(|token| token.owner.shop == shop && state.is_live(token, now))
            .collect();
        live.sort_by_key(|token| token.id);
        live.into_iter()
            .map(|token| LiveAccessToken {
                value: token.value.clone(),
                kind: token.kind,
                client_id: token.owner.client_id.clone(),
                minted_by: token.minted_by.clone(),
                scopes: token.scopes.clone(),
                issued_at: token.issued_at,
                expires_at: token.expires_at,
            })
            .collect()
    }

    /// The client secret that minted an admin token, live or dead.
    #[must_use]
    pub fn minted_by(&self, value: &str) -> Option<String> {
        self.state().access_tokens.get(value)?.minted_by.clone()
    }

    /// Whether the Admin API of that shop accepts this token now.
    #[must_use]
    pub fn is_valid_admin(&self, shop: &str, value: &str) -> bool {
        let now = self.now();
        let state = self.state();
        state.accepted_token(shop, value, now).is_some() || state.accepted_delegate(shop, value, now).is_some()
    }

    /// Whether the Storefront API of that shop accepts this public token now.
    #[must_use]
    pub fn is_valid_storefront(&self, shop: &str, value: &str) -> bool {
        let now = self.now();
        self.state().is_valid_storefront(shop, value, now)
    }

    /// Whether the Storefront API of that shop accepts this delegate now, as a private token.
    #[must_use]
    pub fn is_valid_private(&self, shop: &str, value: &str) -> bool {
        let now = self.now();
        self.state().is_valid_private(shop, value, now)
    }

    /// All customers' sessions of a shop, oldest first.
    #[must_use]
    pub fn live_customer_sessions(&self, shop: &str) -> Vec<LiveCustomerSession> {
        let state = self.state();
        let sessions = state.customer_sessions.iter().filter(|session| session.owner.shop == shop);
        sessions
            .map(|session| LiveCustomerSession {
                client_id: session.owner.client_id.clone(),
                scopes: session.scopes.clone(),
                access_token: session.access_token.clone(),
                expires_at: session.expires_at,
                refresh_token: session.refresh_token.clone(),
            })
            .collect()
    }

    /// How many calls of an operation (`oauth.clientCredentials`, `admin.*`,
    /// `*`) have come in, those that a fault struck included.
    #[must_use]
    pub fn calls(&self, operation: &str) -> u64 {
        self.log().count(operation, |_| true)
    }

    /// The same for one shop.
    #[must_use]
    pub fn calls_to(&self, shop: &str, operation: &str) -> u64 {
        self.log().count(operation, |call| call.shop == shop)
    }

    /// The same of one app, by its client id.
    #[must_use]
    pub fn calls_of(&self, client_id: &str, operation: &str) -> u64 {
        self.log().count(operation, |call| call.app.as_deref() == Some(client_id))
    }

    /// What an app has asked of the token endpoint, and what came of it.
    pub fn grant_counts(&self, client_id: &str) -> Result<GrantCounts, Unknown> {
        let asked = self.calls_of(client_id, "oauth.*");
        let state = self.state();
        let app = state.app(client_id)?;
        Ok(GrantCounts { asked, granted: app.granted, secret_rejected: app.secrets_rejected })
    }

    /// How many calls have come in.
    #[must_use]
    pub fn total_calls(&self) -> u64 {
        self.calls("*")
    }

    /// All calls so far, in the order in which they came in.
    #[must_use]
    pub fn call_log(&self) -> Vec<LoggedCall> {
        self.log().all().to_vec()
    }
}
