//! Revokes at Shopify: what is past its overlap, and everything when the object goes.

use std::collections::BTreeSet;

use super::{
    context::{Context, spare_key, spare_token},
    credentials,
    error::Error,
    observe::Observation,
    outcome::{Acted, Operation, Outcome},
    protect,
    publish::{leave, publish},
    storefront::{access, blame, owned_revision},
};
use crate::{
    core::{
        failure::Failure,
        issuer::{Admin, Issuer},
        plan::{Deletion, Observed},
        record::{Previous, Record},
        vocabulary::{EventReason, Reason},
    },
    shopify::{AdminAccess, ApiError, Deleted, Shop},
};

const ROLLOUT_NOT_FINISHED: &str = "a rollout of spec.rolloutRestartTargets had not finished one overlap after the overlap; the old token was revoked all the same";

/// Revokes what is past its overlap, then takes it out of the Secret.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn end_overlap(context: &Context, observation: &Observation, shop: &Shop) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let (Some(held), Ok(Issuer::Admin(admin))) = (observed.held(), &observed.issuer) else {
        return Ok(Acted::quietly(Outcome::Unchanged));
    };
    let (Some(record), Some(value)) = (&held.record, &held.value) else {
        return Ok(Acted::quietly(Outcome::Unchanged));
    };
    let now = context.now();
    let (due, remaining): (Vec<Previous>, Vec<Previous>) =
        record.previous.iter().cloned().partition(|p| observed.overlap_ended(p, now));
    for old in &due {
        if let Err(failure) = revoke_one(context, observation, shop, admin, old).await? {
            context.setup.metrics.revoked(observed.kind, failure.reason.as_str());
            return Ok(Acted::failed(failure, Operation::Revoke));
        }
        context.setup.metrics.revoked(observed.kind, "success");
    }
    // Only the newest one's value is in the Secret.
    let newest_stays = remaining.last().map(|p| &p.id) == record.previous.last().map(|p| &p.id);
    let previous = held.previous.as_ref().filter(|_| newest_stays);
    let record = Record { previous: remaining, ..record.clone() };
    let note =
        format!("revoked after the overlap: {}", due.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", "));
    Ok(match publish(context, observation, record, value, previous).await? {
        Ok(record) => {
            let acted = Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: false });
            let acted = acted.with(EventReason::Revoked, note);
            if observed.rolling_out { acted.with(EventReason::RolloutNotFinished, ROLLOUT_NOT_FINISHED) } else { acted }
        }
        Err(failed) => failed,
    })
}

async fn revoke_one(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
    current: &Admin,
    old: &Previous,
) -> Result<Result<(), Failure>, Error> {
    let observed = &observation.observed;
    let other = match old.admin.as_deref() {
        Some(name) if name != current.name => {
            match credentials::find_admin(context, &observed.token, name).await? {
                Some(Ok(admin)) => Some(admin),
                // Another app's token would be told that the old one is gone.
                Some(Err(failure)) => return Ok(Err(failure)),
                // Gone for good: the current one may belong to the same app.
                None => None,
            }
        }
        _ => None,
    };
    let admin = other.as_ref().unwrap_or(current);
    let Some(access) = access(shop, admin, admin.token.as_ref()) else {
        let message = format!("ShopifyToken {:?} has no token to revoke with", admin.name);
        return Ok(Err(Failure::new(Reason::AdminTokenNotReady, message)));
    };
    Ok(match context.shopify().delete_storefront_token(&access, &old.id).await {
        Ok(Deleted::Gone | Deleted::AlreadyGone) => Ok(()),
        Err(error) => Err(blame(context, observed, &admin.name, error)),
    })
}

/// Finishes a deletion: revokes at Shopify, leaves the Secret as the policies want it, lets go.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn revoke_and_let_go(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
) -> Result<Acted, Error> {
    let kind = observation.observed.kind;
    let Ok(Issuer::Admin(admin)) = &observation.observed.issuer else {
        return finish(context, observation, None).await;
    };
    let (mut count, mut given_up) = (0, None);
    for admin in admins(context, &observation.observed, admin).await? {
        let revoked = match admin {
            Ok(admin) => revoke_all(context, observation, shop, &admin).await?,
            Err(unable) => unable,
        };
        match revoked {
            Revoked::All(more) => count += more,
            Revoked::GivenUp(failure) => given_up = Some(failure),
            Revoked::NotYet(failure) => {
                context.setup.metrics.revoked(kind, failure.reason.as_str());
                return Ok(Acted::failed(failure, Operation::Revoke));
            }
        }
    }
    let news = if let Some(failure) = given_up {
        give_up(context, observation, &failure)
    } else {
        context.setup.metrics.revoked(kind, "success");
        (EventReason::Revoked, format!("{count} storefront tokens revoked at {shop}"))
    };
    finish(context, observation, Some(news)).await
}

/// The admin token that the spec names, and those that tokens which still live were created with before:
/// another app's list doesn't know them.
async fn admins(context: &Context, observed: &Observed, current: &Admin) -> Result<Vec<Result<Admin, Revoked>>, Error> {
    let mut all = vec![Ok(current.clone())];
    let record = observed.record();
    let names: BTreeSet<&String> =
        record.iter().flat_map(|r| r.admin.iter().chain(r.previous.iter().filter_map(|p| p.admin.as_ref()))).collect();
    for name in names.into_iter().filter(|name| **name != current.name) {
        let gone = || {
            let message = format!("ShopifyToken {name:?}, which an older token was created with, is gone");
            Err(Revoked::GivenUp(Failure::new(Reason::AdminTokenNotReady, message)))
        };
        let found = credentials::find_admin(context, &observed.token, name).await?;
        all.push(found.map_or_else(gone, |admin| admin.map_err(Revoked::NotYet)));
    }
    Ok(all)
}

