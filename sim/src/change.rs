//! Everything a merchant, a developer or Shopify itself may do meanwhile, and
//! the faults and cuts of a test.

use std::time::Duration;

use crate::config::{AppConfig, CustomerClientConfig, ExpiresIn, ShopConfig};
use crate::error::Unknown;
use crate::fault::{CutMode, Fault};
use crate::faults::FaultId;
use crate::inspect::LiveStorefrontToken;
use crate::shopify::Shopify;
use crate::state::{Owner, ShopState, StorefrontToken};
use crate::switches::Switches;

impl Shopify {
    /// Adds a shop, or changes the one of that domain.
    pub fn add_shop(&self, shop: ShopConfig) {
        self.state().put_shop(shop);
    }

    /// Opens, freezes, locks or closes a shop.
    pub fn set_shop_state(&self, shop: &str, state: ShopState) -> Result<(), Unknown> {
        self.state().shop_mut(shop)?.state = state;
        Ok(())
    }

    /// Adds an app with its installations, or changes the one of that client id.
    pub fn add_app(&self, app: AppConfig) -> Result<(), Unknown> {
        self.state().put_app(app)
    }

    /// Installs an app on a shop; sets the scopes if it is installed already.
    pub fn install<S: Into<String>>(
        &self,
        shop: &str,
        client_id: &str,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<(), Unknown> {
        let scopes = scopes.into_iter().map(Into::into).collect();
        self.state().install(shop, client_id, scopes)
    }

    /// Uninstalls an app: its tokens on that shop die.
    pub fn uninstall(&self, shop: &str, client_id: &str) -> Result<(), Unknown> {
        self.state().uninstall(&Owner::new(shop, client_id))
    }

    /// Changes what is granted to an app that is installed.
    pub fn set_scopes<S: Into<String>>(
        &self,
        shop: &str,
        client_id: &str,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<(), Unknown> {
        let owner = Owner::new(shop, client_id);
        let mut state = self.state();
        state.installation(&owner)?;
        let scopes = scopes.into_iter().map(Into::into).collect();
        state.install(shop, client_id, scopes)
    }

    /// Makes this the app's only live client secret; tokens minted by others die.
    pub fn set_secret(&self, client_id: &str, value: impl Into<String>) -> Result<(), Unknown> {
        let mut state = self.state();
        let app = state.app_mut(client_id)?;
        for secret in &mut app.secrets {
            secret.revoked = true;
        }
        app.add_secret(value.into());
        Ok(())
    }

    /// Adds a client secret; the others stay live.
    pub fn add_secret(&self, client_id: &str, value: impl Into<String>) -> Result<(), Unknown> {
        self.state().app_mut(client_id)?.add_secret(value.into());
        Ok(())
    }

    /// Revokes a client secret; tokens minted by it die.
    pub fn revoke_secret(&self, client_id: &str, value: &str) -> Result<(), Unknown> {
        self.state().app_mut(client_id)?.revoke_secret(value)
    }

    /// Changes how long client-credentials tokens of an app live.
    pub fn set_token_lifetime(&self, client_id: &str, lifetime: Duration) -> Result<(), Unknown> {
        self.state().app_mut(client_id)?.token_lifetime = lifetime;
        Ok(())
    }

    /// Changes what the token endpoint says in `expires_in`.
    pub fn set_expires_in(&self, client_id: &str, expires_in: ExpiresIn) -> Result<(), Unknown> {
        self.state().app_mut(client_id)?.expires_in = expires_in;
        Ok(())
    }

    /// Adds a client of a shop's Customer Account API, or changes the one of that client id.
    pub fn add_customer_client(&self, shop: &str, client: CustomerClientConfig) -> Result<(), Unknown> {
        let mut state = self.state();
        state.shop(shop)?;
        state.put_customer_client(shop, client);
        Ok(())
    }

    /// Adds a secret of such a client; the others stay live.
    pub fn add_customer_secret(&self, shop: &str, client_id: &str, value: impl Into<String>) -> Result<(), Unknown> {
        self.state().customer_client_mut(&Owner::new(shop, client_id))?.add_secret(value.into());
        Ok(())
    }

    /// Revokes a secret of such a client.
    pub fn revoke_customer_secret(&self, shop: &str, client_id: &str, value: &str) -> Result<(), Unknown> {
        let owner = Owner::new(shop, client_id);
        let revoked = self.state().customer_client_mut(&owner)?.revoke_secret(value);
        if revoked { Ok(()) } else { Err(Unknown::Secret(owner.client_id)) }
    }

    /// Removes a client of a shop's Customer Account API, and its customers' sessions.
    pub fn remove_customer_client(&self, shop: &str, client_id: &str) -> Result<(), Unknown> {
        let owner = Owner::new(shop, client_id);
        let mut state = self.state();
        state.customer_client_mut(&owner)?;
        state.customer_clients.remove(&owner);
        state.customer_sessions.retain(|session| session.owner != owner);
        Ok(())
    }

    /// Changes what the token endpoint says in `expires_in` to such a client.
    pub fn set_customer_expires_in(&self, shop: &str, client_id: &str, expires_in: ExpiresIn) -> Result<(), Unknown> {
        self.state().customer_client_mut(&Owner::new(shop, client_id))?.expires_in = expires_in;
        Ok(())
    }

    /// Ends all customers' sessions of a shop before their time.
    pub fn end_customer_sessions(&self, shop: &str) {
        self.state().customer_sessions.retain(|session| session.owner.shop != shop);
    }

    /// Creates a permanent admin token, as a legacy custom app has one.
    pub fn create_admin_token(&self, shop: &str, client_id: &str) -> Result<String, Unknown> {
        let now = self.now();
        self.state().create_admin_token(shop, client_id, now)
    }

    /// Ends an admin token before its time.
    pub fn revoke_admin_token(&self, value: &str) -> Result<(), Unknown> {
        let mut state = self.state();
        let token = state.access_tokens.get_mut(value).ok_or(Unknown::Token)?;
        token.revoked = true;
        Ok(())
    }

    /// Ends a delegate access token before its time, behind everybody's back.
    pub fn destroy_delegate(&self, value: &str) -> Result<(), Unknown> {
        self.state().destroy_delegate(value)
    }

    /// Creates a storefront token as someone else who holds an admin token of
    /// the app would. Neither scopes nor the limit are looked at.
    pub fn create_storefront_token(
        &self,
        shop: &str,
        client_id: &str,
        title: &str,
    ) -> Result<LiveStorefrontToken, Unknown> {
        let now = self.now();
        let owner = Owner::new(shop, client_id);
        let mut state = self.state();
        state.installation(&owner)?;
        let token = state.insert_storefront_token(&owner, title, now);
        Ok(LiveStorefrontToken::from(&token))
    }

    /// Deletes a storefront token behind everybody's back.
    pub fn delete_storefront_token(&self, shop: &str, id: &str) -> Result<(), Unknown> {
        let deleted =
            StorefrontToken::parse_gid(id).is_some_and(|id| self.state().delete_any_storefront_token(shop, id));
        if deleted { Ok(()) } else { Err(Unknown::Token) }
    }

    /// The switches in force.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.state().switches.clone()
    }

    /// Changes the switches in force.
    pub fn set_switches(&self, switches: Switches) {
        self.state().switches = switches;
    }

    /// Changes some switches and leaves the others.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.state().switches);
    }

