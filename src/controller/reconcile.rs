//! One reconcile of a ShopifyToken: observe, plan, act, report.

use std::{cmp::Reverse, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use tracing::{Instrument, Span};

use super::{
    act::{ShopSlot, act},
    context::{BEHIND, Context},
    error::Error,
    key::ObjectKey,
    memory::LAG,
    observe::{agree, glance, observe, secret_slot},
    outcome::{Acted, Outcome},
    report::{report, unchanged},
    unreadable::{sourceless, unreadable},
};
use crate::{
    api::ShopifyToken,
    core::{
        observed::Observed,
        pace::{self, Paced, plan_slowed},
        plan::{Call, Step},
        urgency::{Urgency, expects_call},
        vocabulary::{EventReason, labels::Reconciled},
    },
    kubernetes::Lenient,
    queue::Again,
    shopify::Shop,
    spans,
};

/// Longest a reconcile may take, waiting for its turn at a shop included.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// How long who waits for a worker, or a slot, waits at most to ask again.
const IN_LINE: Duration = Duration::from_mins(1);

/// Reconciles a token, guarded: a panic or a hang of one object leaves the others alone.
///
/// # Errors
/// See [`Error`].
pub async fn reconcile(token: Arc<Lenient<ShopifyToken>>, context: Arc<Context>) -> Result<Again, Error> {
    let key = ObjectKey::of_object(&*token);
    // What the Secrets' metadata tells needn't be read.
    context.holdings.first_list(key.namespace()).await;
    let shop = token.0.as_ref().ok().and_then(|token| token.spec.shop.parse::<Shop>().ok());
    let held = shop.is_some_and(|shop| context.slots.holds(&shop, &key));
    let has_one = token.0.as_ref().is_ok_and(|token| Urgency::of(token, true, context.now()) > Urgency::AtOnce);
    let came = std::time::Instant::now() + if has_one { BEHIND } else { Duration::ZERO };
    let Some(worker) = context.workers.begin(&key, (Reverse(held), came)) else { return Ok(in_line()) };
    // It may have changed since it was queued.
    let errors = ObjectRef::from_obj(&*token).to_string();
    let Some(token) = context.stores.newest(&key) else {
        context.errors.remove(&errors);
        return Ok(Again::OnChange);
    };
    let uid = token.uid().unwrap_or_default();
    let reconcile = Box::pin(async {
        let ended = match &token.0 {
            _ if context.is_let_go(&*token) => Some(Again::After(LAG)),
            Ok(token) => match sourceless(token) {
                None => once(&context, token).await?,
                Some(invalid) => Some(unreadable(&context, &token.object_ref(&()), &invalid).await?),
            },
            Err(invalid) => Some(unreadable(&context, &token.object_ref(&()), invalid).await?),
        };
        // Who waits in line has ended neither well nor badly.
        if ended.is_some() {
            context.errors.remove(&errors);
        }
        Ok(ended.unwrap_or_else(in_line))
    });
    let span = spans::reconcile("ShopifyToken", key.namespace(), key.name());
    let ended = worker.work(guarded(&context, "ShopifyToken", span, reconcile)).await;
    // It may have gone before the answer to the last write came: nobody tells that again.
    match context.stores.newest(&key) {
        None => context.forget(&key, &uid),
        Some(other) if other.uid().unwrap_or_default() != uid => context.forget_object(&uid),
        Some(_) => {}
    }
    ended
}

/// Bounds a reconcile in time, catches its panic, and counts it; `span` is what a trace tells of it.
///
/// # Errors
/// Those of the reconcile, [`Error::TimedOut`] and [`Error::Panicked`].
pub async fn guarded(
    context: &Context,
    kind: &'static str,
    span: Span,
    reconcile: impl Future<Output = Result<Again, Error>>,
) -> Result<Again, Error> {
    let started = std::time::Instant::now();
    let reconcile = AssertUnwindSafe(reconcile).catch_unwind().instrument(span.clone());
    let bounded = tokio::time::timeout(TIME_LIMIT, reconcile).await;
    let result = match bounded {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(Error::Panicked),
        Err(_elapsed) => Err(Error::TimedOut(TIME_LIMIT)),
    };
    let label = result.as_ref().map_or_else(Error::result, |_| Reconciled::Success);
    context.setup.metrics.reconciled(kind, label, started.elapsed());
    spans::reconciled(&span, label);
    if result.is_err() {
        spans::failed(&span);
    }
    result
}

/// Observes, plans, acts and reports, once. Says when to look again; `None` if the token waits in line at its shop.
///
/// # Errors
/// Of Kubernetes.
pub async fn once(context: &Context, token: &ShopifyToken) -> Result<Option<Again>, Error> {
    let token = context.catch_up(token);
    let token = token.as_ref();
    let (key, uid) = (ObjectKey::of_object(token), &token.uid().unwrap_or_default());
    if let Some(later) = nothing_due(context, token).await? {
        asks_nothing(context, &key);
        if let Ok(shop) = token.spec.shop.parse() {
            context.slots.leave(&shop, &key, std::time::Instant::now());
        }
        context.refused.remove(uid);
        return Ok(Some(later));
    }
    let mut slot = match at_shop(context, token) {
        AtShop::Slot(slot) => Some(slot),
        AtShop::NotNeeded => None,
        AtShop::InLine => return Ok(None),
    };
    let observation = observe(context, token).await?;
    let (observed, now) = (&observation.observed, context.now());
    let pace = context.paces.get(uid).unwrap_or_default();
    let planned = |waiting: &[Call]| plan_slowed(observed, waiting, &pace, now);
    let mut plan = planned(&[]);
    if !matches!(plan.step, Step::Call(_)) {
        asks_nothing(context, &key);
    }
    let mut acted = act(context, &observation, plan.step, &mut slot).await?;
    let mut waiting = Vec::new();
    // What waits until others are answered holds nothing else up.
    while let (Outcome::Waits(_), Step::Call(call)) = (&acted.outcome, plan.step) {
        waiting.push(call);
        let other = planned(&waiting);
        let instead = act(context, &observation, other.step, &mut slot).await?;
        if !matches!(other.step, Step::Call(_)) {
            let instead = paced(context, observed, other.step, instead);
            match instead.outcome {
                Outcome::Failed { .. } => (acted, plan) = (instead, other),
                // What is waited for is told all the same.
                Outcome::Unchanged
                | Outcome::Busy
                | Outcome::Waits(_)
                | Outcome::Published { .. }
                | Outcome::Kept
                | Outcome::Verified
                | Outcome::Rejected
                | Outcome::CodeRefused(_)
                | Outcome::LetGo => acted.news.extend(instead.news),
            }
            break;
        }
        if !matches!(instead.outcome, Outcome::Waits(_)) {
            (acted, plan) = (instead, other);
            break;
        }
        plan.step = other.step;
    }
    if matches!(acted.outcome, Outcome::Busy) {
        return Ok(None);
    }
    drop(slot);
    let acted = paced(context, observed, plan.step, acted);
    if !acted.is_refused() {
        context.refused.remove(uid);
    }
    agree(context, observed);
    let ended = report(context, observed, &plan, &waiting, acted).await;
    secret_slot::pass_on(context, observed, plan.step);
    ended.map(Some)
}

/// Where a token stands at its shop, before anything is read of it.
enum AtShop {
    /// It has a slot.
    Slot(ShopSlot),
    /// It goes on without one: as far as is known, nothing is asked of the shop.
    NotNeeded,
    /// There is none for it: it is woken when there is.
    InLine,
}

fn at_shop(context: &Context, token: &ShopifyToken) -> AtShop {
    let (key, now) = (ObjectKey::of_object(token), context.now());
    let Ok(shop) = token.spec.shop.parse::<Shop>() else { return AtShop::NotNeeded };
    let expects = expects_call(token, context.setup.revocation_timeout, now);
    if !expects && !context.slots.waits(&shop, &key) {
        return AtShop::NotNeeded;
    }
    match context.slots.take(&shop, &key, Urgency::of(token, true, now)) {
        Some(slot) => AtShop::Slot(slot),
        // It waited for something else, and can go without the shop now.
        None if !expects && token.metadata.deletion_timestamp.is_some() => AtShop::NotNeeded,
        None => AtShop::InLine,
    }
}

/// Who waits in line is woken; this is the net below.
fn in_line() -> Again {
    Again::After(IN_LINE)
}

/// Who asks nothing of Shopify now leaves a turn to ask to others.
fn asks_nothing(context: &Context, key: &ObjectKey) {
    context.pass_on(&context.outages.pass(key, context.now()));
}

/// When to look again at a token that goes along with its namespace, or of which everything is as it should be, and is known
/// without reading its Secret.
async fn nothing_due(context: &Context, token: &ShopifyToken) -> Result<Option<Again>, Error> {
    if let Some(left) = context.goes_along(token) {
        return Ok(Some(Again::After(left)));
    }
    let Some(observed) = glance(context, token).await? else { return Ok(None) };
    let now = context.now();
    let pace = context.paces.get(&observed.identity.uid).unwrap_or_default();
    let plan = plan_slowed(&observed, &[], &pace, now);
    if plan.step != Step::Keep || plan.hold.is_some() {
        return Ok(None);
    }
    Ok(unchanged(context, &observed, &plan))
}

/// Counts a step that was taken. The one after which the object has to wait tells who may be to blame.
fn paced(context: &Context, observed: &Observed, step: Step, acted: Acted) -> Acted {
    let uid = &observed.identity.uid;
    let others = context.paces.get(uid).is_some_and(|pace| pace.is_others(observed.record()));
    if let Outcome::Published { record, .. } = &acted.outcome {
        context.paces.change(uid, |pace| pace.wrote(record));
    }
    let Some(kind) = Paced::of(step, others) else { return acted };
    let taken = match (&acted.outcome, kind) {
        (Outcome::Published { .. }, _) | (Outcome::Unchanged, Paced::Restart | Paced::Protect | Paced::Leave) => true,
        (Outcome::Unchanged, Paced::Issue | Paced::Repair) => step == Step::Begin,
        (
            Outcome::Busy
            | Outcome::Waits(_)
            | Outcome::Kept
            | Outcome::Verified
            | Outcome::Rejected
            | Outcome::CodeRefused(_)
            | Outcome::Failed { .. }
            | Outcome::LetGo,
            _,
        ) => false,
    };
    if !taken {
        return acted;
    }
    let (basis, now) = (pace::basis(observed), context.now());
    let again = context.paces.change(uid, |pace| pace.taken(kind, now, &basis));
    // Who refuses a write undoes none.
    if !again || acted.is_refused() {
        return acted;
    }
    let record = observed.token.record_secret().filter(|_| step == Step::Begin);
    let secret = record.as_deref().unwrap_or(observed.token.secret_name());
    let note = format!(
        "the same step again and again: somebody else writes Secret {secret:?}, its workloads or finalizers, and each further step waits longer; kubectl get secret --show-managed-fields tells who"
    );
    acted.with(EventReason::Contended, note)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Mutex, PoisonError},
    };

    use chrono::TimeDelta;
    use http::{Method, Request, Response};
    use kube::{
        Client,
        api::ObjectMeta,
        client::Body,
        runtime::{reflector, watcher::Event},
    };
    use serde_json::json;

    use super::*;
    use crate::{
        api::{ShopifyApp, SourceKind},
        controller::{
            context::nowhere,
            watch::{Stores, Wakes, apps::app_event, tokens::token_event},
        },
        core::scene::healthy,
        kubernetes::Metadata,
    };

    fn context() -> Arc<Context> {
        Context::of_client(nowhere())
    }

    fn counted(context: &Context, result: &str) -> bool {
        let page = context.setup.metrics.encode().unwrap();
        let series = format!(r#"controller_reconciles_total{{kind="ShopifyToken",result="{result}"}} 1"#);
        page.lines().any(|line| line == series)
    }

    #[tokio::test]
    async fn nothing_is_kept_of_an_app_that_is_gone() {
        let mut stores = Stores::default();
        let (_, apps) = stores.add(None);
        let context = Context::of_stores(server().0, stores);
        let app = json!({
            "metadata": {"name": "acme", "namespace": "shop", "uid": "0a1b", "generation": 1},
            "spec": {"credentialsRef": {"name": "acme-app"}},
        });
        let app: Arc<Lenient<ShopifyApp>> = Arc::new(Lenient(Ok(serde_json::from_value(app).unwrap())));
        let tell = |event| {
            app_event(&context, &event, &apps.note(&event));
        };
        tell(Event::Apply(app.clone()));
        assert_eq!(context.apps_seen.keys(), [ObjectKey::new("shop", "acme")]);
        tell(Event::Delete(app));
        assert!(context.apps_seen.keys().is_empty());
    }

    /// An API server without any object that takes every write, and what was written.
    fn server() -> (Client, Arc<Mutex<Vec<String>>>) {
        server_while(|| ())
    }

    /// The same; `meanwhile` happens before a write is answered.
    fn server_while(meanwhile: impl Fn() + Send + Sync + 'static) -> (Client, Arc<Mutex<Vec<String>>>) {
        let meanwhile = Arc::new(meanwhile);
        let written = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&written);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (told, meanwhile) = (Arc::clone(&told), Arc::clone(&meanwhile));
            async move {
                let (reads, body) = (request.method() == Method::GET, request.into_body());
                let body = String::from_utf8(body.collect_bytes().await.unwrap().to_vec()).unwrap();
                let nothing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"});
                let (code, answer) =
                    if reads { (404, nothing.to_string()) } else { (200, json!({"metadata": {}}).to_string()) };
                if !reads {
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                    meanwhile();
                }
                Ok::<_, Infallible>(Response::builder().status(code).body(Body::from(answer.into_bytes())).unwrap())
            }
        });
        (Client::new(service, "default"), written)
    }

    #[tokio::test]
    async fn what_changed_while_a_token_waited_counts() {
        let queued = healthy(SourceKind::Storefront, json!({})).token;
        let mut newest = queued.clone();
        newest.spec.suspend = Some(true);
        let ((client, written), mut stores) = (server(), Stores::default());
        let (tokens, _) = stores.add(None);
        tokens.note(&Event::Apply(Arc::new(Lenient(Ok(newest)))));
        let context = Context::of_stores(client, stores);
        context.holdings.listed(None, &std::collections::HashSet::new());
        reconcile(Arc::new(Lenient(Ok(queued))), Arc::clone(&context)).await.unwrap();
        let written = written.lock().unwrap_or_else(PoisonError::into_inner).concat();
        assert!(written.contains("spec.suspend is true"), "{written}");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_token_that_goes_before_the_answer_to_its_last_write() {
        let mut token = healthy(SourceKind::Storefront, json!({})).token;
        token.spec.suspend = Some(true);
        let object = || Arc::new(Lenient(Ok(token.clone())));
        let mut stores = Stores::default();
        let (tokens, _) = stores.add(None);
        tokens.note(&Event::Apply(object()));
        let gone = Event::Delete(object());
        let (client, written) = server_while(move || {
            tokens.note(&gone);
        });
        let context = Context::of_stores(client, stores);
        context.holdings.listed(None, &std::collections::HashSet::new());
        reconcile(object(), Arc::clone(&context)).await.unwrap();
        assert!(!written.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
        let key = ObjectKey::of_object(&token);
        assert!(context.written.get(&key).is_none());
    }

    #[tokio::test]
    async fn a_token_goes_along_with_its_namespace_and_not_for_ever() {
        for (minutes_ago, left_alone) in [(1, true), (6, false)] {
            let mut token = healthy(SourceKind::Storefront, json!({})).token;
            token.spec.suspend = Some(true);
            let (namespaces, mut keeper) = reflector::store();
            let ((client, written), mut stores) = (server(), Stores::default());
            let (tokens, _) = stores.add(None);
            tokens.note(&Event::Apply(Arc::new(Lenient(Ok(token.clone())))));
            stores.know(Some(namespaces));
            let context = Context::of_stores(client, stores);
            context.holdings.listed(None, &std::collections::HashSet::new());
            let ends = crate::time::to_kube(context.now() - TimeDelta::minutes(minutes_ago));
            let namespace =
                ObjectMeta { name: Some("shop".into()), deletion_timestamp: Some(ends), ..ObjectMeta::default() };
            keeper.apply_watcher_event(&Event::Apply(Metadata::from(namespace)));
            // It was woken to have a turn at its shop, which is for others.
            let (key, shop) = (ObjectKey::of_object(&token), token.spec.shop.parse::<Shop>().unwrap());
            let other = |n: usize| ObjectKey::new("team", &n.to_string());
            let others: Vec<_> = (0..).map_while(|n| context.slots.take(&shop, &other(n), Urgency::AtOnce)).collect();
            assert!(context.slots.take(&shop, &key, Urgency::AtOnce).is_none());
            drop(others);
            assert!(context.slots.holds(&shop, &key));
            reconcile(Arc::new(Lenient(Ok(token))), Arc::clone(&context)).await.unwrap();
            let untouched = written.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            assert_eq!(untouched, left_alone, "since {minutes_ago} minutes");
            assert!(!context.slots.waits(&shop, &key) && !context.slots.holds(&shop, &key));
        }
    }

    #[tokio::test]
    async fn who_finds_no_worker_begins_nothing_and_keeps_its_back_off() {
        let (context, token) = (context(), healthy(SourceKind::Storefront, json!({})).token);
        context.holdings.listed(None, &std::collections::HashSet::new());
        let failed = ObjectRef::from_obj(&token).to_string();
        context.errors.put(failed.clone(), 3);
        let busy = context.workers.begin(&ObjectKey::new("shop", "other"), (Reverse(false), std::time::Instant::now()));
        let ended = reconcile(Arc::new(Lenient(Ok(token))), Arc::clone(&context)).await;
        assert_eq!(ended.unwrap(), in_line());
        assert_eq!(context.errors.get(&failed), Some(3));
        assert!(!context.setup.metrics.encode().unwrap().contains("controller_reconciles_total{kind=\"ShopifyToken\""));
        drop(busy);
    }

    #[tokio::test]
    async fn who_has_no_credential_gets_a_worker_before_those_that_are_renewed() {
        let mut wakes = Wakes::default();
        let woken = wakes.route(None).tokens;
        let context = Context::of_parts(server().0, Stores::default(), wakes);
        context.holdings.listed(None, &std::collections::HashSet::new());
        let busy = context.workers.begin(&ObjectKey::new("shop", "other"), (Reverse(false), std::time::Instant::now()));
        let mut due = healthy(SourceKind::ClientCredentials, json!({})).token;
        let ends = crate::time::to_kube(context.now() + TimeDelta::hours(8));
        due.status.as_mut().unwrap().expires_at = Some(ends);
        let mut new = ShopifyToken { status: None, ..due.clone() };
        new.metadata.name = Some("new".into());
        for token in [due, new] {
            assert_eq!(reconcile(Arc::new(Lenient(Ok(token))), Arc::clone(&context)).await.unwrap(), in_line());
        }
        drop(busy);
        assert_eq!(woken.empty(), [ObjectKey::new("shop", "new")]);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_token_that_went_unseen_or_that_another_one_has_taken_the_name_of() {
        let mut stores = Stores::default();
        let (tokens, _) = stores.add(None);
        let context = Context::of_stores(server().0, stores);
        let held = |uid: &str| {
            let mut token = healthy(SourceKind::Storefront, json!({})).token;
            token.metadata.uid = Some(uid.to_owned());
            Arc::new(Lenient(Ok(token)))
        };
        let kept = |uid: &str| context.paces.get(uid).is_some();
        let failed = ObjectRef::from_obj(&*held("")).to_string();
        let keep = |uid: &str| {
            context.paces.change(uid, |_| ());
            context.errors.put(failed.clone(), 3);
        };
        let tell = |event| {
            token_event(&context, &event, &tokens.note(&event));
        };
        tell(Event::Apply(held("first")));
        keep("first");
        tell(Event::Apply(held("first")));
        assert!(kept("first"));
        tell(Event::Apply(held("second")));
        assert!(!kept("first"));
        keep("second");
        [Event::Init, Event::InitApply(held("second")), Event::InitDone].into_iter().for_each(tell);
        assert!(kept("second"));
        [Event::Init, Event::InitApply(held("third")), Event::InitDone].into_iter().for_each(tell);
        assert!(!kept("second"));
        keep("third");
        [Event::Init, Event::InitDone].into_iter().for_each(tell);
        assert!(!kept("third") && context.errors.keys().is_empty());
    }

    #[tokio::test]
    async fn who_takes_the_record_away_again_and_again_is_outwaited() {
        let (context, o) = (context(), healthy(SourceKind::Offline, json!({})));
        let begin = || paced(&context, &o, Step::Begin, Acted::quietly(Outcome::Unchanged)).news;
        assert!(begin().is_empty() && begin().is_empty());
        let told = begin();
        assert_eq!(told.iter().map(|news| news.reason).collect::<Vec<_>>(), [EventReason::Contended]);
        assert!(told[0].note.contains("\"web-record\""), "{}", told[0].note);
        let pace = context.paces.get(&o.identity.uid).unwrap();
        assert!(pace.not_before(Paced::Repair, context.now(), &pace::basis(&o)).is_some());
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_ends_nothing_else() {
        let context = context();
        #[allow(clippy::panic, reason = "what is tested")]
        let result = guarded(&context, "ShopifyToken", Span::none(), async { panic!("a literal") }).await;
        assert!(matches!(&result, Err(error @ Error::Panicked) if error.retry_after(1, 0.0).is_some()), "{result:?}");
        assert!(counted(&context, "panic"));

        let next = guarded(&context, "ShopifyToken", Span::none(), async { Ok(Again::OnChange) }).await;
        assert!(next.is_ok());
        assert!(counted(&context, "success"));
    }
}
