//! Offline tokens: a code is exchanged, a pair refreshed, a token that never expires migrated.
//!
//! <https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens>

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Ask, GrantError, Presented,
    granted::{self, Documented},
};
use crate::{
    core::{
        credential::{Credential, RefreshToken},
        failure::Failure,
        vocabulary::labels::ShopifyCall,
    },
    shopify::{Client, Shop, answer::Answer},
    time::Timestamp,
};

/// Of an expiring offline token: `expires_in` is 3600.
const DOCUMENTED: Documented = Documented { lifetime: TimeDelta::hours(1), words: "60 minutes" };

/// The type of an offline token in a token exchange.
const OFFLINE_TOKEN: &str = "urn:shopify:params:oauth:token-type:offline-access-token";

/// An offline token as the token endpoint grants it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The access token. It never expires only if that was asked for.
    pub credential: Credential,
    /// The refresh token beside it. `None` after a refresh: the one that was used is still the one to use.
    pub refresh: Option<RefreshToken>,
}

impl Client {
    /// Exchanges the authorization code that a merchant's approval brought for an offline token: `expiring`, with a
    /// refresh token, or one that never expires. A pair that was there before can't be refreshed from now on.
    ///
    /// A code works once: if the answer is lost, so is what it brought. `now` is the time before the call.
    ///
    /// # Errors
    /// [`GrantError`]: `Dead` with `ConsentRequired`, for a code that was used or is unknown.
    /// <https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant>
    pub async fn exchange_code(
        &self,
        shop: &Shop,
        client_id: &str,
        client_secret: &SecretString,
        code: &SecretString,
        expiring: bool,
        now: Timestamp,
    ) -> Result<Grant, GrantError> {
        let ask = Ask {
            operation: ShopifyCall::AuthorizationCode,
            parameters: &[("code", code.expose_secret()), ("expiring", if expiring { "1" } else { "0" })],
            presented: Some(Presented::Code),
        };
        let answer = self.ask(shop, client_id, client_secret, ask).await?;
        let read = if expiring { granted::credential } else { granted::credential_or_lasting };
        Ok(grant(read(&answer, shop, now, &DOCUMENTED)?, &answer, shop, now)?)
    }

    /// Asks for a new pair with a refresh token. The access token before lives until it expires.
    ///
    /// If the answer is lost, the same refresh token brings it again, until the new one is used, for 30 days at most
    /// (<https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens>). One at a time
    /// for an app and shop. `now` is the time before the call.
    ///
    /// # Errors
    /// [`GrantError`]: `Dead` with `RefreshTokenDead`.
    pub async fn refresh(
        &self,
        shop: &Shop,
        client_id: &str,
        client_secret: &SecretString,
        refresh_token: &SecretString,
        now: Timestamp,
    ) -> Result<Grant, GrantError> {
        let ask = Ask {
            operation: ShopifyCall::RefreshToken,
            parameters: &[("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())],
            presented: Some(Presented::RefreshToken),
        };
        let answer = self.ask(shop, client_id, client_secret, ask).await?;
        Ok(grant(granted::credential(&answer, shop, now, &DOCUMENTED)?, &answer, shop, now)?)
    }

    /// Exchanges a non-expiring offline token for a pair. That revokes it, and can't be undone.
    ///
    /// If the answer is lost, the same token brings it again for 7 days, until the pair is refreshed or replaced
    /// (<https://shopify.dev/docs/apps/build/authentication-authorization/migrate-to-expiring-offline-access-tokens>).
    /// `now` is the time before the call.
    ///
    /// # Errors
    /// [`GrantError`]: `Dead` with `TokenRejected`. Shopify may refuse a dead token in the words for wrong
    /// credentials, too: then the failure is `ambiguous`.
    pub async fn migrate(
        &self,
        shop: &Shop,
        client_id: &str,
        client_secret: &SecretString,
        token: &SecretString,
        now: Timestamp,
    ) -> Result<Grant, GrantError> {
        let ask = Ask {
            operation: ShopifyCall::TokenMigration,
            parameters: &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", token.expose_secret()),
                ("subject_token_type", OFFLINE_TOKEN),
                ("requested_token_type", OFFLINE_TOKEN),
                ("expiring", "1"),
            ],
            presented: Some(Presented::NonExpiringToken),
        };
        let answer = self.ask(shop, client_id, client_secret, ask).await?;
        Ok(grant(granted::credential(&answer, shop, now, &DOCUMENTED)?, &answer, shop, now)?)
    }
}

/// An access token with what is beside it.
fn grant(mut credential: Credential, answer: &Answer, shop: &Shop, now: Timestamp) -> Result<Grant, Failure> {
    let Some((refresh, warning)) = granted::refresh_token(answer, shop, now)? else {
        return Ok(Grant { credential, refresh: None });
    };
    let warnings: Vec<String> = credential.warning.into_iter().chain(warning).collect();
    credential.warning = (!warnings.is_empty()).then(|| warnings.join("; "));
    Ok(Grant { credential, refresh: Some(refresh) })
}

#[cfg(test)]
mod tests;
