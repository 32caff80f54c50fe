//! custom: a permanent token that a person put in a Secret; verified live, then republished.

use secrecy::SecretString;

use super::{Issued, Origin, Refused, Turn, UnlessWritten, probe};
use crate::{
    core::{
        credential::{Credential, mishap, same},
        failure::Failure,
        plan::Why,
        previous::PreviousValues,
        vocabulary::Reason,
    },
    shopify::{ApiError, Granted},
};

/// Verifies the person's token.
pub(super) async fn issue(turn: &Turn<'_>, value: &SecretString, why: Why) -> Result<Issued, Refused> {
    let observed = turn.observed;
    let held = observed.whole().filter(|whole| same(whole.value, value) && !observed.outdated());
    let Granted { scopes, served } = match probe::granted_scopes(turn, value).await {
        Ok(granted) => granted,
        // News of the credential that applications hold; the next look finds it rejected, and stalls.
        Err(ApiError::Unauthorized(_)) if held.is_some() && why != Why::Rejected => {
            return Err(Refused::Dead(probe::REFUSED));
        }
        Err(ApiError::Unauthorized(_)) => {
            let hint = mishap(value).map(|mishap| format!("; the value {mishap}")).unwrap_or_default();
            let message = format!(
                "{} refuses the token in the source Secret (401): it was revoked, or belongs to another shop; put a working one there{hint}",
                turn.shop
            );
            return Err(Failure::new(Reason::TokenRejected, message).into());
        }
        Err(error) => return Err(error.into()),
    };
    let (revision, issued_at, origin) = match held {
        Some(whole) => (whole.record.revision, whole.record.issued_at, Origin::Same),
        None => (observed.next_revision(), turn.now(), Origin::New),
    };
    let value = value.clone();
    let credential = Credential { value, token_id: None, scopes, issued_at, expires_at: None, warning: None };
    Ok(Issued {
        credential,
        revision,
        origin,
        admin: None,
        parent: None,
        minted_by: None,
        issuer: None,
        served,
        discovery: None,
        session: None,
        previous: Vec::new(),
        previous_values: PreviousValues::default(),
        renewed: None,
        unless_written: UnlessWritten::Nothing,
    })
}
