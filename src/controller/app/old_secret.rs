//! What an app's tokens say of its client secrets: read from the watches, and live before the old one is said to be unused.

use std::{collections::HashMap, sync::Arc};

use chrono::TimeDelta;
use kube::ResourceExt;
use secrecy::SecretString;

use crate::{
    api::{ShopifyApp, ShopifyToken, app::AppSecret},
    controller::{
        context::Context,
        kept::Judged,
        listed::Neighbour,
        observe::{abroad::neighbours, list::list, older},
        watch::api,
    },
    core::{
        condition::{find, obstacle},
        grant::is_granted,
        minted::{self, Rotation},
        old_secret::{self, Judgement, Standing, Standings},
        vocabulary::{Reason, conditions},
    },
    kubernetes::Lenient,
    time::{self, Timestamp},
};

/// How long a judgement is taken for what it was while a rotation is under way: each of hundreds of tokens that are issued
/// again asks for another one.
const APART: TimeDelta = TimeDelta::seconds(3);

/// What was judged, of which client secret, and when to look again.
pub(super) struct Verdict {
    pub secret: AppSecret,
    pub judgement: Judgement,
    /// What was known before.
    pub before: Option<Judged>,
    /// When something changes by time alone, or may have changed since.
    pub wake_at: Option<Timestamp>,
}

/// Judges whether the old client secret of an app is in use; `None` as long as the watch hasn't brought the Secrets that
/// tell, and nothing has changed.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn judge(
    context: &Context,
    app: &ShopifyApp,
    users: &[Arc<Lenient<ShopifyToken>>],
    (client_id, secret): (&str, &SecretString),
) -> Result<Option<Verdict>, kube::Error> {
    let (namespace, uid, now) = (app.namespace().unwrap_or_default(), app.uid().unwrap_or_default(), context.now());
    let hash = minted::of_app(&namespace, &app.name_any(), secret);
    let told = app.status.as_ref().and_then(|status| status.client_secret.as_ref());
    let before = context.judged.get(&uid);
    let since = match (told.filter(|told| told.hash == hash), &before) {
        (Some(told), _) => told.since.as_ref().map(time::from_kube),
        // Written a moment ago: the watch lags behind.
        (None, Some(judged)) if judged.hash == hash => judged.since,
        (None, _) => told.map(|_| time::round_down(now)),
    };
    let secret_of = |since: Option<Timestamp>| AppSecret { hash: hash.clone(), since: since.map(time::to_kube) };
    if let Some(judged) =
        before.as_ref().filter(|j| j.hash == hash && !j.judgement.safe && j.at <= now && now - j.at < APART)
    {
        let (judgement, wake_at) = (judged.judgement.clone(), Some(judged.at + APART));
        return Ok(Some(Verdict { secret: secret_of(since), judgement, before, wake_at }));
    }
    let places = users.iter().map(|user| user.namespace().unwrap_or_default());
    if told.is_none_or(|told| told.hash == hash) && !places.into_iter().all(|place| context.holdings.knows(&place)) {
        return Ok(None);
    }
    let mut standings = match &context.setup.selector {
        // Others serve the rest of its tokens.
        Some(_) => live(context, app, (client_id, secret), now).await?,
        None => watched(context, app, users, secret, now),
    };
    let since = since.or_else(|| standings.is_under_way().then(|| time::round_down(now)));
    let rotation = since.map(|since| Rotation { since, within: app.spec.rotates_within() });
    // What was refused before was another secret; times are of whole seconds.
    let first = told.is_none_or(|told| told.hash != hash) && before.as_ref().is_none_or(|before| before.hash != hash);
    let refused = users.iter().filter_map(|token| token.0.as_ref().ok()?.status.as_ref()).any(|status| {
        let failed_at = status.last_failure_time.as_ref().map(time::from_kube);
        obstacle(status) == Some(Reason::CredentialsRejected) && (failed_at > since || (failed_at == since && !first))
    });
    let judged = |standings: &Standings| old_secret::judge(standings, rotation.as_ref(), refused);
    let mut judgement = judged(&standings);
    if judgement.safe && rotation.is_some() && context.setup.selector.is_none() && !is_said(app, &hash) {
        // What a person is told to act upon isn't left to a watch that may lag behind, or that others share.
        standings = live(context, app, (client_id, secret), now).await?;
        judgement = judged(&standings);
    }
    // Nobody tells of what other instances have issued.
    let others = context.setup.selector.is_some() && !judgement.safe;
    let wake_at = judgement.wake_at.into_iter().chain(others.then(|| now + APART * 3)).min();
    context.judged.put(uid, Judged { at: now, hash: hash.clone(), since, judgement: judgement.clone() });
    Ok(Some(Verdict { secret: secret_of(since), judgement, before, wake_at }))
}

