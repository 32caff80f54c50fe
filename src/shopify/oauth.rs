//! The token endpoint: every grant is one request, and is refused in the same ways.

mod client_credentials;
mod granted;
mod offline;
mod refusal;
#[cfg(test)]
mod simulated;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};

use self::refusal::{Presented, refusal, with_hint};
pub use self::{offline::Grant, refusal::GrantError};
use super::{Client, Shop, Surface, answer::Answer};
use crate::core::vocabulary::labels::ShopifyCall;

/// A request of the token endpoint.
struct Ask<'a> {
    /// Its name in metrics.
    operation: ShopifyCall,
    /// The parameters beside the app's credentials.
    parameters: &'a [(&'a str, &'a str)],
    /// What those present to be exchanged.
    presented: Option<Presented>,
}

impl Client {
    /// Sends a request of the token endpoint. The answer is a success.
    async fn ask(
        &self,
        shop: &Shop,
        client_id: &str,
        client_secret: &SecretString,
        ask: Ask<'_>,
    ) -> Result<Answer, GrantError> {
        let credentials = [("client_id", client_id), ("client_secret", client_secret.expose_secret())];
        let form = [ask.parameters, &credentials].concat();
        let url = shop.url(&["admin", "oauth", "access_token"]);
        let request = self.request(Method::POST, url).form(&form);
        let answer = self.send(Surface::TokenEndpoint, ask.operation, shop, request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(match refusal(&answer, shop, ask.presented) {
            GrantError::Dead(failure) => GrantError::Dead(failure),
            GrantError::Failed(failure) => GrantError::Failed(with_hint(failure, client_id, client_secret)),
        })
    }
}
