//! Customer accounts: clients of a shop, codes of sign-ins, and sessions in
//! which every refresh token works once.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::app::Secret;
use super::{Owner, State, is_over};
use crate::config::{CustomerClientConfig, ExpiresIn};
use crate::error::Unknown;

/// The longest that a code should live (RFC 6749, section 4.1.2). Shopify's own
/// bound isn't documented.
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// A client of a shop's Customer Account API.
#[derive(Debug)]
pub(crate) struct CustomerClient {
    /// Oldest first. "Your old credentials remain valid until you revoke them."
    pub(crate) secrets: Vec<Secret>,
    pub(crate) is_public: bool,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) javascript_origins: Vec<String>,
    pub(crate) logout_uris: Vec<String>,
    pub(crate) token_lifetime: Duration,
    pub(crate) expires_in: ExpiresIn,
}

impl CustomerClient {
    pub(crate) fn has_live_secret(&self, value: &str) -> bool {
        self.secrets.iter().any(|secret| secret.value == value && !secret.revoked)
    }

    pub(crate) fn add_secret(&mut self, value: String) {
        self.secrets.push(Secret { value, revoked: false });
    }

    /// Whether there is such a secret.
    pub(crate) fn revoke_secret(&mut self, value: &str) -> bool {
        let secret = self.secrets.iter_mut().find(|secret| secret.value == value);
        secret.map(|secret| secret.revoked = true).is_some()
    }
}

/// What a sign-in was begun with, and the code that it brought.
#[derive(Clone, Debug)]
pub(crate) struct CustomerCode {
    pub(crate) owner: Owner,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) nonce: Option<String>,
    /// Of PKCE, by S256.
    pub(crate) challenge: Option<String>,
    pub(crate) made_at: DateTime<Utc>,
}

/// A customer's session: one access token, and the refresh token for the next.
#[derive(Clone, Debug)]
pub(crate) struct CustomerSession {
    pub(crate) id: u64,
    pub(crate) owner: Owner,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    /// The one before, and when it was exchanged.
    pub(crate) previous: Option<(String, DateTime<Utc>)>,
    /// The one that it began with.
    pub(crate) id_token: Option<String>,
    pub(crate) expires_at: DateTime<Utc>,
}

impl State {
    /// Adds a client of a shop, or changes the one of that client id.
    pub(crate) fn put_customer_client(&mut self, shop: &str, config: CustomerClientConfig) {
        let client = CustomerClient {
            is_public: config.client_secrets.is_empty(),
            secrets: config.client_secrets.into_iter().map(|value| Secret { value, revoked: false }).collect(),
            redirect_uris: config.redirect_uris,
            javascript_origins: config.javascript_origins,
            logout_uris: config.logout_uris,
            token_lifetime: config.token_lifetime,
            expires_in: config.expires_in,
        };
        self.customer_clients.insert(Owner::new(shop, &config.client_id), client);
    }

    pub(crate) fn customer_client_mut(&mut self, owner: &Owner) -> Result<&mut CustomerClient, Unknown> {
        self.customer_clients.get_mut(owner).ok_or_else(|| Unknown::App(owner.client_id.clone()))
    }

    /// Keeps what a sign-in was begun with, and mints the code for it.
    pub(crate) fn mint_customer_code(&mut self, code: CustomerCode) -> String {
        let value = self.mint("shcac_");
        self.customer_codes.insert(value.clone(), code);
        value
    }

    /// A code works once, for a while.
    pub(crate) fn take_customer_code(&mut self, value: &str, now: DateTime<Utc>) -> Option<CustomerCode> {
        self.customer_codes.remove(value).filter(|code| now - code.made_at < CODE_LIFETIME)
    }

    /// Begins a session with what a code was made for.
    pub(crate) fn begin_customer_session(
        &mut self,
        code: &CustomerCode,
        lifetime: Duration,
        now: DateTime<Utc>,
    ) -> CustomerSession {
        let session = CustomerSession {
            id: self.next_id(),
            owner: code.owner.clone(),
            scopes: code.scopes.clone(),
            access_token: self.mint("shcat_"),
            refresh_token: self.mint("shcrt_"),
            previous: None,
            id_token: None,
            expires_at: now + lifetime,
        };
        self.customer_sessions.push(session.clone());
        session
    }

    /// The session that a refresh token continues, with the next tokens. `None`
    /// for one that is unknown or was used before, but for the switch's grace.
    pub(crate) fn continue_customer_session(
        &mut self,
        owner: &Owner,
        refresh_token: &str,
        lifetime: Duration,
        now: DateTime<Utc>,
    ) -> Option<CustomerSession> {
        let grace = self.switches.customer_refresh_grace;
        let at = self.customer_sessions.iter().position(|session| {
            let again = session.previous.as_ref().is_some_and(|(value, since)| {
                value == refresh_token && !grace.is_zero() && !is_over(grace, *since, now)
            });
            session.owner == *owner && (session.refresh_token == refresh_token || again)
        })?;
        let access_token = self.mint("shcat_");
        let next = self.switches.customer_refresh_rotates.then(|| self.mint("shcrt_"));
        let session = self.customer_sessions.get_mut(at)?;
        session.access_token = access_token;
        session.expires_at = now + lifetime;
        if let Some(next) = next {
            session.previous = Some((refresh_token.to_owned(), now));
            session.refresh_token = next;
        }
        Some(session.clone())
    }

    /// The session of an access token that lives.
    pub(crate) fn customer_session(
        &self,
        shop: &str,
        access_token: &str,
        now: DateTime<Utc>,
    ) -> Option<&CustomerSession> {
        self.customer_sessions.iter().find(|session| {
            session.owner.shop == shop && session.access_token == access_token && now < session.expires_at
        })
    }
}
