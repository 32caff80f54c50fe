//! One reconcile of a ShopifyApp: whether its credentials are there, whether an old client secret is in use, and whether
//! the app may go.

mod old_secret;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::{ObjectReference, Secret},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject, runtime::reflector::ObjectRef};

use secrecy::SecretString;

use self::old_secret::Verdict;
use super::{
    act::protect,
    context::Context,
    error::{Error, Stop},
    observe::{Needs, app_credentials},
    outcome::{Acted, News},
    reconcile::guarded,
    report::{StatusWrite, publish_all, write_status},
    unreadable::{place, released},
};
use crate::{
    api::{
        ShopifyApp, ShopifyAppStatus, ShopifyToken,
        app::{AppFailure, AppTokens},
    },
    core::{
        bounded,
        condition::{find, foreign, obstacle},
        failure::Failure,
        finalizer::has_finalizer,
        old_secret::{Judgement, tokens_are},
        vocabulary::{Class, EventReason, Reason, conditions},
    },
    kubernetes::Lenient,
    queue::Again,
    spans, time,
};

/// How often an app that waits for its deletion is looked at, should a watch miss the moment.
const WAITING: Duration = Duration::from_mins(1);

/// How long an app waits for the list of its namespace's tokens at a time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an app waits for the watch of Secrets at a time.
const SOON: Duration = Duration::from_secs(1);

/// How much of a hash names a client secret to people.
const SHORT: usize = 8;

/// Reconciles an app, guarded like a token.
///
/// # Errors
/// See [`Error`].
pub async fn reconcile(app: Arc<Lenient<ShopifyApp>>, context: Arc<Context>) -> Result<Again, Error> {
    let reconcile = async {
        // Its status counts them.
        if !context.stores.tokens_listed(&app.namespace().unwrap_or_default(), PATIENCE).await {
            return Ok(Again::After(PATIENCE));
        }
        match &app.0 {
            Ok(app) => {
                if !app.spec.grants.is_empty() {
                    context.stores.neighbours_listed(PATIENCE).await;
                }
                once(&context, app).await
            }
            Err(invalid) => unreadable(&context, &app.object_ref(&()), invalid).await,
        }
    };
    let span = spans::reconcile("ShopifyApp", &app.namespace().unwrap_or_default(), &app.name_any());
    let ended = guarded(&context, "ShopifyApp", span, reconcile).await;
    if ended.is_ok() {
        context.errors.remove(&ObjectRef::from_obj(&*app).to_string());
    }
    ended
}

/// An app that doesn't fit its type: when it is deleted it is let go as soon as no token needs it.
async fn unreadable(context: &Context, regarding: &ObjectReference, invalid: &InvalidObject) -> Result<Again, Error> {
    let (namespace, name) = place(invalid);
    // What it granted nobody knows: it is held by its own namespace alone.
    if invalid.metadata.deletion_timestamp.is_some() && !Needs::of(context, &namespace).await?.app(&name).is_empty() {
        return Ok(Again::After(WAITING));
    }
    let let_go = async || protect::take_off::<ShopifyApp>(context, &namespace, &name).await;
    Ok(released(context, regarding, invalid, let_go).await?.action())
}

/// Observes and reports, once.
///
/// # Errors
/// Of Kubernetes.
pub async fn once(context: &Context, app: &ShopifyApp) -> Result<Again, Error> {
    let namespace = app.namespace().unwrap_or_default();
    let secret = context.shared_secret(&namespace, &app.spec.credentials_ref.name).await?;
    let deleting = app.metadata.deletion_timestamp.is_some();
    let mut waits = false;
    let needed_by = match release(context, app, secret.as_deref()).await {
        Ok(needed_by) if deleting && needed_by.is_empty() => return Ok(Again::OnChange),
        Ok(needed_by) => {
            context.refused.remove(&app.uid().unwrap_or_default());
            needed_by
        }
        Err(stop) => {
            publish_all(context, &app.object_ref(&()), &Acted::warned(&stop.failure()?).news).await;
            waits = true;
            Vec::new()
        }
    };
    let credentials = secret.as_deref().map(app_credentials);
    let users = context.stores.users_of_app(app);
    let verdict = match &credentials {
        Some(Ok((id, client_secret))) => {
            let Some(verdict) = old_secret::judge(context, app, &users, (id, client_secret)).await? else {
                return Ok(Again::After(SOON));
            };
            Some(verdict)
        }
        Some(Err(_)) | None => None,
    };
    let status = project(context, app, credentials, verdict.as_ref(), (&users, &needed_by));
    let written = write_status(context, app, app.status.as_ref(), &status).await?;
    if let StatusWrite::Written { shown_by } = written {
        context.own_versions.put(app.uid().unwrap_or_default(), (shown_by, app.metadata.generation));
    }
    if let Some(verdict) = &verdict {
        publish_all(context, &app.object_ref(&()), &news(app, verdict)).await;
    }
    waits |= deleting && has_finalizer(app);
    let now = context.now();
    let due = written.refused_until().into_iter().chain(verdict.and_then(|verdict| verdict.wake_at));
    // A moment later than the time itself, so that it has come.
    let due = due.map(|at| (at - now).to_std().unwrap_or_default() + Duration::from_millis(20));
    let next = due.chain(waits.then_some(WAITING));
    Ok(next.min().map_or(Again::OnChange, Again::After))
}

