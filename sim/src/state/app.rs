//! Apps and their client secrets.

use std::collections::BTreeSet;
use std::time::Duration;

use super::State;
use crate::config::{AppConfig, Distribution, ExpiresIn};
use crate::error::Unknown;

/// An app of the Dev Dashboard, or a legacy custom app.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) id: u64,
    pub(crate) client_id: String,
    /// Oldest first.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) title: String,
    pub(crate) organization: String,
    pub(crate) distribution: Distribution,
    pub(crate) redirect_urls: Vec<String>,
    /// What is asked for where an approval names no scopes.
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) token_lifetime: Duration,
    pub(crate) offline_lifetime: Duration,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) expires_in: ExpiresIn,
    /// How often a grant was answered with a token.
    pub(crate) granted: u64,
    /// How often a grant was refused for its client secret.
    pub(crate) secrets_rejected: u64,
}

/// A client secret. "Your old secret stays active until you revoke it."
/// (<https://shopify.dev/docs/apps/build/authentication-authorization/manage-credentials>)
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) value: String,
    pub(crate) revoked: bool,
}

impl App {
    pub(crate) fn gid(&self) -> String {
        format!("gid://shopify/App/{}", self.id)
    }

    /// The title as it stands in URLs.
    pub(crate) fn handle(&self) -> String {
        self.title.to_lowercase().replace(' ', "-")
    }

    pub(crate) fn has_live_secret(&self, value: &str) -> bool {
        self.secrets.iter().any(|secret| secret.value == value && !secret.revoked)
    }

    pub(crate) fn oldest_secret(&self) -> Option<&str> {
        self.live_secrets().next()
    }

    pub(crate) fn newest_secret(&self) -> Option<&str> {
        self.live_secrets().next_back()
    }

    fn live_secrets(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.secrets.iter().filter(|secret| !secret.revoked).map(|secret| secret.value.as_str())
    }

    pub(crate) fn add_secret(&mut self, value: String) {
        // Secrets are never reused at Shopify; here the newest state of one counts.
        self.secrets.retain(|secret| secret.value != value);
        self.secrets.push(Secret { value, revoked: false });
    }

    pub(crate) fn revoke_secret(&mut self, value: &str) -> Result<(), Unknown> {
        let secret = self
            .secrets
            .iter_mut()
            .find(|secret| secret.value == value)
            .ok_or_else(|| Unknown::Secret(self.client_id.clone()))?;
        secret.revoked = true;
        Ok(())
    }
}

impl State {
    /// Adds an app with its installations, or changes the one of that client id.
    pub(crate) fn put_app(&mut self, config: AppConfig) -> Result<(), Unknown> {
        let (id, granted, secrets_rejected) = match self.apps.get(&config.client_id) {
            Some(app) => (app.id, app.granted, app.secrets_rejected),
            None => (self.next_id(), 0, 0),
        };
        let client_id = config.client_id;
        let mut app = App {
            id,
            client_id: client_id.clone(),
            secrets: Vec::new(),
            title: config.title,
            organization: config.organization,
            distribution: config.distribution,
            redirect_urls: config.redirect_urls,
            scopes: config.scopes,
            token_lifetime: config.token_lifetime,
            offline_lifetime: config.offline_lifetime,
            refresh_lifetime: config.refresh_lifetime,
            expires_in: config.expires_in,
            granted,
            secrets_rejected,
        };
        for secret in config.client_secrets {
            app.add_secret(secret);
        }
        self.apps.insert(client_id.clone(), app);
        for installation in config.installations {
            self.install(&installation.shop, &client_id, installation.scopes)?;
            if let Some(value) = installation.admin_token {
                self.keep_admin_token(&installation.shop, &client_id, value)?;
            }
        }
        Ok(())
    }
}
