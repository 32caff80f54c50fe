//! Writes the Secret: a create where there is none, else a compare-and-swap on the version observed.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::PostParams};
use secrecy::SecretString;

use crate::{
    api::ShopifyToken,
    controller::{
        context::Context,
        error::{Error, Stop, found},
        outcome::{Acted, News, Outcome},
    },
    core::{
        failure::Failure,
        leave::Leave,
        observed::Observed,
        previous::PreviousValues,
        record::Record,
        render::Values,
        secret::{self, SecretState},
        vocabulary::{EventReason, OPERATOR, Reason},
    },
    time,
};

/// A Secret as it was written.
pub(super) struct Written {
    /// The record in it.
    pub record: Record,
    /// The object, with its new version.
    pub secret: Secret,
}

/// Writes a credential and its record into the Secret, on top of `live`, and gives back what was written.
///
/// # Errors
/// A failure when a template breaks or the API server refuses the Secret for good; else of Kubernetes, a conflict
/// among them: then the write may have happened all the same.
pub(super) async fn publish(
    context: &Context,
    observed: &Observed,
    live: Option<&Secret>,
    record: Record,
    value: &SecretString,
    (previous, session): (&PreviousValues, Option<&SecretString>),
) -> Result<Written, Stop> {
    let token = &observed.token;
    let values = Values { session, ..Values::of(&token.spec.shop, &record, value, previous) };
    // The template was checked with placeholders; a real value can still break it.
    let data = context.rendering.render(token, observed.kind, &values).await?;
    let desired = secret::desired(token, live, record, data);
    let asking = context.reads.ask(&observed.identity.namespace, token.secret_name());
    match write(context, live.is_some(), &desired).await {
        Ok(mut secret) => {
            let noted = asking.wrote(&mut secret, |secret| drop(context.note(secret, false)));
            // A list that began before it may end without it.
            if live.is_none() && (noted || asking.is_superseded()) {
                context.presence.found(&observed.identity.namespace, token.secret_name());
            }
            let altered = secret::altered(&desired, &secret);
            if !altered.is_empty() {
                return Err(rewritten(token, &altered).into());
            }
            let record = Record::parse(secret.annotations()).ok_or_else(|| {
                let name = token.secret_name();
                Error::Invalid(format!("Secret {name:?} came back from the API server without its record"))
            })?;
            Ok(Written { record, secret })
        }
        Err(error) => Err(context.unwritten(&observed.identity.uid, &named(token), error)),
    }
}

/// Writes the Secret anew from what is at hand, without Shopify.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn repair(context: &Context, observed: &Observed) -> Result<Acted, Error> {
    let Some(whole) = observed.whole() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let record = whole.record.clone().asking(&observed.api_version);
    match publish(context, observed, Some(whole.live), record, whole.value, whole.beside()).await {
        Ok(written) => {
            let acted = Acted::published(written.record, false);
            let name = observed.token.secret_name();
            let edited = observed.held().is_some_and(|held| held.edited);
            Ok(if edited {
                acted.with(EventReason::Repaired, format!("Secret {name:?} had been edited; restored"))
            } else {
                acted
            })
        }
        Err(stop) => Acted::unwritten(stop),
    }
}

/// The event that Shopify serves another API version than the app asks for, if that is news.
pub(super) fn replaced_version(record: &Record, before: Option<&Record>) -> Option<News> {
    let (asked, served) = record.replaced_version(before)?;
    let note = format!(
        "Shopify serves API version {served} in place of {asked}, which it doesn't support: the Secret names {served} now; set spec.apiVersion of the ShopifyApp to a supported one (https://shopify.dev/docs/api/usage/versioning)"
    );
    Some(News::of(EventReason::ApiVersionReplaced, note))
}

/// What a new credential is written on top of.
pub(super) fn live(observed: &Observed) -> Option<&Secret> {
    match &observed.secret {
        SecretState::Ours(held) => Some(&held.live),
        SecretState::Mergeable(secret) => Some(secret),
        SecretState::Absent | SecretState::Collected | SecretState::Refused(_) => None,
    }
}

/// Writes a Secret on top of the version that is in it.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(in crate::controller) async fn write(
    context: &Context,
    exists: bool,
    desired: &Secret,
) -> Result<Secret, kube::Error> {
    let namespace = desired.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client(), &namespace);
    let parameters = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
    if exists {
        return secrets.replace(&desired.name_any(), &parameters, desired).await;
    }
    let created = secrets.create(&parameters, desired).await;
    if matches!(&created, Err(kube::Error::Api(status)) if status.code == 409) {
        context.presence.found(&namespace, &desired.name_any());
    }
    created
}

/// Leaves the Secret behind as the policies want it when its object goes. Says so if it couldn't.
///
/// # Errors
/// A failure when the API server refuses that and there is time left; else of Kubernetes, a conflict among them.
pub(super) async fn leave(context: &Context, observed: &Observed) -> Result<Option<News>, Stop> {
    let Some(held) = observed.held() else { return Ok(None) };
    let left = match secret::leave_of(&observed.token, &held.live) {
        // Nobody can take a key out of an immutable Secret.
        Leave::Withdraw if held.live.immutable == Some(true) => return Ok(None),
        Leave::Withdraw => secret::withdrawn(&held.live),
        Leave::Keep => secret::disowned(&observed.token, &held.live),
        // It goes by its owner reference.
        Leave::Delete => return Ok(None),
    };
    if !secret::differs(&held.live, &left) {
        return Ok(None);
    }
    match found(write(context, true, &left).await) {
        Ok(_) => Ok(None),
        Err(error) => match context.unwritten(&observed.identity.uid, &named(&observed.token), error) {
            // A deletion must end, even against an admission policy: as late as a revocation would be given up.
            Stop::Failure(failure) if overdue(context, observed) => {
                let note = format!("the Secret is left as it is: {}", failure.message);
                Ok(Some(News::of(EventReason::RevocationFailed, note)))
            }
            stop => Err(stop),
        },
    }
}