/// What is new of a client secret that has taken the place of another one.
fn news(app: &ShopifyApp, verdict: &Verdict) -> Vec<News> {
    let Verdict { secret, judgement, before, .. } = verdict;
    let before = before.as_ref().filter(|before| before.hash == secret.hash);
    let told = app.status.as_ref().filter(|s| s.client_secret.as_ref().is_some_and(|s| s.hash == secret.hash));
    let Judgement { total, on_current, safe, stopped, .. } = *judgement;
    let Some(since) = &secret.since else { return Vec::new() };
    let known = |judged: fn(&Judgement) -> bool, status: fn(&ShopifyAppStatus) -> bool| {
        before.map(|before| judged(&before.judgement)).or(told.map(status))
    };
    let was_safe = known(|j| j.safe, |s| is_true(s, conditions::SAFE_TO_REVOKE_OLD_SECRET));
    let had_moved = known(
        |j| j.on_current == j.total,
        |s| s.tokens.as_ref().is_some_and(|tokens| tokens.on_current_secret == Some(tokens.total)),
    );
    let was_stopped = known(|j| j.stopped, |s| is_true(s, conditions::STALLED));
    let mut news = Vec::new();
    let name = &secret.hash[..SHORT];
    let again = told.and_then(|told| told.client_secret.as_ref()?.since.as_ref()) == Some(since);
    if before.is_none() && !again && total > 0 {
        let (within, moving) = (app.spec.rotates_within().num_seconds(), total - on_current);
        let note = format!(
            "client secret {name} took the place of another one: {} issued again within {within} s",
            tokens_are(moving, total)
        );
        news.push(News::of(EventReason::SecretChanged, note));
    }
    if had_moved == Some(false) && on_current == total && !safe {
        let all = if total == 1 { "the one token is".to_owned() } else { format!("all {total} tokens are") };
        let note = format!("{all} on client secret {name}; {}", judgement.message);
        news.push(News::of(EventReason::SecretRotated, note));
    }
    if was_safe == Some(false) && safe {
        let note = format!("client secret {name}: {}", judgement.message);
        news.push(News::of(EventReason::SafeToRevoke, note));
    }
    if stopped && was_stopped != Some(true) {
        let note = format!("client secret {name}: {}", judgement.message);
        let failure = Some(Reason::CredentialsRejected);
        news.push(News { failure, ..News::of(EventReason::SecretRotationStopped, note) });
    }
    news
}

