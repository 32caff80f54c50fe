//! clientCredentials: the OAuth client-credentials grant, asked for anew before each expiry.

use super::{Issued, Origin, Refused, Turn, UnlessWritten};
use crate::core::{previous::PreviousValues, source::App};

/// The grant. Nothing at Shopify lists or revokes what it makes.
pub(super) async fn issue(turn: &Turn<'_>, app: &App) -> Result<Issued, Refused> {
    let grant = turn.shopify.client_credentials(turn.shop, &app.client_id, &app.client_secret, turn.now());
    Ok(Issued {
        credential: grant.await?,
        revision: turn.observed.next_revision(),
        origin: Origin::New,
        admin: None,
        parent: None,
        minted_by: Some(app.mints(&turn.observed.identity)),
        // It may be published when the Secret names another app.
        issuer: Some(app.client_id.clone()),
        served: None,
        discovery: None,
        session: None,
        previous: Vec::new(),
        previous_values: PreviousValues::default(),
        renewed: None,
        unless_written: UnlessWritten::Remember,
    })
}
