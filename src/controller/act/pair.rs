//! Writes the record Secret of an offline token: before the applications' Secret, and by compare-and-swap.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use secrecy::SecretString;

use super::publish::write;
use crate::{
    controller::{
        context::Context,
        error::{Error, Stop, found},
        outcome::{Acted, Outcome},
    },
    core::{
        credential::same,
        leave::Leave,
        observed::Observed,
        pair::{self, Pair, RecordState},
        source::Offline,
    },
    sources::Renewed,
};

/// Writes what a person has put into the bootstrap Secret into the record Secret.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn begin(context: &Context, observed: &Observed) -> Result<Acted, Error> {
    let Some(offline) = observed.offline() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let Some(bootstrap) = observed.beginning() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    // Should the new one be dead, the one before is tried.
    let before = offline.pair().and_then(|pair| pair.refresh.as_ref()).map(|refresh| refresh.value.clone());
    let previous_refresh = bootstrap.pair.refresh.as_ref().and(before);
    let pair = Pair { previous_refresh, ..bootstrap.pair.clone() };
    // A pair in hand is of the beginning before.
    context.unrecorded.remove(&observed.identity.uid);
    match put(context, observed, offline, &pair).await {
        Ok(()) => Ok(Acted::quietly(Outcome::Unchanged)),
        Err(stop) => Acted::unwritten(stop),
    }
}

/// Keeps a pair that came, and writes it down.
///
/// # Errors
/// A failure when the API server refuses it; else of Kubernetes, a conflict among them. Then it is kept in memory, and
/// [`pending`] writes it before anything else is asked.
pub(super) async fn record(
    context: &Context,
    observed: &Observed,
    offline: &Offline,
    renewed: &Renewed,
) -> Result<(), Stop> {
    let uid = &observed.identity.uid;
    context.unrecorded.put(uid.clone(), renewed.clone());
    put(context, observed, offline, &renewed.pair).await?;
    context.unrecorded.remove(uid);
    Ok(())
}

/// Writes the pair down that came before and couldn't be written. Says whether there was one.
///
/// # Errors
/// As [`record`].
pub(super) async fn pending(context: &Context, observed: &Observed) -> Result<bool, Stop> {
    let uid = &observed.identity.uid;
    let (Some(offline), Some(renewed)) = (observed.offline(), context.unrecorded.get(uid)) else { return Ok(false) };
    let at_hand = offline.pair().and_then(Pair::secret);
    let is = |theirs: Option<&SecretString>| match (at_hand, theirs) {
        (Some(ours), Some(theirs)) => same(ours, theirs),
        (None, _) => true,
        (Some(_), None) => false,
    };
    // Another process, or a person, has gone on from where this one began: theirs is the newer.
    if !is(renewed.replaces.as_ref()) {
        context.unrecorded.remove(uid);
        return Ok(false);
    }
    record(context, observed, offline, &renewed).await?;
    Ok(true)
}

async fn put(context: &Context, observed: &Observed, offline: &Offline, pair: &Pair) -> Result<(), Stop> {
    let (token, me) = (&observed.token, &observed.identity);
    let live = offline.recorded.as_ref().map(|recorded| &recorded.live);
    let begun = offline.recorded.as_ref().and_then(|recorded| recorded.bootstrap.as_deref());
    let bootstrap = offline.bootstrap.as_ref().map(|bootstrap| bootstrap.fingerprint.as_str()).or(begun);
    let secret = pair::recorded(token, me, &offline.app.client_id, live, pair, bootstrap);
    match write(context, live.is_some(), &secret).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = format!("Secret {:?}", token.record_secret().unwrap_or_default());
            Err(context.unwritten(&me.uid, &what, error))
        }
    }
}

/// Leaves the record Secret as the policies want it when its object goes.
///
/// # Errors
/// A failure when the API server refuses that; else of Kubernetes, a conflict among them.
pub(super) async fn leave(context: &Context, observed: &Observed) -> Result<(), Stop> {
    let (token, me) = (&observed.token, &observed.identity);
    let Some(name) = token.record_secret() else { return Ok(()) };
    let secrets: Api<Secret> = Api::namespaced(context.client(), &me.namespace);
    let Some(live) = found(secrets.get(&name).await)? else { return Ok(()) };
    let Some(client_id) = pair::issuer(live.annotations()).map(str::to_owned) else { return Ok(()) };
    let RecordState::Ours(recorded) = pair::classify(token, me, &client_id, Some(live)) else { return Ok(()) };
    let live = &recorded.live;
    let ended = match Leave::of(token) {
        Leave::Delete | Leave::Withdraw => {
            let preconditions = Preconditions {
                uid: live.metadata.uid.clone(),
                resource_version: live.metadata.resource_version.clone(),
            };
            let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            found(secrets.delete(&name, &parameters).await).map(drop)
        }
        Leave::Keep => {
            let left = crate::core::secret::disowned(token, live);
            if left == *live { Ok(()) } else { found(write(context, true, &left).await).map(drop) }
        }
    };
    ended.map_err(|error| context.unwritten(&me.uid, &format!("Secret {name:?}"), error))
}