/// Finishes a deletion without Shopify: nothing to revoke, or no way to.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn let_go(context: &Context, observation: &Observation, how: Deletion) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let news = match (how, &observed.issuer) {
        (Deletion::GiveUp, Err(failure)) => Some(give_up(context, observation, failure)),
        (Deletion::GiveUp, Ok(_)) => {
            let message = format!("{} let nothing be revoked within --revocation-timeout", observed.token.spec.shop);
            Some(give_up(context, observation, &Failure::new(Reason::BackingOff, message)))
        }
        (Deletion::LetGo | Deletion::Revoke, _) => None,
    };
    finish(context, observation, news).await
}

async fn finish(
    context: &Context,
    observation: &Observation,
    news: Option<(EventReason, String)>,
) -> Result<Acted, Error> {
    let observed = &observation.observed;
    leave(context, observed).await?;
    protect::release_custom_secret(context, &observed.token).await?;
    protect::release_token(context, &observed.token).await?;
    let acted = Acted::quietly(Outcome::LetGo);
    Ok(match news {
        Some((reason, note)) => acted.with(reason, note),
        None => acted,
    })
}

/// The object goes and a token may stay: a person should know which.
fn give_up(context: &Context, observation: &Observation, failure: &Failure) -> (EventReason, String) {
    let observed = &observation.observed;
    context.setup.metrics.revoked(observed.kind, "given_up");
    let id = observed.record().and_then(|r| r.token_id.as_deref()).unwrap_or("a token with its marker");
    let note = format!(
        "let go without revoking {id} at {}: {}; delete it in Shopify's admin if it still lives",
        observed.token.spec.shop, failure.message
    );
    (EventReason::RevocationFailed, note)
}

enum Revoked {
    /// None of ours is left; how many there were.
    All(usize),
    /// It can't be done any more.
    GivenUp(Failure),
    /// Try again.
    NotYet(Failure),
}

/// Revokes every storefront token of this object: those in the record, and those the list knows by marker.
async fn revoke_all(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
    admin: &Admin,
) -> Result<Revoked, Error> {
    let first = admin.token.clone().or_else(|| spare(context, shop, admin));
    if let Some(token) = first
        && let Some(access) = access(shop, admin, Some(&token))
    {
        match revoke_listed(context, observation, &access).await {
            Ok(count) => return Ok(Revoked::All(count)),
            Err(ApiError::Unauthorized(_)) => {}
            Err(error) => return Ok(refused(error)),
        }
    }
    // The token at hand is dead, or there is none: only a fresh one can tell.
    let Some(app) = &admin.app else {
        let message = format!("{shop} refuses the token of ShopifyToken {:?}, and no other can be had", admin.name);
        return Ok(Revoked::GivenUp(Failure::new(Reason::AdminTokenNotReady, message)));
    };
    let turn = context.issuing.lock(format!("{}@{shop}", app.key)).await;
    let fresh = match context
        .shopify()
        .client_credentials(shop, &app.client_id, &app.client_secret, context.now())
        .await
    {
        Ok(fresh) => fresh,
        Err(failure)
            if matches!(failure.reason, Reason::AppNotInstalled | Reason::ShopNotFound | Reason::ShopNotPermitted) =>
        {
            return Ok(Revoked::GivenUp(failure));
        }
        Err(failure) => return Ok(Revoked::NotYet(failure)),
    };
    drop(turn);
    let Some(access) = access(shop, admin, Some(&fresh.value)) else { return Ok(Revoked::All(0)) };
    context.spare.put(spare_key(&app.key, shop.as_str()), fresh);
    Ok(match revoke_listed(context, observation, &access).await {
        Ok(count) => Revoked::All(count),
        // Refused with a token issued a moment ago: the app was uninstalled, and its tokens are dead.
        Err(ApiError::Unauthorized(_)) => Revoked::All(0),
        Err(error) => refused(error),
    })
}

fn spare(context: &Context, shop: &Shop, admin: &Admin) -> Option<secrecy::SecretString> {
    spare_token(context, &spare_key(&admin.app.as_ref()?.key, shop.as_str()))
}

/// 403: the right to revoke was lost, and waiting won't bring it back.
fn refused(error: ApiError) -> Revoked {
    match error {
        ApiError::Forbidden(failure) => Revoked::GivenUp(failure),
        other => Revoked::NotYet(other.into()),
    }
}

async fn revoke_listed(context: &Context, observation: &Observation, access: &AdminAccess) -> Result<usize, ApiError> {
    let observed = &observation.observed;
    let listed = context.shopify().list_storefront_tokens(access).await?;
    let mut ids: Vec<String> =
        listed.tokens.iter().filter(|t| owned_revision(observed, t).is_some()).map(|t| t.id.clone()).collect();
    if let Some(record) = observed.record() {
        ids.extend(record.previous.iter().map(|p| p.id.clone()).filter(|id| listed.tokens.iter().any(|t| t.id == *id)));
    }
    ids.sort();
    ids.dedup();
    for id in &ids {
        context.shopify().delete_storefront_token(access, id).await?;
    }
    Ok(ids.len())
}