fn is_true(status: &ShopifyAppStatus, type_: &str) -> bool {
    find(&status.conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Takes our finalizer off the app and its Secret once no token needs them for its revocation. The tokens for which a
/// deletion has to wait.
async fn release(context: &Context, app: &ShopifyApp, secret: Option<&Secret>) -> Result<Vec<String>, Stop> {
    let namespace = app.namespace().unwrap_or_default();
    let protected_secret = secret.filter(|s| has_finalizer(*s));
    if !has_finalizer(app) && protected_secret.is_none() {
        return Ok(Vec::new());
    }
    let deleting = app.metadata.deletion_timestamp.is_some();
    // The watch's view is a hint that saves a list; the live list decides.
    if !deleting && context.stores.needs_app(app) {
        return Ok(Vec::new());
    }
    let needed_by = Needs::from_anywhere(context, &namespace).await?.app(&app.name_any());
    if !needed_by.is_empty() {
        return Ok(if deleting { needed_by } else { Vec::new() });
    }
    if let Some(secret) = protected_secret {
        let what = format!("to take our finalizer off Secret {:?}", secret.name_any());
        let uid = app.uid().unwrap_or_default();
        let let_go = protect::let_secret_go(context, &namespace, &secret.name_any()).await;
        let_go.map_err(|error| context.unwritten(&uid, &what, error))?;
    }
    protect::let_app_go(context, app).await?;
    Ok(needed_by)
}

fn project(
    context: &Context,
    app: &ShopifyApp,
    credentials: Option<Result<(String, SecretString), Failure>>,
    verdict: Option<&Verdict>,
    (users, needed_by): (&[Arc<Lenient<ShopifyToken>>], &[String]),
) -> ShopifyAppStatus {
    let before = app.status.clone().unwrap_or_default();
    let now = time::to_kube(context.now());
    let name = &app.spec.credentials_ref.name;
    let refused = users
        .iter()
        .filter_map(|t| t.0.as_ref().ok())
        .find(|t| t.status.as_ref().and_then(obstacle) == Some(Reason::CredentialsRejected));
    let failure = match (credentials, refused) {
        (None, _) => Some(Failure::new(
            Reason::CredentialsMissing,
            format!("Secret {name:?} isn't there yet; make it with the keys client_id and client_secret"),
        )),
        (Some(credentials), None) => credentials.err(),
        (Some(credentials), Some(token)) => Some(credentials.err().unwrap_or_else(|| {
            let elsewhere = token.namespace().filter(|place| Some(place) != app.namespace().as_ref());
            let elsewhere = elsewhere.map(|place| format!(" of namespace {place:?}")).unwrap_or_default();
            let (shop, name) = (&token.spec.shop, token.name_any());
            let message = format!("{shop} refuses the client id or secret; see ShopifyToken {name:?}{elsewhere}");
            Failure::new(Reason::CredentialsRejected, message)
        })),
    };
    let last_failure = match (&failure, refused) {
        (Some(failure), Some(token)) if failure.reason == Reason::CredentialsRejected => {
            let time = before
                .last_failure
                .as_ref()
                .filter(|f| f.shop == token.spec.shop)
                .map_or(now.clone(), |f| f.time.clone());
            Some(AppFailure { shop: token.spec.shop.clone(), reason: failure.reason.as_str().to_owned(), time })
        }
        _ => before.last_failure.clone(),
    };
    let mut conditions = conditions_of(app, &before, failure.as_ref(), needed_by, &now);
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let (tokens, client_secret) = if let Some(Verdict { secret, judgement, .. }) = verdict {
        let (status, reason) =
            if judgement.safe { ("True", Reason::NoTokenOnOldSecret) } else { ("False", Reason::TokensOnOldSecret) };
        let message = format!("client secret {}: {}", &secret.hash[..SHORT], judgement.message);
        let type_ = conditions::SAFE_TO_REVOKE_OLD_SECRET;
        conditions.push(condition(app, &before, type_, (status, reason, &message), &now));
        let Judgement { total, on_current, .. } = *judgement;
        let tokens = AppTokens { total: number(total), on_current_secret: Some(number(on_current)) };
        (tokens, Some(secret.clone()))
    } else {
        // Nothing is known of a secret that isn't there: what was said of the last one stays, with its name.
        conditions.extend(find(&before.conditions, conditions::SAFE_TO_REVOKE_OLD_SECRET).cloned());
        let on_current_secret = before.tokens.as_ref().and_then(|tokens| tokens.on_current_secret);
        (AppTokens { total: number(users.len()), on_current_secret }, before.client_secret.clone())
    };
    conditions.extend(foreign(&before.conditions).cloned());
    ShopifyAppStatus {
        observed_generation: app.metadata.generation.unwrap_or_default(),
        conditions,
        tokens: Some(tokens),
        client_secret,
        last_failure,
    }
}

fn condition(
    app: &ShopifyApp,
    before: &ShopifyAppStatus,
    type_: &str,
    (status, reason, message): (&str, Reason, &str),
    now: &Time,
) -> Condition {
    let same = find(&before.conditions, type_).filter(|c| c.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: bounded::text(message, bounded::MESSAGE).into_owned(),
        observed_generation: app.metadata.generation,
        last_transition_time: same.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
    }
}

fn conditions_of(
    app: &ShopifyApp,
    before: &ShopifyAppStatus,
    failure: Option<&Failure>,
    needed_by: &[String],
    now: &Time,
) -> Vec<Condition> {
    let condition = |type_: &str, status: &str, reason: Reason, message: &str| {
        condition(app, before, type_, (status, reason, message), now)
    };
    let Some(failure) = failure else {
        let mut conditions = vec![condition(
            conditions::READY,
            "True",
            Reason::CredentialsPresent,
            "client id and client secret are there",
        )];
        if !needed_by.is_empty() {
            let message = format!(
                "kept until the tokens that need it are revoked: {}; delete those, or withdraw what is granted to their namespaces",
                needed_by.join(", ")
            );
            conditions.push(condition(conditions::RECONCILING, "True", Reason::Revoking, &message));
        }
        return conditions;
    };
    let also = if failure.reason.class() == Class::Stalled { conditions::STALLED } else { conditions::RECONCILING };
    vec![
        condition(conditions::READY, "False", failure.reason, &failure.message),
        condition(also, "True", failure.reason, &failure.message),
    ]
}
