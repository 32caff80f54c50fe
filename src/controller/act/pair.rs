//! Writes the record Secret of an offline token or a session: before the applications' Secret, and by compare-and-swap.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::publish::{overdue, write};
use crate::{
    controller::{
        context::Context,
        error::{Error, Stop, found},
        outcome::{Acted, News, Outcome},
    },
    core::{
        approvals,
        failure::Failure,
        keeper::Keeper,
        leave::Leave,
        observed::Observed,
        pair::{self, Content, Pair, RecordState},
        secret::disowned,
        vocabulary::EventReason,
    },
    sources::Renewed,
};

/// Writes a pair in hand, or what a person has put into the bootstrap Secret, into the record Secret. Where there is neither,
/// that Secret is to go with its object, or to stay, as the policies want it now.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn begin(context: &Context, observed: &Observed) -> Result<Acted, Error> {
    let in_hand = context.unrecorded.get(&observed.identity.uid);
    match pending(context, observed).await {
        Ok(false) => {}
        Ok(true) => return Ok(Acted::quietly(Outcome::Unchanged)),
        Err(unwritten) => return Acted::unwritten(unwritten),
    }
    let (Some(offline), Some(bootstrap)) = (observed.offline(), observed.beginning()) else {
        return match own(context, observed).await {
            Ok(()) => Ok(Acted::quietly(Outcome::Unchanged)),
            Err(stop) => Acted::unwritten(stop),
        };
    };
    // Should the new one be dead, the one before is tried: with the record it may be gone from everywhere but here.
    let before = offline.pair().or(in_hand.as_ref().map(|came| &came.pair)).and_then(|pair| pair.refresh.as_ref());
    let previous_refresh = bootstrap.pair.refresh.as_ref().and(before).map(|refresh| refresh.value.clone());
    let pair = Pair { previous_refresh, ..bootstrap.pair.clone() };
    let beginning = Renewed { pair, replaces: None, begun: None, spent: None, customer: None };
    match put(context, observed, Keeper::Offline(offline), &beginning).await {
        Ok(_) => Ok(Acted::quietly(Outcome::Unchanged)),
        Err(stop) => Acted::unwritten(stop),
    }
}

/// Puts the owner reference on the record Secret, or takes it off.
async fn own(context: &Context, observed: &Observed) -> Result<(), Stop> {
    let (token, me) = (&observed.token, &observed.identity);
    let Some(keeper) = observed.keeper() else { return Ok(()) };
    match keeper.recorded().filter(|recorded| pair::is_misowned(token, me, recorded)) {
        Some(recorded) => {
            store(context, observed, true, &pair::owned(token, me, keeper.client_id(), recorded)).await.map(drop)
        }
        None => Ok(()),
    }
}

/// Keeps a pair that came, and writes it down: the record Secret as the API server has stored it.
///
/// # Errors
/// A failure when the API server refuses it; else of Kubernetes, a conflict among them. Then it is kept in memory, and
/// [`pending`] writes it before anything else is asked.
pub(super) async fn record(
    context: &Context,
    observed: &Observed,
    keeper: Keeper<'_>,
    renewed: &Renewed,
) -> Result<Secret, Stop> {
    let uid = &observed.identity.uid;
    context.unrecorded.put(uid.clone(), renewed.clone());
    let written = put(context, observed, keeper, renewed).await?;
    context.unrecorded.remove(uid);
    Ok(written)
}

/// Writes the pair down that came before and couldn't be written. Says whether there was one.
///
/// # Errors
/// As [`record`].
pub(super) async fn pending(context: &Context, observed: &Observed) -> Result<bool, Stop> {
    let uid = &observed.identity.uid;
    let (Some(keeper), Some(renewed)) = (observed.keeper(), context.unrecorded.get(uid)) else { return Ok(false) };
    if !keeper.goes_on(&renewed.pair, renewed.replaces.as_ref(), renewed.begun.as_deref()) {
        context.unrecorded.remove(uid);
        return Ok(false);
    }
    record(context, observed, keeper, &renewed).await?;
    Ok(true)
}

/// Forgets a code that was refused, and keeps why.
///
/// # Errors
/// As [`record`].
pub(super) async fn forget(
    context: &Context,
    observed: &Observed,
    keeper: Keeper<'_>,
    refusal: &Failure,
) -> Result<(), Stop> {
    let (Some(recorded), Some(code)) = (keeper.recorded(), keeper.code()) else { return Ok(()) };
    let mut secret = recorded.live.clone();
    approvals::end(&mut secret, &code.state, &approvals::Outcome::Refused(refusal.message.clone()));
    store(context, observed, true, &secret).await.map(drop)
}

