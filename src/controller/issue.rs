//! Obtains a credential and publishes it: client credentials, and what a person supplied.

use chrono::SubsecRound;
use kube::ResourceExt;
use secrecy::SecretString;

use super::{
    context::{Context, Unpublished},
    error::Error,
    observe::Observation,
    outcome::{Acted, News, Operation, Outcome},
    publish::publish,
    storefront, verify,
};
use crate::{
    core::{
        credential::{self, Credential},
        failure::Failure,
        issuer::{App, Issuer},
        plan::{Observed, Why},
        record::{Fields, Holder, Record},
        renewal, scopes,
        vocabulary::{EventReason, ROTATE_AT, Reason},
    },
    shopify::{AdminAccess, ApiError, Shop},
};

/// Obtains a credential and publishes it.
///
/// # Errors
/// Of Kubernetes. What Shopify refuses is in the outcome.
pub(super) async fn issue(context: &Context, observation: &Observation, shop: &Shop, why: Why) -> Result<Acted, Error> {
    let acted = match &observation.observed.issuer {
        Ok(Issuer::App(app)) => with_app(context, observation, shop, app, why).await?,
        Ok(Issuer::Person(value)) => of_person(context, observation, shop, value, why).await?,
        Ok(Issuer::Admin(admin)) => storefront::issue(context, observation, shop, admin, why).await?,
        Err(failure) => Acted::failed(failure.clone(), Operation::Issue),
    };
    let result = match &acted.outcome {
        Outcome::Published { .. } => "success",
        Outcome::Failed { failure, .. } => failure.reason.as_str(),
        _ => return Ok(acted),
    };
    context.setup.metrics.issued(observation.observed.kind, result);
    Ok(acted)
}

/// The client-credentials grant.
async fn with_app(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
    app: &App,
    why: Why,
) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let credential = if let Some(credential) = unpublished(context, observed) {
        credential
    } else {
        match context.shopify().client_credentials(shop, &app.client_id, &app.client_secret, context.now()).await {
            Ok(credential) => credential,
            Err(failure) => return Ok(Acted::failed(failure, Operation::Issue)),
        }
    };
    let uid = observed.token.uid().unwrap_or_default();
    if let Some(failure) = lacks_scopes(observed, &credential.scopes) {
        // One that was kept from before must not be tried again: the next grant may have the scope.
        context.unpublished.remove(&uid);
        return Ok(Acted::failed(failure, Operation::Issue));
    }
    // From here on the credential isn't lost if the Secret can't be written for a while.
    let kept = Unpublished { inputs: observed.inputs.clone(), credential: credential.clone() };
    context.unpublished.put(uid.clone(), kept);
    let record = record(observed, &credential, next_revision(observed));
    match publish(context, observation, record, &credential.value, None).await? {
        Ok(record) => {
            context.unpublished.remove(&uid);
            let mut acted = published(record, why, observed);
            acted.news.extend(warnings(observed, &credential));
            Ok(acted)
        }
        Err(failed) => Ok(failed),
    }
}

/// A credential that was issued before for the same thing and couldn't be published.
fn unpublished(context: &Context, observed: &Observed) -> Option<Credential> {
    let uid = observed.token.uid()?;
    let kept = context.unpublished.get(&uid)?;
    let credential = kept.credential;
    // The record keeps whole seconds.
    let written = observed.record().is_some_and(|r| r.issued_at >= credential.issued_at.trunc_subsecs(0));
    let expires_at = credential.expires_at?;
    let due = renewal::renewal_time(&observed.token.spec, &uid, credential.issued_at, expires_at) <= context.now();
    if written || due || kept.inputs != observed.inputs {
        context.unpublished.remove(&uid);
        return None;
    }
    Some(credential)
}

/// A permanent token that a person put in a Secret: verified live, then republished.
async fn of_person(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
    value: &SecretString,
    why: Why,
) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let access = person_access(observation, shop, value);
    let same = observed.value().is_some_and(|held| credential::same(held, value));
    let granted = match context.shopify().installation_scopes(&access).await {
        Ok(granted) => granted,
        // News of the credential that applications hold; the next look finds it rejected, and stalls.
        Err(ApiError::Unauthorized(_)) if same && why != Why::Rejected => {
            return Ok(verify::refused(context, observation));
        }
        Err(ApiError::Unauthorized(_)) => {
            let failure = Failure::new(
                Reason::TokenRejected,
                format!(
                    "{shop} refuses the token in the source Secret (401): it was revoked, or belongs to another shop; put a working one there"
                ),
            );
            return Ok(Acted::failed(failure, Operation::Issue));
        }
        Err(error) => return Ok(Acted::failed(error, Operation::Issue)),
    };
    if let Some(failure) = lacks_scopes(observed, &granted) {
        return Ok(Acted::failed(failure, Operation::Issue));
    }
    let (revision, issued_at) = match observed.record() {
        Some(record) if same => (record.revision, record.issued_at),
        _ => (next_revision(observed), context.now()),
    };
    let credential = Credential {
        value: value.clone(),
        token_id: None,
        scopes: granted,
        issued_at,
        expires_at: None,
        warning: None,
    };
    let record = record(observed, &credential, revision);
    Ok(match publish(context, observation, record, value, None).await? {
        Ok(record) if same => Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: true }),
        Ok(record) => published(record, why, observed),
        Err(failed) => failed,
    })
}

