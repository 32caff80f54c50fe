//! Revokes at Shopify: each credential with what created it, whether or not it is listed.

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{Refused, Revoked, Target, Turn, blame, memory::Spare};
use crate::{
    core::{
        failure::Failure,
        observed::Former,
        ours::Ours,
        previous::id_of,
        source::{AdminToken, App, nature},
        vocabulary::Reason,
    },
    shopify::{AdminAccess, ApiError, Deleted, Destroyed},
};

/// How long a token that was just granted may be refused before that says that its app was uninstalled.
const GRANT_SETTLES: TimeDelta = TimeDelta::seconds(60);
/// How long after its grant such a token tells that of its app.
const GRANT_TELLS: TimeDelta = TimeDelta::minutes(10);

/// Revokes one token, or all that were ever created for the object. An attempt that fails leaves what has ended to be told
/// by the one that doesn't; of a deletion all is told until the object is gone.
pub(super) async fn revoke(turn: &Turn<'_>, admin: &AdminToken, target: Target<'_>) -> Result<Revoked, Refused> {
    let (uid, goes) = (&turn.observed.identity.uid, matches!(target, Target::All));
    let Revoked { mut ended, left } = attempt(turn, admin, target).await?;
    ended.extend(if goes { turn.memory.ended_so_far(uid) } else { turn.memory.take_ended(uid) });
    Ok(Revoked { ended, left })
}

async fn attempt(turn: &Turn<'_>, admin: &AdminToken, target: Target<'_>) -> Result<Revoked, Refused> {
    match target {
        Target::One(old) if old.expired(turn.now()) => Ok(Revoked::default()),
        Target::One(old) => match Named::of(turn, &old.id) {
            Some(named) => revoke_one(turn, admin, &old.id, named).await,
            None => Ok(lost(&old.id)),
        },
        Target::Made(made) => {
            let id = made.token_id.as_deref().unwrap_or_default();
            let named = if by_value(turn) { Named::Value(made.value.clone()) } else { Named::Id(id) };
            revoke_one(turn, admin, id, named).await
        }
        Target::All => revoke_all(turn, admin).await,
    }
}

/// How Shopify is told which credential is meant.
enum Named<'a> {
    Id(&'a str),
    Value(SecretString),
}

impl<'a> Named<'a> {
    /// `None` for a value that is in no Secret any more.
    fn of(turn: &Turn<'_>, id: &'a str) -> Option<Self> {
        if !by_value(turn) {
            return Some(Self::Id(id));
        }
        let stored = turn.observed.stored_values();
        stored.into_iter().find(|value| id_of(value) == id).map(Self::Value)
    }
}

fn by_value(turn: &Turn<'_>) -> bool {
    nature(turn.observed.kind).by_value
}

async fn revoke_one(turn: &Turn<'_>, current: &AdminToken, id: &str, named: Named<'_>) -> Result<Revoked, Refused> {
    let (admin, former) = match turn.observed.former.get(id) {
        Some(Former::Ready(admin)) => (&**admin, true),
        // Another app's token would be told that the old one is gone.
        Some(Former::NotReady(failure)) => return Err(failure.clone().into()),
        Some(Former::Gone) => return Ok(left_behind(id)),
        None => (current, false),
    };
    let Some(token) = &admin.token else {
        if former {
            return with_admin(turn, admin, &[id], false).await;
        }
        let message = format!("ShopifyToken {:?} has no token to revoke with", admin.name);
        return Err(Failure::new(Reason::AdminTokenNotReady, message).into());
    };
    match undo(turn, &turn.access(admin, token), &named).await {
        Ok(_) => Ok(Revoked { ended: vec![id.to_owned()], left: None }),
        Err(error) => Err(blame(admin, error)),
    }
}