async fn put(context: &Context, observed: &Observed, keeper: Keeper<'_>, renewed: &Renewed) -> Result<Secret, Stop> {
    let (token, me) = (&observed.token, &observed.identity);
    let live = keeper.recorded().map(|recorded| &recorded.live);
    let held = Content {
        pair: &renewed.pair,
        bootstrap: keeper.begun(),
        spent: renewed.spent.as_deref(),
        customer: renewed.customer.as_deref(),
    };
    let secret = pair::recorded(token, me, keeper.client_id(), live, held);
    store(context, observed, live.is_some(), &secret).await
}

async fn store(context: &Context, observed: &Observed, exists: bool, secret: &Secret) -> Result<Secret, Stop> {
    write(context, exists, secret).await.map_err(|error| {
        let what = format!("Secret {:?}", secret.name_any());
        context.unwritten(&observed.identity.uid, &what, error)
    })
}

/// Writes a pair in hand, which is worth as much as the one that is there, and leaves the record Secret as the policies
/// want it when its object goes. Says so if it couldn't. With an object that `stays`, what it can be refreshed with stays:
/// an operator that is installed anew goes on with it.
///
/// # Errors
/// A failure when the API server refuses that and there is time left; else of Kubernetes, a conflict among them.
pub(super) async fn settle(context: &Context, observed: &Observed, stays: bool) -> Result<Option<News>, Stop> {
    let settled = async {
        pending(context, observed).await?;
        leave(context, observed, stays).await
    };
    match settled.await {
        Ok(()) => Ok(None),
        Err(Stop::Failure(failure)) if overdue(context, observed) => {
            let note = format!("the refresh token is left as it is: {}", failure.message);
            Ok(Some(News::of(EventReason::RevocationFailed, note)))
        }
        Err(stop) => Err(stop),
    }
}