/// Whether the status says of this secret that no other one is in use.
fn is_said(app: &ShopifyApp, hash: &str) -> bool {
    let Some(status) = &app.status else { return false };
    let condition = find(&status.conditions, conditions::SAFE_TO_REVOKE_OLD_SECRET);
    condition.is_some_and(|c| c.status == "True") && status.client_secret.as_ref().is_some_and(|s| s.hash == hash)
}

fn watched(
    context: &Context,
    app: &ShopifyApp,
    users: &[Arc<Lenient<ShopifyToken>>],
    secret: &SecretString,
    now: Timestamp,
) -> Standings {
    let mut all = Standings::at(now);
    let users: Vec<&ShopifyToken> = users.iter().filter_map(|user| user.0.as_ref().ok()).collect();
    let made_with = |user: &&ShopifyToken| {
        context.stores.tokens_with_admin(&user.namespace().unwrap_or_default(), &user.name_any())
    };
    let below: Vec<_> = users.iter().flat_map(made_with).collect();
    let below = Delegates::among(below.iter().filter_map(|token| token.0.as_ref().ok()));
    all.extend(users.into_iter().flat_map(|user| family(context, app, user, &below, secret)));
    all
}

/// Delegates, by namespace and name of their admin token.
struct Delegates<'a>(HashMap<(String, String), Vec<&'a ShopifyToken>>);

impl<'a> Delegates<'a> {
    fn among(tokens: impl Iterator<Item = &'a ShopifyToken>) -> Self {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for token in tokens.filter(|token| token.spec.source.delegate.is_some()) {
            if let Some(admin) = token.admin_token() {
                all.entry((token.namespace().unwrap_or_default(), admin.to_owned())).or_default().push(token);
            }
        }
        Self(all)
    }
}

/// Reads it live, without the instance's selector.
async fn live(
    context: &Context,
    app: &ShopifyApp,
    (client_id, secret): (&str, &SecretString),
    now: Timestamp,
) -> Result<Standings, kube::Error> {
    let (namespace, name) = (app.namespace().unwrap_or_default(), app.name_any());
    let (own, unreadable) = list::<ShopifyToken>(&api(context.client(), Some(&namespace))).await?;
    let names = |token: &ShopifyToken| token.app() == Some((&namespace, &name));
    let mut places = vec![(namespace.clone(), own.iter().filter(|t| names(t)).cloned().collect::<Vec<_>>(), own)];
    if !app.spec.grants.is_empty() {
        for (place, Neighbour { tokens, labels }) in neighbours(context, &namespace).await? {
            let users = tokens.iter().filter(|t| names(t) && is_granted(app, t, &labels)).cloned().collect();
            places.push((place, users, tokens));
        }
    }
    let mut standings = Standings::at(now);
    for (place, users, tokens) in places {
        if users.is_empty() && (place != namespace || unreadable.is_empty()) {
            continue;
        }
        older::list(context, &place).await?;
        let below = Delegates::among(tokens.iter());
        standings.extend(users.iter().flat_map(|user| family(context, app, user, &below, secret)));
    }
    for token in &unreadable {
        let mints = context.holdings.mints_of(&namespace, token).into_iter();
        let ours = mints.filter(|mint| mint.issuer.as_deref() == Some(client_id));
        standings.extend(ours.map(|mint| Standing::unreadable(&namespace, token, mint, secret)));
    }
    Ok(standings)
}

/// A token of the app, and its delegates.
fn family(
    context: &Context,
    app: &ShopifyApp,
    user: &ShopifyToken,
    Delegates(delegates): &Delegates<'_>,
    secret: &SecretString,
) -> Vec<Standing> {
    let (home, place) = (app.namespace().unwrap_or_default(), user.namespace().unwrap_or_default());
    let mint = |token: &ShopifyToken| context.holdings.mint(&place, token.secret_name(), &token.name_any());
    // What has no credential is issued with the current secret.
    let standing = mint(user).and_then(|mint| Standing::of(user, mint, secret, &home));
    let below = delegates.get(&(place.clone(), user.name_any())).into_iter().flatten();
    let below = below
        .filter_map(|delegate| Standing::below(delegate, mint(delegate)?, (user, standing.as_ref()), secret, &home));
    let below: Vec<Standing> = below.collect();
    standing.into_iter().chain(below).collect()
}