    /// Retires and releases API versions: these are supported from now on, oldest first.
    pub fn set_api_versions<S: Into<String>>(&self, versions: impl IntoIterator<Item = S>) {
        self.state().api_versions = versions.into_iter().map(Into::into).collect();
    }

    /// Lets a fault strike from now on. The first that fits a call strikes it.
    #[allow(clippy::must_use_candidate, reason = "most faults are never taken back")]
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.faults().arm(fault)
    }

    /// Takes a fault back.
    pub fn clear_fault(&self, id: FaultId) {
        self.faults().disarm(id);
    }

    /// Takes all faults back, and the cut of a sweep.
    pub fn clear_faults(&self) {
        self.faults().disarm_all();
    }

    /// The faults in force; `times` and `skip` are what is left of them.
    #[must_use]
    pub fn armed_faults(&self) -> Vec<(FaultId, Fault)> {
        self.faults().armed()
    }

    /// Cuts the n-th call from now (the first is 0), whatever it is. Counts
    /// from zero again: see [`Shopify::calls_since_mark`].
    pub fn cut_nth(&self, n: u64, mode: CutMode) {
        self.faults().cut_nth(n, mode);
    }

    /// Counts calls from zero again, and takes back a cut.
    pub fn mark(&self) {
        self.faults().mark();
    }

    /// How many calls have come in since [`Shopify::mark`] or
    /// [`Shopify::cut_nth`]. A sweep is over when a run needs no more calls
    /// than the number it cuts.
    #[must_use]
    pub fn calls_since_mark(&self) -> u64 {
        self.faults().calls_since_mark()
    }
}