fn named(token: &ShopifyToken) -> String {
    format!("Secret {:?}", token.secret_name())
}

/// Nobody would see it later: what a webhook changes is said to be the operator's own.
fn rewritten(token: &ShopifyToken, altered: &[String]) -> Failure {
    let message = format!(
        "{} isn't stored as it was written: a mutating admission webhook or policy changes {}; exempt Secrets that {OPERATOR} writes from it (kubectl get mutatingwebhookconfigurations tells which there are), and it is written again",
        named(token),
        altered.join(", ")
    );
    Failure::new(Reason::WriteRefused, message)
}

/// Whether a deletion has taken as long as a revocation may.
pub(super) fn overdue(context: &Context, observed: &Observed) -> bool {
    let deleted_at = observed.token.metadata.deletion_timestamp.as_ref().map(time::from_kube);
    deleted_at.is_some_and(|at| at + observed.revocation_timeout <= context.now())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, OnceLock},
    };

    use http::{Request, Response};
    use kube::{Client, client::Body, core::WatchEvent};
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        controller::watch::secrets,
        core::scene::{healthy, record, secret_string},
        kubernetes::Metadata,
    };

    /// Somebody deletes the Secret at once, and the watch tells that before the write is answered.
    #[tokio::test]
    async fn what_went_before_the_answer_to_its_write_is_not_known() {
        for meanwhile in [None, Some("9"), Some("11")] {
            let context = Arc::new(OnceLock::<Arc<Context>>::new());
            let told = Arc::clone(&context);
            let server = tower::service_fn(move |request: Request<Body>| {
                let told = Arc::clone(&told);
                async move {
                    let body = request.into_body().collect_bytes().await.unwrap();
                    let mut secret: Secret = serde_json::from_slice(&body).unwrap();
                    secret.metadata.resource_version = Some("10".to_owned());
                    let answer = serde_json::to_vec(&secret).unwrap();
                    secret.metadata.resource_version = meanwhile.map(str::to_owned);
                    if meanwhile.is_some() {
                        secrets::held(told.get().unwrap(), &secret, true);
                    }
                    Ok::<_, Infallible>(Response::new(Body::from(answer)))
                }
            });
            let context = context.get_or_init(|| Context::of_client(Client::new(server, "default")));
            let kind = SourceKind::ClientCredentials;
            let (observed, value) = (healthy(kind, json!({})).without_secret(), secret_string("shpat_1"));
            let beside = (&PreviousValues::default(), None);
            drop(publish(context, &observed, None, record(kind), &value, beside).await.unwrap());
            let known = context.holdings.version("shop", observed.token.secret_name());
            assert_eq!(known, (meanwhile != Some("11")).then_some(10), "{meanwhile:?}");
        }
    }

    /// The Secret as the API server shows it, which says who has set what.
    fn shown(written: &Secret) -> serde_json::Value {
        let mut shown = json!(written);
        let fields = |at: &str| -> serde_json::Value {
            let set = shown.pointer(at).and_then(serde_json::Value::as_object).into_iter().flatten();
            set.map(|(name, _)| (format!("f:{name}"), json!({}))).collect::<serde_json::Map<_, _>>().into()
        };
        let owners: serde_json::Map<_, _> = written
            .owner_references()
            .iter()
            .map(|owner| (format!("k:{{\"uid\":\"{}\"}}", owner.uid), json!({})))
            .collect();
        let metadata = json!({
            "f:annotations": fields("/metadata/annotations"), "f:labels": fields("/metadata/labels"), "f:ownerReferences": owners,
        });
        let set = json!({"f:data": fields("/data"), "f:metadata": metadata, "f:type": {}});
        shown["metadata"]["managedFields"] = json!([{"manager": OPERATOR, "operation": "Update", "fieldsV1": set}]);
        shown["metadata"]["resourceVersion"] = json!("10");
        shown
    }

    #[tokio::test]
    async fn what_was_written_is_known_to_be_as_it_was_written_and_so_is_what_the_watch_brings() {
        let server = tower::service_fn(|request: Request<Body>| async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let answer = shown(&serde_json::from_slice(&body).unwrap());
            Ok::<_, Infallible>(Response::new(Body::from(answer.to_string().into_bytes())))
        });
        let context = Context::of_client(Client::new(server, "default"));
        let kind = SourceKind::ClientCredentials;
        let (observed, value) = (healthy(kind, json!({})).without_secret(), secret_string("shpat_1"));
        let (me, name) = (&observed.identity, observed.token.secret_name());
        let beside = (&PreviousValues::default(), None);
        let written = publish(&context, &observed, None, record(kind), &value, beside).await.unwrap().secret;
        assert!(context.holdings.untouched(me, name).is_some());
        assert!(written.metadata.managed_fields.is_none(), "half of what would be kept");
        let kept = context.written_secret(&observed.token).await.unwrap().unwrap();
        assert_eq!(*kept, written);
        context.holdings.gone(&me.namespace, name);
        let event = format!(r#"{{"type":"ADDED","object":{}}}"#, shown(&written));
        let event: WatchEvent<Metadata<Secret>> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Added(brought) = event else { unreachable!("it was added") };
        secrets::held(&context, &brought, false);
        assert!(context.holdings.untouched(me, name).is_some());
    }
}