/// Access to the Admin API with a person's token: no app says which of the two, or which version.
#[must_use]
pub(super) fn person_access(observation: &Observation, shop: &Shop, value: &SecretString) -> AdminAccess {
    AdminAccess {
        shop: shop.clone(),
        token: value.clone(),
        api: crate::api::AdminApi::GraphQL,
        version: observation.api_version.clone(),
    }
}

/// The failure of a credential without a required scope.
#[must_use]
pub(super) fn lacks_scopes(observed: &Observed, granted: &[String]) -> Option<Failure> {
    let missing = scopes::missing(&observed.token.spec.required_scopes, granted);
    (!missing.is_empty()).then(|| {
        Failure::new(
            Reason::ScopesMissing,
            format!(
                "{} grants no {}; release a version of the app with these scopes and have it approved on the shop, or take them out of spec.requiredScopes",
                observed.token.spec.shop,
                missing.join(", ")
            ),
        )
    })
}

/// The revision after the last one that is known of. Status only keeps the count going when the Secret is lost.
#[must_use]
pub(super) fn next_revision(observed: &Observed) -> i64 {
    let recorded = observed.record().map(|r| r.revision);
    let reported = observed.status().and_then(|s| s.revision);
    recorded.max(reported).unwrap_or_default().saturating_add(1)
}

/// The record of a credential that is about to be published. Whatever asked for it counts as handled.
#[must_use]
pub(super) fn record(observed: &Observed, credential: &Credential, revision: i64) -> Record {
    let token = &observed.token;
    let before = observed.record();
    let replaces = revision > 1 && before.is_none_or(|r| r.revision != revision);
    Record {
        token: Holder { name: token.name_any(), uid: token.uid().unwrap_or_default() },
        revision,
        issued_at: credential.issued_at,
        expires_at: credential.expires_at,
        token_id: credential.token_id.clone(),
        scopes: credential.scopes.clone(),
        inputs: observed.inputs.clone(),
        content: String::new(),
        admin: None,
        previous: Vec::new(),
        rollout: if replaces { Some(revision) } else { before.and_then(|r| r.rollout) },
        handled_trigger: token.spec.rotation_trigger().map(str::to_owned),
        handled_rotate_at: token.annotations().get(ROTATE_AT).cloned(),
        fields: Fields::default(),
    }
}

/// The outcome and the event of a credential that was published.
#[must_use]
pub(super) fn published(record: Record, why: Why, observed: &Observed) -> Acted {
    let (reason, text) = match why {
        Why::First => (EventReason::Issued, "issued"),
        Why::Lost => (EventReason::Repaired, "the Secret had lost its credential; issued anew"),
        Why::Rejected => (EventReason::ReplacedAtShopify, "Shopify had the credential no more; replaced"),
        Why::Expiring => (EventReason::Renewed, "renewed"),
        Why::InputsChanged => (EventReason::Rotated, "rotated, because the spec changed"),
        Why::ScopesMissing => (EventReason::Rotated, "rotated, to gain required scopes"),
        Why::Requested => (EventReason::Rotated, "rotated on request"),
        Why::Interval => (EventReason::Rotated, "rotated on schedule"),
        Why::Replaced => (EventReason::Rotated, "republished, because its source was replaced"),
    };
    let note = format!("{text}: revision {} in Secret {:?}", record.revision, observed.token.secret_name());
    Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: true }).with(reason, note)
}

fn warnings(observed: &Observed, credential: &Credential) -> Vec<News> {
    let unusual =
        credential.warning.clone().map(|note| News { reason: EventReason::UnusualLifetime, failure: None, note });
    let lifetime = credential.expires_at.map(|at| at - credential.issued_at);
    let ignored = lifetime.filter(|l| renewal::renew_before(&observed.token.spec, *l).1).map(|l| News {
        reason: EventReason::RenewBeforeIgnored,
        failure: None,
        note: format!(
            "spec.renewBefore isn't shorter than the lifetime of {} s; a third of it is used instead",
            l.num_seconds()
        ),
    });
    unusual.into_iter().chain(ignored).collect()
}
