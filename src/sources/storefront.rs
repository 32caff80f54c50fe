//! storefront: list first, adopt what is ours, create only what isn't there; revoke what is replaced.
//!
//! A create's answer may be lost, and a crash may come right after it. So the title carries UID and
//! revision, and before anything is created the list is searched for it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{Issued, Origin, Refused, Revoked, Seen, Target, Turn, UnlessWritten, blame};
use crate::{
    api::SourceRef,
    core::{
        credential::Credential,
        failure::Failure,
        marker::Marker,
        observed::{Former, Observed},
        ours::{Current, Ours, StorefrontToken},
        plan::Why,
        record::Previous,
        secret::Whole,
        source::{AdminToken, App},
        vocabulary::Reason,
    },
    shopify::{AdminAccess, ApiError, Deleted, ListedTokens},
};

/// A token just created may take a moment to be known everywhere.
const PROPAGATION: TimeDelta = TimeDelta::minutes(1);

/// Adopts or creates a storefront token.
pub(super) async fn issue(turn: &Turn<'_>, admin: &AdminToken, why: Why) -> Result<Issued, Refused> {
    let observed = turn.observed;
    let Some(token) = &admin.token else { return Err(no_token(admin).into()) };
    let access = turn.access(admin, token);
    let listed = turn.shopify.list_storefront_tokens(&access).await.map_err(|error| blame(admin, error))?;
    let inherited = inherited_scopes(turn, &access, &listed).await.map_err(|error| blame(admin, error))?;
    if let Some(failure) = inherited.and_then(|scopes| observed.lacks_scopes(&scopes)) {
        return Err(failure.into());
    }
    let ours = Ours::among(&listed.tokens, observed);
    let (revision, token, origin) = if let Some((revision, token)) = ours.candidate(why) {
        (revision, token.clone(), Origin::Adopted)
    } else {
        let revision = ours.next_revision();
        let created = turn.shopify.create_storefront_token(&access, &title(observed, revision)).await;
        let created = created.map_err(|error| blame(admin, explain_limit(error, &listed, turn)))?;
        (revision, created, Origin::New)
    };
    let now = turn.now();
    let moved = observed.record().is_some_and(|r| r.admin.as_ref() != Some(&admin.name));
    let previous = ours.previous(Current { id: &token.id, revision, why, moved }, now);
    let value_of = |older: &Previous| listed.tokens.iter().find(|t| t.id == older.id).map(|t| t.value.clone());
    Ok(Issued {
        revision,
        origin,
        admin: Some(admin.name.clone()),
        previous_value: previous.last().and_then(value_of),
        previous,
        unless_written: match origin {
            Origin::New => UnlessWritten::DoubtStray,
            Origin::Adopted | Origin::Same => UnlessWritten::Nothing,
        },
        credential: Credential {
            issued_at: token.created_at.filter(|_| origin == Origin::Adopted).unwrap_or(now),
            value: token.value,
            token_id: Some(token.id),
            scopes: token.scopes,
            expires_at: None,
            warning: None,
        },
    })
}

/// The scopes that a token created now would have: the app's `unauthenticated_*` ones
/// (<https://shopify.dev/docs/api/admin-rest/latest/resources/storefrontaccesstoken>). Only asked for where scopes
/// are required; GraphQL tells them with the list.
async fn inherited_scopes(
    turn: &Turn<'_>,
    access: &AdminAccess,
    listed: &ListedTokens,
) -> Result<Option<Vec<String>>, ApiError> {
    if turn.observed.token.spec.required_scopes.is_empty() {
        return Ok(None);
    }
    let mut scopes = match &listed.granted_scopes {
        Some(granted) => granted.clone(),
        None => turn.shopify.installation_scopes(access).await?,
    };
    scopes.retain(|scope| scope.starts_with("unauthenticated_"));
    Ok(Some(scopes))
}

