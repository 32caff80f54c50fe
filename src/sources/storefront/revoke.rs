//! Revokes storefront tokens: each with what created it, by its id, whether or not it is listed.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secrecy::SecretString;

use super::super::{Refused, Revoked, Target, Turn, blame};
use crate::{
    core::{
        failure::Failure,
        observed::Former,
        ours::Ours,
        record::Previous,
        source::{AdminToken, App},
        vocabulary::Reason,
    },
    shopify::{AdminAccess, ApiError, Deleted},
    time::Timestamp,
};

/// How long a token that was just granted may be refused before that says that its app was uninstalled.
const GRANT_SETTLES: TimeDelta = TimeDelta::seconds(60);

/// Revokes one token, or all that were ever created for the object.
pub(in crate::sources) async fn revoke(
    turn: &Turn<'_>,
    admin: &AdminToken,
    target: Target<'_>,
) -> Result<Revoked, Refused> {
    match target {
        Target::One(old) => revoke_one(turn, admin, old).await,
        Target::All => revoke_all(turn, admin).await,
    }
}

async fn revoke_one(turn: &Turn<'_>, current: &AdminToken, old: &Previous) -> Result<Revoked, Refused> {
    let (admin, former) = match turn.observed.former.get(&old.id) {
        Some(Former::Ready(admin)) => (admin, true),
        // Another app's token would be told that the old one is gone.
        Some(Former::NotReady(failure)) => return Err(failure.clone().into()),
        Some(Former::Gone) => return Ok(left_behind(&old.id)),
        None => (current, false),
    };
    let Some(token) = &admin.token else {
        if former {
            return with_admin(turn, admin, &[&old.id], false).await;
        }
        let message = format!("ShopifyToken {:?} has no token to revoke with", admin.name);
        return Err(Failure::new(Reason::AdminTokenNotReady, message).into());
    };
    match turn.shopify.delete_storefront_token(&turn.access(admin, token), &old.id).await {
        Ok(Deleted::Gone | Deleted::AlreadyGone) => Ok(Revoked { count: 1, left: None }),
        Err(error) => Err(blame(admin, error)),
    }
}

/// With the admin token that the spec names, and with whatever created those that still live: another app's list
/// doesn't know them.
async fn revoke_all(turn: &Turn<'_>, current: &AdminToken) -> Result<Revoked, Refused> {
    let observed = turn.observed;
    let own: Vec<&str> = observed.record().map_or_else(Vec::new, |record| {
        record.ids().filter(|id| !observed.former.contains_key(*id)).map(String::as_str).collect()
    });
    let mut revoked = with_admin(turn, current, &own, true).await?;
    for (id, former) in &observed.former {
        revoked = revoked.and(match former {
            Former::Ready(admin) => with_admin(turn, admin, &[id], true).await?,
            Former::NotReady(failure) => return Err(failure.clone().into()),
            Former::Gone => left_behind(id),
        });
    }
    Ok(revoked)
}

fn left_behind(id: &str) -> Revoked {
    let message = "what created it is gone: neither its admin token nor its app is in this namespace any more";
    Revoked::none_of(&[id], Failure::new(Reason::AdminTokenNotReady, message))
}

/// Revokes with one admin token, or with a fresh one of its app: these ids, and what else its list knows as ours.
async fn with_admin(turn: &Turn<'_>, admin: &AdminToken, ids: &[&str], listed: bool) -> Result<Revoked, Refused> {
    let spare = || Some(turn.memory.spare(admin.app.as_ref()?, turn.shop, turn.now())?.0);
    if let Some(token) = admin.token.clone().or_else(spare) {
        match delete(turn, &turn.access(admin, &token), ids, listed).await {
            Err(ApiError::Unauthorized(_)) => {}
            ended => return conclude(ended, ids),
        }
    }
    // The token at hand is dead, or there is none: only a fresh one can tell.
    let Some(app) = &admin.app else {
        let message =
            format!("{} refuses the token of ShopifyToken {:?}, and no other can be had", turn.shop, admin.name);
        return Ok(Revoked::none_of(ids, Failure::new(Reason::AdminTokenNotReady, message)));
    };
    let (token, granted_at) = match fresh(turn, app).await {
        Ok(fresh) => fresh,
        Err(failure)
            if matches!(failure.reason, Reason::AppNotInstalled | Reason::ShopNotFound | Reason::ShopNotPermitted) =>
        {
            return Ok(Revoked::none_of(ids, failure));
        }
        Err(failure) => return Err(failure.into()),
    };
    match delete(turn, &turn.access(admin, &token), ids, listed).await {
        // A token that was just granted may be refused for a moment.
        Err(ApiError::Unauthorized(_)) if turn.now() < granted_at + GRANT_SETTLES => {
            let message = format!("{} refuses a token that it granted a moment ago; trying again", turn.shop);
            // Waiting, not failing: nobody has to hear of it.
            Err(Failure::new(Reason::Revoking, message).into())
        }
        Err(ApiError::Unauthorized(_)) => {
            let message = format!(
                "{} refuses a token that it granted a minute ago: the app was uninstalled there, and its tokens are dead",
                turn.shop
            );
            Ok(Revoked::none_of(ids, Failure::new(Reason::AppNotInstalled, message)))
        }
        ended => conclude(ended, ids),
    }
}

/// An admin token issued to revoke with, and when: the same one until it has had time to settle.
async fn fresh(turn: &Turn<'_>, app: &App) -> Result<(SecretString, Timestamp), Failure> {
    let _turn = turn.memory.turn(&app.key, turn.shop).await;
    if let Some(spare) = turn.memory.spare(app, turn.shop, turn.now()) {
        return Ok(spare);
    }
    let fresh = turn.shopify.client_credentials(turn.shop, &app.client_id, &app.client_secret, turn.now()).await?;
    let spare = (fresh.value.clone(), fresh.issued_at);
    turn.memory.keep(app, turn.shop, fresh);
    Ok(spare)
}

/// 403: the right to revoke was lost, and waiting won't bring it back.
fn conclude(ended: Result<usize, ApiError>, ids: &[&str]) -> Result<Revoked, Refused> {
    match ended {
        Ok(count) => Ok(Revoked { count, left: None }),
        Err(ApiError::Forbidden(failure)) => Ok(Revoked::none_of(ids, failure)),
        Err(error) => Err(error.into()),
    }
}

/// Deletes these ids, whether or not they are listed, and what the list knows as ours. How many there were.
async fn delete(turn: &Turn<'_>, access: &AdminAccess, ids: &[&str], listed: bool) -> Result<usize, ApiError> {
    let mut count = 0;
    let mut known: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    if listed {
        let list = turn.shopify.list_storefront_tokens(access).await?;
        known.extend(Ours::among(&list.tokens, turn.observed).ids().map(str::to_owned));
    }
    for id in &known {
        match turn.shopify.delete_storefront_token(access, id).await? {
            Deleted::Gone => count += 1,
            Deleted::AlreadyGone => {}
        }
    }
    Ok(count)
}
