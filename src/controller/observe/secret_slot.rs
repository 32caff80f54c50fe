//! When a token is issued again because its app has another client secret: its turn among all of the app that are served here.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::{
    api::ShopifyToken,
    controller::{context::Context, kept::Scheduled, key::ObjectKey},
    core::{
        minted::Rotation,
        observed::Observed,
        plan::{Call, Step},
        secret_rotation::{Member, Schedule, Turn},
        source::{App, Issuer},
    },
    kubernetes::Lenient,
    time::Timestamp,
};

/// How long the turns of an app are taken for what they were: however many tokens ask, they are computed once in this time.
const FRESH: TimeDelta = TimeDelta::seconds(1);

/// When it is a token's turn; `None` if there is nothing to issue again.
pub(super) fn turn(context: &Context, o: &Observed) -> Option<Turn> {
    let app = o.issuer.as_ref().ok().and_then(Issuer::app)?;
    let rotation = app.rotation.filter(|_| o.on_old_secret())?;
    // A person wants it now.
    if o.reconcile_requested() {
        return Some(Turn::At(rotation.since));
    }
    let schedule = &scheduled(context, app, &rotation, context.now()).schedule;
    Some(match schedule.turns.get(&o.identity) {
        Some(turn) => *turn,
        // The watch doesn't know it yet.
        None if schedule.stopped && !schedule.turns.is_empty() => Turn::AfterFirst,
        None => Turn::At(rotation.since),
    })
}

fn scheduled(context: &Context, app: &App, rotation: &Rotation, now: Timestamp) -> Arc<Scheduled> {
    let fresh = |s: &Arc<Scheduled>| s.rotation == *rotation && s.at <= now && now - s.at < FRESH;
    context.schedules.get(&app.key).filter(fresh).unwrap_or_else(|| {
        let schedule = Schedule::of(&members(context, app, rotation), rotation, context.started_at);
        let scheduled = Arc::new(Scheduled { at: now, rotation: *rotation, schedule });
        context.schedules.put(app.key.clone(), Arc::clone(&scheduled));
        scheduled
    })
}

fn members(context: &Context, app: &App, rotation: &Rotation) -> Vec<Member> {
    let (namespace, name) = app.key.split_once('/').unwrap_or_default();
    let member = |token: Arc<Lenient<ShopifyToken>>| {
        let token = token.0.as_ref().ok().filter(|token| context.goes_along(token).is_none())?;
        let (place, its) = (token.metadata.namespace.as_deref()?, token.metadata.name.as_deref()?);
        let mint = context.holdings.mint(place, token.secret_name(), its);
        Member::of(&context.caught_up(token), mint.as_ref(), |me| app.mints(me), rotation)
    };
    context.stores.tokens_of_app(namespace, name).into_iter().filter_map(member).collect()
}

/// After a token was issued, or wasn't: those that waited for the first have their turns now, or another one is the first.
pub(in crate::controller) fn pass_on(context: &Context, o: &Observed, step: Step) {
    let Some(app) = o.issuer.as_ref().ok().and_then(Issuer::app) else { return };
    let (Step::Call(Call::Issue(_)), Some(rotation)) = (step, app.rotation) else { return };
    let Some(before) = context.schedules.remove(&app.key).filter(|before| before.schedule.stopped) else { return };
    let now = scheduled(context, app, &rotation, context.now());
    for (token, turn) in &now.schedule.turns {
        if *token != o.identity && before.schedule.turns.get(token) != Some(turn) {
            context.wakes.token(ObjectKey::of(token));
        }
    }
}