/// What the user wants to read, then the marker.
fn title(observed: &Observed, revision: i64) -> String {
    let readable = match observed.token.spec.source() {
        Some(SourceRef::Storefront(source)) => source.title.as_deref(),
        Some(
            SourceRef::ClientCredentials(_)
            | SourceRef::Offline(_)
            | SourceRef::Delegate(_)
            | SourceRef::Custom(_)
            | SourceRef::CustomerAccount(_),
        )
        | None => None,
    };
    let marker = Marker { uid: observed.identity.uid.clone(), revision };
    marker.title(readable.unwrap_or(&observed.identity.name))
}

/// At the limit a person wants to know how many of the tokens are the operator's.
fn explain_limit(error: ApiError, listed: &ListedTokens, turn: &Turn<'_>) -> ApiError {
    if error.failure().reason != Reason::LimitReached {
        return error;
    }
    let all = listed.tokens.len();
    let operators = listed.tokens.iter().filter(|t| Marker::parse(&t.title).is_some()).count();
    ApiError::Failed(Failure::new(
        Reason::LimitReached,
        format!(
            "the app has {all} storefront tokens on {}, Shopify's limit; {operators} carry this operator's marker; delete unused ones at Shopify or their ShopifyTokens, and it goes on",
            turn.shop
        ),
    ))
}

fn no_token(admin: &AdminToken) -> Failure {
    let message = format!("ShopifyToken {:?} (adminTokenRef) has no token to use", admin.name);
    Failure::new(Reason::AdminTokenNotReady, message)
}

/// The admin's list knows the token, its scopes and strays; the Storefront API says whether it works.
pub(super) async fn verify(turn: &Turn<'_>, admin: &AdminToken, whole: &Whole<'_>) -> Result<Seen, Refused> {
    let record = whole.record;
    let Some(token) = &admin.token else { return Err(no_token(admin).into()) };
    let access = turn.access(admin, token);
    let listed = turn.shopify.list_storefront_tokens(&access).await.map_err(|error| blame(admin, error))?;
    let Some(current) = listed.tokens.iter().find(|t| Some(&t.id) == record.token_id.as_ref()) else {
        return Err(Refused::Dead("has the storefront token no more: it was deleted there"));
    };
    let works = turn.shopify.probe_storefront_token(turn.shop, &access.version, &current.value).await?;
    if !works && record.issued_at + PROPAGATION > turn.now() {
        return Ok(Seen::TooEarly);
    }
    if !works {
        return Err(Refused::Dead("lists the storefront token, and its Storefront API refuses it"));
    }
    let strays = Ours::among(&listed.tokens, turn.observed).strays(record, turn.now());
    Ok(Seen::Working { scopes: current.scopes.clone(), strays })
}

/// Revokes one token, or all that were ever created for the object.
pub(super) async fn revoke(turn: &Turn<'_>, admin: &AdminToken, target: Target<'_>) -> Result<Revoked, Refused> {
    match target {
        Target::One(old) => revoke_one(turn, admin, old).await,
        Target::All => revoke_all(turn, admin).await,
    }
}

async fn revoke_one(turn: &Turn<'_>, current: &AdminToken, old: &Previous) -> Result<Revoked, Refused> {
    let former = old.admin.as_ref().filter(|name| **name != current.name).and_then(|n| turn.observed.former.get(n));
    let admin = match former {
        Some(Former::Ready(admin)) => admin,
        // Another app's token would be told that the old one is gone.
        Some(Former::NotReady(failure)) => return Err(failure.clone().into()),
        // Gone for good: the current one may belong to the same app.
        Some(Former::Gone) | None => current,
    };
    let Some(token) = &admin.token else {
        let message = format!("ShopifyToken {:?} has no token to revoke with", admin.name);
        return Err(Failure::new(Reason::AdminTokenNotReady, message).into());
    };
    match turn.shopify.delete_storefront_token(&turn.access(admin, token), &old.id).await {
        Ok(Deleted::Gone | Deleted::AlreadyGone) => Ok(Revoked { count: 1, left: None }),
        Err(error) => Err(blame(admin, error)),
    }
}

