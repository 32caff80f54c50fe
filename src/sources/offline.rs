//! offline: the pair at hand is published; it is refreshed with its refresh token, or with the one before it.
//!
//! Shopify takes the refresh token that was used for as long as the one it brought wasn't, so that an answer which was lost
//! is had again (<https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens>).

use secrecy::SecretString;

use super::{Issued, Origin, Refused, Renewed, Turn, UnlessWritten, probe};
use crate::{
    core::{
        approvals::Code,
        credential::{Credential, RefreshToken, same},
        failure::Failure,
        keeper,
        minted::BROUGHT,
        offline::{Next, remedy},
        pair::{Access, Pair},
        plan::Why,
        previous::PreviousValues,
        source::{App, Offline},
        vocabulary::Reason,
    },
    shopify::{ApiError, Grant, GrantError, Granted},
};

/// Publishes what is at hand, or has another pair.
pub(super) async fn issue(turn: &Turn<'_>, offline: &Offline, why: Why) -> Result<Issued, Refused> {
    match offline.next(turn.observed, why, turn.now())? {
        Next::Exchange(code) => exchanged(turn, offline, code).await,
        Next::Publish(access) => publish(turn, offline, access, why).await,
        Next::Refresh(refresh) => refreshed(turn, offline, refresh).await,
        Next::Migrate(token) => migrated(turn, offline, token).await,
    }
}

/// Shopify is asked only for what nobody knows yet: the scopes of a token that a person has brought, and whether one
/// without an end works.
async fn publish(turn: &Turn<'_>, offline: &Offline, access: &Access, why: Why) -> Result<Issued, Refused> {
    let observed = turn.observed;
    let held = observed.whole().filter(|whole| same(whole.value, &access.value) && !observed.outdated());
    let refresh = offline.pair().and_then(|pair| pair.refresh.as_ref());
    let known = access.known_scopes();
    let Granted { scopes, served } = match known {
        Some(scopes) => Granted { scopes: scopes.clone(), served: None },
        None => match (probe::granted_scopes(turn, &access.value).await, refresh) {
            (Ok(granted), _) => granted,
            (Err(ApiError::Unauthorized(_)), Some(refresh)) => return refreshed(turn, offline, refresh).await,
            // News of the credential that applications hold; the next look finds it rejected, and stalls.
            (Err(ApiError::Unauthorized(_)), None) if held.is_some() && why != Why::Rejected => {
                return Err(Refused::Dead(probe::REFUSED));
            }
            (Err(ApiError::Unauthorized(_)), None) => return Err(rejected(turn).into()),
            (Err(error), _) => return Err(error.into()),
        },
    };
    let anew = if known.is_some() { Origin::Recorded } else { Origin::New };
    let (revision, issued_at, origin) = match held {
        Some(whole) => (whole.record.revision, whole.record.issued_at, Origin::Same),
        None => (observed.next_revision(), access.since(turn.now()), anew),
    };
    let credential = Credential {
        value: access.value.clone(),
        token_id: None,
        scopes,
        issued_at,
        expires_at: access.expires_at,
        warning: None,
    };
    let lone = refresh.is_none().then(|| BROUGHT.to_owned());
    let minted_by = access.minted_by.clone().or(lone);
    Ok(Issued { minted_by, ..issued(offline, credential, revision, origin, served, None) })
}

/// A new pair. The refresh token before the current one is tried once where that is dead: then it was never used.
async fn refreshed(turn: &Turn<'_>, offline: &Offline, refresh: &RefreshToken) -> Result<Issued, Refused> {
    let previous = offline.pair().and_then(|pair| pair.previous_refresh.as_ref());
    let (grant, used) = match ask(turn, offline, &refresh.value).await {
        Ok(grant) => (grant, &refresh.value),
        Err(GrantError::Failed(failure)) => return Err(failure.into()),
        Err(GrantError::Dead(_)) => match previous {
            None => return Err(dead(turn).into()),
            Some(previous) => match ask(turn, offline, previous).await {
                Ok(grant) => (grant, previous),
                Err(GrantError::Failed(failure)) => return Err(failure.into()),
                Err(GrantError::Dead(_)) => return Err(dead(turn).into()),
            },
        },
    };
    let used = RefreshToken { value: used.clone(), expires_at: refresh.expires_at };
    let (refresh, previous) = keeper::kept(grant.refresh, &used, previous);
    Ok(renewed(turn, offline, grant.credential, Some(refresh), previous, Origin::New))
}

async fn ask(turn: &Turn<'_>, offline: &Offline, token: &SecretString) -> Result<Grant, GrantError> {
    let app = &offline.app;
    turn.shopify.refresh(turn.shop, &app.client_id, &app.client_secret, token, turn.now()).await
}

