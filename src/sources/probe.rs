//! The live probe of an Admin API token: which scopes does the shop grant to the app it belongs to?

use secrecy::SecretString;

use super::{Refused, Seen, Turn};
use crate::{
    api::AdminApi,
    core::{scopes, secret::Whole},
    shopify::{AdminAccess, ApiError, Granted},
};

/// How a shop refuses a credential, after its name.
pub(super) const REFUSED: &str = "refuses the credential (401)";

/// Asks with the token itself: it works if there is an answer.
pub(super) async fn granted_scopes(turn: &Turn<'_>, token: &SecretString) -> Result<Granted, ApiError> {
    let access = AdminAccess {
        shop: turn.shop.clone(),
        token: token.clone(),
        // Both APIs know the token; only this one tells the scopes.
        api: AdminApi::GraphQL,
        version: turn.observed.api_version.clone(),
    };
    turn.shopify.installation_scopes(&access).await
}

/// Verifies a credential that is an Admin API token.
pub(super) async fn verify(turn: &Turn<'_>, whole: &Whole<'_>) -> Result<Seen, Refused> {
    let recorded = &whole.record.scopes;
    match granted_scopes(turn, whole.value).await {
        // The grant's list is collapsed, the installation's may be whole: the same scopes are no news.
        Ok(Granted { scopes, served }) => {
            let scopes = if scopes::equivalent(&scopes, recorded) { recorded.clone() } else { scopes };
            Ok(Seen::Working { scopes, strays: Vec::new(), served })
        }
        Err(ApiError::Unauthorized(_)) => Err(Refused::Dead(REFUSED)),
        Err(error) => Err(error.into()),
    }
}
