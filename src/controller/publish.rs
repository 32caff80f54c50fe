//! Writes the Secret: a create where there is none, else a compare-and-swap on the version observed.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::PostParams};
use secrecy::SecretString;

use super::{
    context::Context,
    error::{Error, found},
    observe::{self, Observation},
    outcome::{Acted, Operation, Outcome, refused_write},
};
use crate::{
    core::{
        plan::Observed,
        record::Record,
        secret::{self, SecretState},
        vocabulary::{EventReason, OPERATOR, Reason},
    },
    time,
};

/// Parameters of every write: the field manager.
#[must_use]
pub(super) fn parameters() -> PostParams {
    PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() }
}

/// Writes a credential and its record into the Secret.
///
/// Inside: the record as it was written, or the failure when the API server refuses the Secret for good.
///
/// # Errors
/// Of Kubernetes, a conflict among them. The write may have happened all the same.
pub(super) async fn publish(
    context: &Context,
    observation: &Observation,
    record: Record,
    value: &SecretString,
    previous: Option<&SecretString>,
) -> Result<Result<Record, Acted>, Error> {
    let observed = &observation.observed;
    let token = &observed.token;
    let version = &observation.api_version;
    let data = match observe::data(context, token, observed.kind, &record, value, previous, version).await {
        Ok(data) => data,
        // The template was checked with placeholders; a real value can still break it.
        Err(failure) => return Ok(Err(Acted::failed(failure, Operation::Issue))),
    };
    let live = live(observed);
    let desired = secret::desired(token, live, record, data);
    match write(context, live.is_some(), &desired).await {
        Ok(written) => Ok(Ok(Record::parse(written.annotations()).ok_or_else(|| {
            Error::Invalid(format!("Secret {:?} came back from the API server without its record", token.secret_name()))
        })?)),
        Err(error) => match refused_write(&error, token.secret_name(), Reason::Issuing) {
            Some(failure) => Ok(Err(Acted::failed(failure, Operation::Issue))),
            None => Err(error.into()),
        },
    }
}

/// Writes the Secret anew from what is at hand, without Shopify.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn repair(context: &Context, observation: &Observation) -> Result<Acted, Error> {
    let Some(held) = observation.observed.held() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let (Some(record), Some(value)) = (&held.record, &held.value) else {
        return Ok(Acted::quietly(Outcome::Unchanged));
    };
    Ok(match publish(context, observation, record.clone(), value, held.previous.as_ref()).await? {
        Ok(record) => {
            let acted = Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: false });
            let name = observation.observed.token.secret_name();
            if held.edited {
                acted.with(EventReason::Repaired, format!("Secret {name:?} had been edited; restored"))
            } else {
                acted
            }
        }
        Err(failed) => failed,
    })
}

fn live(observed: &Observed) -> Option<&Secret> {
    match &observed.secret {
        SecretState::Ours(held) => Some(&held.live),
        SecretState::Mergeable(secret) => Some(secret),
        SecretState::Absent | SecretState::Collected | SecretState::Refused(_) => None,
    }
}

async fn write(context: &Context, exists: bool, desired: &Secret) -> Result<Secret, kube::Error> {
    let namespace = desired.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client(), &namespace);
    if exists {
        secrets.replace(&desired.name_any(), &parameters(), desired).await
    } else {
        secrets.create(&parameters(), desired).await
    }
}

/// Leaves the Secret behind as the policies want it when its object goes.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn leave(context: &Context, observed: &Observed) -> Result<(), Error> {
    use crate::api::token::{CreationPolicy, DeletionPolicy};
    let Some(held) = observed.held() else { return Ok(()) };
    let spec = &observed.token.spec;
    if held.frozen.is_some() && spec.creation_policy() == CreationPolicy::Merge {
        // Nobody can take a key out of an immutable Secret.
        return Ok(());
    }
    let left = match (spec.deletion_policy(), spec.creation_policy()) {
        (DeletionPolicy::Revoke, CreationPolicy::Merge) => secret::withdrawn(&held.live),
        (DeletionPolicy::Retain, _) | (DeletionPolicy::Revoke, CreationPolicy::Orphan) => {
            secret::disowned(&observed.token, &held.live)
        }
        (DeletionPolicy::Revoke, CreationPolicy::Owner) => return Ok(()),
    };
    if !secret::differs(&held.live, &left) {
        return Ok(());
    }
    match found(write(context, true, &left).await) {
        Ok(_) => Ok(()),
        // A deletion must end, even against an admission policy: as late as a revocation would be given up.
        Err(error) if overdue(context, observed) => {
            match refused_write(&error, observed.token.secret_name(), Reason::Revoking) {
                Some(failure) => {
                    let (namespace, name) = (observed.token.namespace(), observed.token.name_any());
                    tracing::warn!(namespace, name, message = failure.message, "the Secret is left as it is");
                    Ok(())
                }
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a deletion has taken as long as a revocation may.
fn overdue(context: &Context, observed: &Observed) -> bool {
    let deleted_at = observed.token.metadata.deletion_timestamp.as_ref().map(time::from_kube);
    deleted_at.is_some_and(|at| at + observed.revocation_timeout <= context.now())
}