/// With the admin token that the spec names, and with whatever created those that still live: another app's list
/// doesn't know them. One that can't be revoked yet keeps no other alive.
async fn revoke_all(turn: &Turn<'_>, current: &AdminToken) -> Result<Revoked, Refused> {
    let (observed, listed) = (turn.observed, !by_value(turn));
    let inherited: Vec<&str> = observed.inherited().map(String::as_str).collect();
    let ours = |id: &String| !inherited.contains(&id.as_str());
    let recorded = observed.latest().map_or_else(Vec::new, |record| record.living(turn.now()).collect());
    let own = recorded.into_iter().filter(|id| ours(id) && !observed.former.contains_key(*id));
    let (own, no_value): (Vec<&str>, Vec<&str>) = own.map(String::as_str).partition(|id| Named::of(turn, id).is_some());
    let ready = observed.former.iter().filter(|(id, _)| ours(id)).filter_map(|(id, former)| match former {
        Former::Ready(admin) => Some((&**admin, vec![id.as_str()])),
        Former::NotReady(_) | Former::Gone => None,
    });
    let (mut revoked, mut waits) = (Revoked::default(), None);
    for id in no_value {
        revoked = revoked.and(lost(id));
    }
    let work = std::iter::once((current, own)).chain(ready);
    for (admin, ids) in work.filter(|(_, ids)| listed || !ids.is_empty()) {
        match with_admin(turn, admin, &ids, listed).await {
            Ok(more) => revoked = revoked.and(more),
            // Who doesn't answer isn't asked on.
            Err(Refused::Failure(failure)) if failure.unreachable => return Err(failure.into()),
            Err(refused) => waits = waits.or(Some(refused)),
        }
    }
    for (id, former) in observed.former.iter().filter(|(id, _)| ours(id)) {
        match former {
            Former::Ready(_) => {}
            Former::NotReady(failure) => waits = waits.or_else(|| Some(failure.clone().into())),
            Former::Gone => revoked = revoked.and(left_behind(id)),
        }
    }
    if !inherited.is_empty() {
        let message = "the Secret was there before this object, which was deleted before its token was verified: others may work with it";
        revoked = revoked.and(Revoked::none_of(&inherited, Failure::new(Reason::Revoking, message)));
    }
    waits.map_or(Ok(revoked), Err)
}

fn left_behind(id: &str) -> Revoked {
    let message = "what created it is gone: neither its admin token nor its app is in this namespace any more";
    Revoked::none_of(&[id], Failure::new(Reason::AdminTokenNotReady, message))
}

fn lost(id: &str) -> Revoked {
    let message = "its value is in no Secret any more, and Shopify revokes it by that; it ends when it expires";
    Revoked::none_of(&[id], Failure::new(Reason::Revoking, message))
}

/// Revokes with one admin token, or with a fresh one of its app: these ids, and what else its list knows as ours.
async fn with_admin(turn: &Turn<'_>, admin: &AdminToken, ids: &[&str], listed: bool) -> Result<Revoked, Refused> {
    let mut work = Work { ids, left: ids.to_vec(), listed };
    if let Some(token) = &admin.token {
        match delete(turn, &turn.access(admin, token), &mut work).await {
            Err(ApiError::Unauthorized(_)) => {}
            ended => return work.conclude(ended),
        }
        let settles = admin.issued_at.is_some_and(|at| turn.now() < at + GRANT_SETTLES);
        if settles && admin.app.is_none() {
            return Err(refused_a_moment_ago(turn));
        }
    }
    // The token at hand is dead, or there is none: only a fresh one can tell.
    let Some(app) = &admin.app else {
        let message =
            format!("{} refuses the token of ShopifyToken {:?}, and no other can be had", turn.shop, admin.name);
        return Ok(work.given_up(Failure::new(Reason::AdminTokenNotReady, message)));
    };
    let spare = match fresh(turn, app).await {
        Ok(spare) => spare,
        // A shop that isn't there may be closed for a while, or have another name: its tokens live on.
        Err(failure) if matches!(failure.reason, Reason::AppNotInstalled | Reason::ShopNotPermitted) => {
            return Ok(work.given_up(failure));
        }
        Err(failure) => return Err(failure.into()),
    };
    match delete(turn, &turn.access(admin, &spare.value), &mut work).await {
        Err(ApiError::Unauthorized(_)) => refused_fresh(turn, app, &spare).map(|failure| work.given_up(failure)),
        ended => {
            if !matches!(ended, Err(ApiError::Failed(_))) {
                turn.memory.refused(app, turn.shop, &spare, false);
            }
            work.conclude(ended)
        }
    }
}

/// What is to be revoked with one admin token, and how far that has come.
struct Work<'a> {
    /// What the record names.
    ids: &'a [&'a str],
    /// Those of them that aren't known to be gone yet.
    left: Vec<&'a str>,
    /// Whether what else the list knows as ours goes, too.
    listed: bool,
}