/// With the admin token that the spec names, and with those that tokens which still live were created with before:
/// another app's list doesn't know them.
async fn revoke_all(turn: &Turn<'_>, current: &AdminToken) -> Result<Revoked, Refused> {
    let mut revoked = revoke_listed_by(turn, current).await?;
    for (name, former) in turn.observed.former.iter().filter(|(name, _)| **name != current.name) {
        let also = match former {
            Former::Ready(admin) => revoke_listed_by(turn, admin).await?,
            Former::NotReady(failure) => return Err(failure.clone().into()),
            Former::Gone => {
                let message = format!("ShopifyToken {name:?}, which an older token was created with, is gone");
                Revoked { count: 0, left: Some(Failure::new(Reason::AdminTokenNotReady, message)) }
            }
        };
        revoked = Revoked { count: revoked.count + also.count, left: also.left.or(revoked.left) };
    }
    Ok(revoked)
}

/// Revokes every token of the object that one admin token's list knows.
async fn revoke_listed_by(turn: &Turn<'_>, admin: &AdminToken) -> Result<Revoked, Refused> {
    let spare = || turn.memory.spare(&admin.app.as_ref()?.key, turn.shop, turn.now());
    if let Some(token) = admin.token.clone().or_else(spare) {
        match revoke_listed(turn, &turn.access(admin, &token)).await {
            Err(ApiError::Unauthorized(_)) => {}
            ended => return conclude(ended),
        }
    }
    // The token at hand is dead, or there is none: only a fresh one can tell.
    let Some(app) = &admin.app else {
        let message =
            format!("{} refuses the token of ShopifyToken {:?}, and no other can be had", turn.shop, admin.name);
        return Ok(Revoked { count: 0, left: Some(Failure::new(Reason::AdminTokenNotReady, message)) });
    };
    let token = match fresh(turn, app).await {
        Ok(token) => token,
        Err(failure)
            if matches!(failure.reason, Reason::AppNotInstalled | Reason::ShopNotFound | Reason::ShopNotPermitted) =>
        {
            return Ok(Revoked { count: 0, left: Some(failure) });
        }
        Err(failure) => return Err(failure.into()),
    };
    match revoke_listed(turn, &turn.access(admin, &token)).await {
        // Refused with a token issued a moment ago: the app was uninstalled, and its tokens are dead.
        Err(ApiError::Unauthorized(_)) => Ok(Revoked::default()),
        ended => conclude(ended),
    }
}

/// An admin token issued to revoke with.
async fn fresh(turn: &Turn<'_>, app: &App) -> Result<SecretString, Failure> {
    let _turn = turn.memory.turn(&app.key, turn.shop).await;
    let fresh = turn.shopify.client_credentials(turn.shop, &app.client_id, &app.client_secret, turn.now()).await?;
    let token = fresh.value.clone();
    turn.memory.keep(&app.key, turn.shop, fresh);
    Ok(token)
}

/// 403: the right to revoke was lost, and waiting won't bring it back.
fn conclude(ended: Result<usize, ApiError>) -> Result<Revoked, Refused> {
    match ended {
        Ok(count) => Ok(Revoked { count, left: None }),
        Err(ApiError::Forbidden(failure)) => Ok(Revoked { count: 0, left: Some(failure) }),
        Err(error) => Err(error.into()),
    }
}

/// Those the list knows by marker, and those of it that the record knows.
async fn revoke_listed(turn: &Turn<'_>, access: &AdminAccess) -> Result<usize, ApiError> {
    let listed = turn.shopify.list_storefront_tokens(access).await?;
    let recorded = turn.observed.record().map_or(&[][..], |r| &r.previous);
    let known = |t: &&StorefrontToken| recorded.iter().any(|p| p.id == t.id);
    let mut ids: BTreeSet<&str> = Ours::among(&listed.tokens, turn.observed).ids().collect();
    ids.extend(listed.tokens.iter().filter(known).map(|t| t.id.as_str()));
    for id in &ids {
        turn.shopify.delete_storefront_token(access, id).await?;
    }
    Ok(ids.len())
}