async fn leave(context: &Context, observed: &Observed, stays: bool) -> Result<(), Stop> {
    let (token, me) = (&observed.token, &observed.identity);
    let Some(name) = token.record_secret() else { return Ok(()) };
    let secrets: Api<Secret> = Api::namespaced(context.client(), &me.namespace);
    let Some(live) = found(secrets.get(&name).await)? else { return Ok(()) };
    let Some(client_id) = pair::issuer(live.annotations()).map(str::to_owned) else { return Ok(()) };
    // One that an earlier object of this name has left behind, and that this one never took up, isn't its own to delete.
    let taken_up = observed.keeper().is_some() || pair::holder(live.annotations()).as_ref() == Some(me);
    let RecordState::Ours(recorded) = pair::classify(token, me, &client_id, Some(live)) else { return Ok(()) };
    let live = &recorded.live;
    let ended = match Leave::of(token) {
        Leave::Delete | Leave::Withdraw if stays || !taken_up => Ok(()),
        Leave::Delete | Leave::Withdraw => {
            let preconditions = Preconditions {
                uid: live.metadata.uid.clone(),
                resource_version: live.metadata.resource_version.clone(),
            };
            let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            found(secrets.delete(&name, &parameters).await).map(drop)
        }
        Leave::Keep => {
            let left = disowned(token, &pair::without_code(live));
            if left == *live { Ok(()) } else { found(write(context, true, &left).await).map(drop) }
        }
    };
    ended.map_err(|error| context.unwritten(&me.uid, &format!("Secret {name:?}"), error))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex, PoisonError},
    };

    use chrono::TimeDelta;
    use http::{Method, Request, Response, StatusCode};
    use k8s_openapi::ByteString;
    use kube::{Client, client::Body};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            credential::RefreshToken,
            failure::Failure,
            identity::Identity,
            scene::{healthy, identity, secret_string},
            source::{Bootstrap, Issuer},
            vocabulary::Reason,
        },
        time,
    };

    /// An API server that holds one Secret, and answers its writes with this instead where it is set.
    #[derive(Clone, Default)]
    struct Server {
        held: Arc<Mutex<Option<Secret>>>,
        refuses: Option<StatusCode>,
    }

    impl Server {
        fn context(&self) -> Arc<Context> {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request).await) }
            });
            Context::of_client(Client::new(service, "default"))
        }

        async fn answer(&self, request: Request<Body>) -> Response<Body> {
            let (method, body) = (request.method().clone(), request.into_body().collect_bytes().await.unwrap());
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let status = match (&method, self.refuses) {
                (&Method::GET, _) | (_, None) => StatusCode::OK,
                (_, Some(status)) => status,
            };
            if status == StatusCode::OK && (method == Method::POST || method == Method::PUT) {
                *held = Some(serde_json::from_slice(&body).unwrap());
            }
            let answer = match held.as_ref().filter(|_| status == StatusCode::OK) {
                Some(secret) => json!(secret),
                None if status == StatusCode::OK => failed(StatusCode::NOT_FOUND),
                None => failed(status),
            };
            if status == StatusCode::OK && method == Method::DELETE {
                *held = None;
            }
            let code = answer["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(200);
            Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap()
        }

        fn key(&self, key: &str) -> Option<String> {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let value = held.as_ref()?.data.as_ref()?.get(key)?.0.clone();
            Some(String::from_utf8(value).unwrap())
        }
    }

    fn failed(status: StatusCode) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(), "reason": "", "message": ""})
    }

    fn of(refresh: &str) -> Pair {
        let refresh = RefreshToken { value: secret_string(refresh), expires_at: None };
        Pair { access: None, refresh: Some(refresh), previous_refresh: None }
    }

    /// `web`, whose record is gone, with what a person has put into the bootstrap Secret.
    fn without_record(bootstrap: Option<&str>) -> Observed {
        healthy(SourceKind::Offline, json!({})).with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            offline.recorded = None;
            offline.bootstrap =
                bootstrap.map(|hash| Bootstrap { pair: of(&format!("boot-{hash}")), fingerprint: hash.into() });
        })
    }

    #[tokio::test]
    async fn a_pair_in_hand_is_not_lost_with_its_record() {
        for (bootstrap, refresh, previous) in
            [(Some("a"), "r2", None), (None, "r2", None), (Some("b"), "boot-b", Some("r2"))]
        {
            let (server, observed) = (Server::default(), without_record(bootstrap));
            let context = server.context();
            let came = Renewed {
                pair: of("r2"),
                replaces: Some(secret_string("r1")),
                begun: Some("a".into()),
                spent: None,
                customer: None,
            };
            context.unrecorded.put(observed.identity.uid.clone(), came);
            begin(&context, &observed).await.unwrap();
            let written = |key| server.key(key);
            assert_eq!(
                (written("refresh_token").as_deref(), written("previous_refresh_token").as_deref()),
                (Some(refresh), previous),
                "{bootstrap:?}"
            );
            assert!(context.unrecorded.get(&observed.identity.uid).is_none());
        }
    }

    /// The record of a pair that this object, or another of its name, was issued with; it goes, and with it what it had.
    async fn left(
        holder: Identity,
        client_id: &str,
        known: bool,
        refuses: Option<StatusCode>,
        ago: TimeDelta,
    ) -> Result<(bool, bool), Stop> {
        let fields = json!({"deletionPolicy": "Revoke"});
        let observed = healthy(SourceKind::Offline, fields).with(|o| {
            if !known {
                o.issuer = Err(Failure::new(Reason::SecretConflict, "another app's"));
            }
        });
        let held = Content { pair: &of("r1"), bootstrap: None, spent: None, customer: None };
        let mut secret = pair::recorded(&observed.token, &holder, client_id, None, held);
        secret.metadata.owner_references = None;
        secret.data.get_or_insert_default().insert("note".into(), ByteString(b"x".to_vec()));
        let server = Server { held: Arc::new(Mutex::new(Some(secret))), refuses };
        let context = server.context();
        let observed =
            observed.with(|o| o.token.metadata.deletion_timestamp = Some(time::to_kube(context.now() - ago)));
        let news = settle(&context, &observed, false).await?;
        Ok((server.key("refresh_token").is_some(), news.is_some()))
    }

    #[tokio::test]
    async fn what_another_object_of_the_name_retained_stays() {
        let earlier = Identity { uid: "earlier".into(), ..identity() };
        let soon = TimeDelta::seconds(1);
        let stays = async |holder, client_id, known| left(holder, client_id, known, None, soon).await.unwrap().0;
        assert!(stays(earlier.clone(), "other", false).await, "it never was this object's");
        assert!(!stays(identity(), "other", false).await, "its own, of the app it had");
        assert!(!stays(earlier, "id", true).await, "taken up");
    }

    #[tokio::test]
    async fn a_deletion_ends_though_the_record_cannot_go() {
        let refused = Some(StatusCode::UNPROCESSABLE_ENTITY);
        let early = left(identity(), "id", true, refused, TimeDelta::minutes(1)).await;
        assert!(matches!(early, Err(Stop::Failure(Failure { reason: Reason::WriteRefused, .. }))), "{early:?}");
        assert_eq!(left(identity(), "id", true, refused, TimeDelta::hours(2)).await.unwrap(), (true, true));
    }
}