/// The code of an approval, exchanged for a new beginning. An answer that is lost can't be had again: the next attempt
/// hears that the code was used.
async fn exchanged(turn: &Turn<'_>, offline: &Offline, code: &Code) -> Result<Issued, Refused> {
    let App { client_id, client_secret, .. } = &offline.app;
    let asked =
        turn.shopify.exchange_code(turn.shop, client_id, client_secret, &code.value, offline.expiring, turn.now());
    match asked.await {
        Ok(Grant { credential, refresh }) => {
            let issued = renewed(turn, offline, credential, refresh, None, Origin::New);
            Ok(Issued {
                renewed: issued.renewed.map(|pair| Renewed { spent: Some(code.state.clone()), ..pair }),
                ..issued
            })
        }
        Err(GrantError::Dead(failure)) => {
            let message = format!(
                "{}; if an exchange before this one was answered and the answer was lost, what it brought can't be had again",
                failure.message
            );
            Err(Refused::CodeDead(Failure { message, ..failure }))
        }
        Err(GrantError::Failed(failure)) => Err(failure.into()),
    }
}

/// The exchange of a token that never expires. Asked again with the same token, it brings the same pair for seven days.
async fn migrated(turn: &Turn<'_>, offline: &Offline, token: &SecretString) -> Result<Issued, Refused> {
    let app = &offline.app;
    let grant = turn.shopify.migrate(turn.shop, &app.client_id, &app.client_secret, token, turn.now()).await;
    match grant {
        Ok(Grant { credential, refresh: Some(refresh) }) => {
            Ok(renewed(turn, offline, credential, Some(refresh), None, Origin::Migrated))
        }
        Ok(Grant { refresh: None, .. }) => {
            let message = format!("{} exchanged the token for one without a refresh token", turn.shop);
            Err(Failure::new(Reason::UnexpectedAnswer, message).into())
        }
        Err(GrantError::Dead(_)) => Err(rejected(turn).into()),
        // The words for wrong credentials are those for a dead token, too.
        Err(GrantError::Failed(failure)) if failure.ambiguous => match probe::granted_scopes(turn, token).await {
            Err(ApiError::Unauthorized(_)) => Err(rejected(turn).into()),
            Ok(_) | Err(_) => Err(failure.into()),
        },
        Err(GrantError::Failed(failure)) => Err(failure.into()),
    }
}

fn renewed(
    turn: &Turn<'_>,
    offline: &Offline,
    credential: Credential,
    refresh: Option<RefreshToken>,
    previous_refresh: Option<SecretString>,
    origin: Origin,
) -> Issued {
    let access = Access {
        value: credential.value.clone(),
        issued_at: Some(credential.issued_at),
        expires_at: credential.expires_at,
        scopes: Some(credential.scopes.clone()),
        minted_by: Some(offline.app.mints(&turn.observed.identity)),
    };
    let pair = Pair { access: Some(access), refresh, previous_refresh };
    let replaces = offline.pair().and_then(Pair::secret).cloned();
    let minted_by = pair.access.as_ref().and_then(|access| access.minted_by.clone());
    let renewed = Renewed { pair, replaces, begun: offline.begun().map(str::to_owned), spent: None, customer: None };
    let revision = turn.observed.next_revision();
    Issued { minted_by, ..issued(offline, credential, revision, origin, None, Some(renewed)) }
}

fn issued(
    offline: &Offline,
    credential: Credential,
    revision: i64,
    origin: Origin,
    served: Option<String>,
    renewed: Option<Renewed>,
) -> Issued {
    Issued {
        credential,
        revision,
        origin,
        admin: None,
        parent: None,
        minted_by: None,
        issuer: Some(offline.app.client_id.clone()),
        served,
        discovery: None,
        session: None,
        previous: Vec::new(),
        previous_values: PreviousValues::default(),
        renewed,
        // The record Secret is written first, and read again.
        unless_written: UnlessWritten::Nothing,
    }
}

fn dead(turn: &Turn<'_>) -> Failure {
    let message = format!(
        "{} refuses the refresh token, and the one before it: the app was uninstalled there, another token was acquired, or it wasn't used for 90 days; {}",
        turn.shop,
        remedy(turn.observed.install_url.as_deref())
    );
    Failure::new(Reason::RefreshTokenDead, message)
}

fn rejected(turn: &Turn<'_>) -> Failure {
    let message = format!(
        "{} refuses the access token of source.offline.bootstrapRef (401): it was revoked, migrated before, or belongs to another shop; put a working one, or a refresh token, there",
        turn.shop
    );
    Failure::new(Reason::TokenRejected, message)
}