impl Work<'_> {
    /// 403: the right to revoke was lost, and waiting won't bring it back.
    fn conclude(self, ended: Result<(), ApiError>) -> Result<Revoked, Refused> {
        match ended {
            Ok(()) => Ok(Revoked::default()),
            Err(ApiError::Forbidden(failure)) => Ok(self.given_up(failure)),
            Err(error) => Err(error.into()),
        }
    }

    fn given_up(self, failure: Failure) -> Revoked {
        Revoked::none_of(&self.left, failure)
    }
}

/// A token that was just granted may be refused for a moment.
fn refused_a_moment_ago(turn: &Turn<'_>) -> Refused {
    let message = format!("{} refuses a token that it granted a moment ago; trying again", turn.shop);
    Failure::new(Reason::Revoking, message).into()
}

/// What it means that Shopify refuses an admin token that was issued to revoke with: why nothing can be
/// revoked any more, or that there is no telling yet.
fn refused_fresh(turn: &Turn<'_>, app: &App, spare: &Spare) -> Result<Failure, Refused> {
    let shop = turn.shop;
    // Waiting, not failing: nobody has to hear of it.
    let again = |message: String| Err(Failure::new(Reason::Revoking, message).into());
    if turn.now() < spare.granted_at + GRANT_SETTLES {
        turn.memory.refused(app, shop, spare, true);
        return Err(refused_a_moment_ago(turn));
    }
    if !spare.refused || turn.now() >= spare.granted_at + GRANT_TELLS {
        // It may have lived until something else ended it, such as a newer grant, or an installation anew.
        turn.memory.discard(app, shop);
        return again(format!("{shop} refuses the token that was kept to revoke with; another one is asked for"));
    }
    let message = format!(
        "{shop} has refused a token since it granted it a minute ago: the app was uninstalled there, and its tokens are dead"
    );
    Ok(Failure::new(Reason::AppNotInstalled, message))
}

/// An admin token issued to revoke with: the same one until it has had time to settle.
async fn fresh(turn: &Turn<'_>, app: &App) -> Result<Spare, Failure> {
    let _alone = turn.memory.issues_alone(&app.key, turn.shop).await;
    if let Some(spare) = turn.memory.spare(app, turn.shop, turn.now()) {
        return Ok(spare);
    }
    let fresh = turn.shopify.client_credentials(turn.shop, &app.client_id, &app.client_secret, turn.now()).await?;
    Ok(turn.memory.keep(app, turn.shop, fresh, turn.now()))
}

/// Deletes what the record names, whether or not it is listed, then what the list knows as ours besides: a list that
/// fails keeps none of them alive.
async fn delete(turn: &Turn<'_>, access: &AdminAccess, work: &mut Work<'_>) -> Result<(), ApiError> {
    while let Some(id) = work.left.last() {
        delete_one(turn, access, id).await?;
        work.left.pop();
    }
    if work.listed {
        let list = turn.shopify.list_storefront_tokens(access).await?;
        let besides = |id: &&str| !work.ids.contains(id) && !turn.observed.inherited().any(|old| old == id);
        for id in Ours::among(&list.tokens, turn.observed).ids().filter(besides) {
            delete_one(turn, access, id).await?;
        }
    }
    Ok(())
}

/// Keeps in mind that it was deleted, and whether it lived until now.
async fn delete_one(turn: &Turn<'_>, access: &AdminAccess, id: &str) -> Result<(), ApiError> {
    let Some(named) = Named::of(turn, id) else { return Ok(()) };
    let (lived, uid) = (undo(turn, access, &named).await?, &turn.observed.identity.uid);
    turn.memory.deleted(uid, id);
    if lived {
        turn.memory.ended(uid, id.to_owned());
    }
    Ok(())
}

/// Says whether it lived until now.
async fn undo(turn: &Turn<'_>, access: &AdminAccess, named: &Named<'_>) -> Result<bool, ApiError> {
    Ok(match named {
        Named::Id(id) => match turn.shopify.delete_storefront_token(access, id).await? {
            Deleted::Gone => true,
            Deleted::AlreadyGone => false,
        },
        Named::Value(value) => match turn.shopify.destroy_delegate(access, value).await? {
            Destroyed::Gone => true,
            Destroyed::AlreadyGone => false,
        },
    })
}
