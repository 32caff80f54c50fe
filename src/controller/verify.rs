//! Asks Shopify whether the credential is what we think it is: a live probe and a drift check.

use chrono::TimeDelta;

use super::{
    context::{Context, TokenKey},
    error::Error,
    issue::person_access,
    observe::Observation,
    outcome::{Acted, Operation, Outcome},
    publish::publish,
    storefront::{self, owned_revision},
};
use crate::{
    api::SourceKind,
    core::{
        issuer::{Admin, Issuer},
        record::{Previous, Record},
        scopes,
        vocabulary::EventReason,
    },
    shopify::{ApiError, Shop, StorefrontToken},
};

/// A token just created may take a moment to be known everywhere.
const PROPAGATION: TimeDelta = TimeDelta::minutes(1);

/// Verifies the credential.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn verify(context: &Context, observation: &Observation, shop: &Shop) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let (Some(held), Some(value)) = (observed.held(), observed.value()) else {
        return Ok(Acted::quietly(Outcome::Unchanged));
    };
    let Some(record) = &held.record else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let updated = match (&observed.issuer, observed.kind) {
        (Ok(Issuer::Admin(admin)), SourceKind::Storefront) => {
            match listed(context, observation, shop, admin, record).await? {
                Checked::As(updated) => *updated,
                Checked::Told(acted) => return Ok(acted),
            }
        }
        _ => match context.shopify().installation_scopes(&person_access(observation, shop, value)).await {
            // The grant's list is collapsed, the installation's may be whole: the same scopes are no news.
            Ok(scopes) if scopes::equivalent(&scopes, &record.scopes) => record.clone(),
            Ok(scopes) => Record { scopes, ..record.clone() },
            Err(ApiError::Unauthorized(_)) => return Ok(refused(context, observation)),
            Err(error) => return Ok(Acted::failed(error, Operation::Verify)),
        },
    };
    context.suspects.remove(&TokenKey::of(&observed.token));
    if updated == *record {
        return Ok(Acted::quietly(Outcome::Verified));
    }
    Ok(match publish(context, observation, updated, value, held.previous.as_ref()).await? {
        Ok(record) => Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: true }),
        Err(failed) => failed,
    })
}

enum Checked {
    /// It is there, and this is what the record should say.
    As(Box<Record>),
    /// It isn't, or there is no telling.
    Told(Acted),
}

/// The admin's list knows the token, its scopes and strays; the Storefront API says whether it works.
async fn listed(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
    admin: &Admin,
    record: &Record,
) -> Result<Checked, Error> {
    let observed = &observation.observed;
    let told = |acted| Ok(Checked::Told(acted));
    let Some(access) = storefront::access(shop, admin, admin.token.as_ref()) else {
        return told(Acted::quietly(Outcome::Unchanged));
    };
    let tokens = match context.shopify().list_storefront_tokens(&access).await {
        Ok(listed) => listed.tokens,
        Err(error) => {
            return told(Acted::failed(storefront::blame(context, observed, &admin.name, error), Operation::Verify));
        }
    };
    let Some(current) = tokens.iter().find(|t| Some(&t.id) == record.token_id.as_ref()) else {
        return told(rejected(context, observation, "has the storefront token no more: it was deleted there"));
    };
    match context.shopify().probe_storefront_token(shop, &access.version, &current.value).await {
        Ok(true) => {}
        Ok(false) if record.issued_at + PROPAGATION > context.now() => return told(Acted::quietly(Outcome::Unchanged)),
        Ok(false) => {
            return told(rejected(
                context,
                observation,
                "lists the storefront token, and its Storefront API refuses it",
            ));
        }
        Err(failure) => return told(Acted::failed(failure, Operation::Verify)),
    }
    let strays = tokens.iter().filter_map(|t| stray(context, observation, record, t));
    let previous = strays.chain(record.previous.iter().cloned()).collect();
    Ok(Checked::As(Box::new(Record { scopes: current.scopes.clone(), previous, ..record.clone() })))
}

/// A token of ours that neither is current nor in overlap: what an interrupted attempt left behind.
fn stray(context: &Context, observation: &Observation, record: &Record, token: &StorefrontToken) -> Option<Previous> {
    let revision = owned_revision(&observation.observed, token)?;
    let known = Some(&token.id) == record.token_id.as_ref() || record.previous.iter().any(|p| p.id == token.id);
    let overlap = observation.observed.token.spec.overlap();
    // A later revision than the published one was never published: nobody holds it.
    let revoke_at = if revision > record.revision { context.now() } else { context.now() + overlap };
    (!known).then(|| Previous { id: token.id.clone(), revoke_at, admin: record.admin.clone() })
}

/// Shopify refuses the credential that is in the Secret.
pub(super) fn refused(context: &Context, observation: &Observation) -> Acted {
    rejected(context, observation, "refuses the credential (401)")
}

fn rejected(context: &Context, observation: &Observation, what: &str) -> Acted {
    context.suspects.remove(&TokenKey::of(&observation.observed.token));
    let note = format!("{} {what}", observation.observed.token.spec.shop);
    Acted::quietly(Outcome::Rejected).with(EventReason::VerificationFailed, note)
}
