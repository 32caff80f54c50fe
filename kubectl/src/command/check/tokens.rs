//! How the tokens stand: whether somebody looks at them, and whether Shopify answers the operator.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use kube::api::ListParams;
use shopify_token_operator::{
    api::ShopifyToken,
    clock::Clock,
    core::{
        bounded::list,
        cause::Cause,
        condition::find,
        vocabulary::{Reason, conditions},
    },
    time::Timestamp,
};

use crate::{
    cluster::Cluster,
    objects::{self, Object},
    screen::Tone,
    view::{
        checklist::Finding,
        span::length,
        state::{State, at},
    },
};

/// The operator looks at a new object within seconds.
const NOTICED: TimeDelta = TimeDelta::minutes(1);
/// As many names as a line takes.
const NAMED: usize = 5;

/// Of the namespace that is chosen, or of all; an operator may work, or doesn't.
pub(super) async fn all(cluster: &Cluster, namespace: Option<&str>, may_work: bool) -> Vec<Finding> {
    let place = namespace.map_or_else(|| "all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
    match objects::list(cluster, namespace, &ListParams::default()).await {
        Ok(objects) => findings(&objects, &place, may_work, Clock::system().now()),
        Err(failure) => vec![super::of("tokens", &failure)],
    }
}

fn findings(objects: &[Object], place: &str, may_work: bool, now: Timestamp) -> Vec<Finding> {
    let those = |wish: &dyn Fn(&Object) -> bool| objects.iter().filter(|object| wish(object)).collect::<Vec<_>>();
    let state = |object: &Object| object.token.as_ref().map(State::of);
    let mut findings = Vec::new();

    let old =
        |object: &Object| at(object.raw.metadata.creation_timestamp.as_ref()).is_some_and(|born| now - born > NOTICED);
    let unseen = those(&|object| old(object) && state(object).is_some_and(|state| state.reason == "NotSeen"));
    if !unseen.is_empty() {
        findings.push(Finding::wrong(
            "tokens",
            format!("no operator has looked at {}", names(&unseen)),
            "see whether the operator runs, and whether --watch-namespaces and --selector of it cover them",
        ));
    }
    findings.extend(shopify(objects, place, may_work, now));
    let paused = paused(objects);
    if !paused.is_empty() {
        findings.push(Finding::doubtful(
            "tokens",
            format!("{} of {} {} for another attempt: {}", paused.len(), objects.len(), wait(&paused), names(&paused)),
            "`kubectl shopify-token status` of each says why",
        ));
    }
    let stalled = those(&|object| state(object).is_some_and(|state| state.tone == Tone::Bad));
    if !stalled.is_empty() {
        findings.push(Finding::doubtful(
            "tokens",
            format!("{} of {} {} for a person: {}", stalled.len(), objects.len(), wait(&stalled), names(&stalled)),
            "`kubectl shopify-token status` of each says what to do",
        ));
    }
    findings
}

const SHOPIFY: &str = "Shopify";

/// A cause, how bad it is, what is said before how many wait for it, and what to do.
type Told = (Cause, fn(String, &str) -> Finding, &'static str, &'static str);

/// What is told of those that wait for Shopify, the worst first.
const CAUSES: [Told; 5] = [
    (
        Cause::Silence,
        wrong,
        "gave the operator no answer for",
        "egress rules, DNS and proxies of the operator, and https://www.shopifystatus.com; `status` of one says more",
    ),
    (
        Cause::Redirected,
        wrong,
        "answers with a redirect, or somebody does in its place, for",
        "open the shop's admin in a browser: is it closed, paused or being moved? if it isn't, look for a captive portal, and at egress \
         rules and proxies of the operator; `status` of one says more",
    ),
    (
        Cause::Turn,
        doubtful,
        "is to answer another token first, which is waited for by",
        "see what that one is told: `kubectl shopify-token check -A`, or `status -A`",
    ),
    (
        Cause::RateLimit,
        doubtful,
        "asks the operator to wait (rate limit) for",
        "nothing: it goes on by itself; if it lasts, see what else calls Shopify as this app",
    ),
    (
        Cause::Fault,
        doubtful,
        "answers the operator with a fault of its own for",
        "nothing: it goes on by itself; if it lasts, look at https://www.shopifystatus.com",
    ),
];

fn wrong(found: String, remedy: &str) -> Finding {
    Finding::wrong(SHOPIFY, found, remedy)
}

fn doubtful(found: String, remedy: &str) -> Finding {
    Finding::doubtful(SHOPIFY, found, remedy)
}

/// Whether Shopify answers, as far as the operator has written it down.
fn shopify(objects: &[Object], place: &str, may_work: bool, now: Timestamp) -> Vec<Finding> {
    let waiting: Vec<(&Object, Cause)> =
        objects.iter().filter_map(|object| Some((object, cause(object.token.as_ref()?)?))).collect();
    let shops = |which: Cause| -> BTreeSet<&str> {
        waiting.iter().filter(|(_, cause)| *cause == which).filter_map(|(object, _)| shop(object)).collect()
    };
    // Who waits for another's turn waits for what that one was told, where that is in view.
    let (silent, faulty) = (shops(Cause::Silence), shops(Cause::Fault));
    let cause = |object: &Object, cause| match (cause, shop(object)) {
        (Cause::Turn, Some(shop)) if silent.contains(shop) => Cause::Silence,
        (Cause::Turn, Some(shop)) if faulty.contains(shop) => Cause::Fault,
        (cause, _) => cause,
    };
    let those = |which: Cause| -> Vec<&Object> {
        waiting.iter().filter(|(object, told)| cause(object, *told) == which).map(|(object, _)| *object).collect()
    };
    let told = |(which, finding, says, remedy): Told| {
        let some = those(which);
        let found = format!("{says} {} in {place}: {}", of(some.len(), objects.len()), names(&some));
        (!some.is_empty()).then(|| finding(found, remedy))
    };
    let mut findings: Vec<Finding> = CAUSES.into_iter().filter_map(told).collect();
    if findings.is_empty() {
        findings.push(heard(objects, place, may_work, now));
    }
    findings
}

/// Whether it has confirmed tokens, and when.
fn heard(objects: &[Object], place: &str, may_work: bool, now: Timestamp) -> Finding {
    let confirmed: Vec<_> = objects.iter().filter_map(confirmed).collect();
    let last = confirmed.iter().max().map(|last| format!("{} ago", length(now - *last)));
    match last {
        _ if !may_work => {
            let last = last.map(|last| format!("; it confirmed a token {last}")).unwrap_or_default();
            Finding::unknown(
                SHOPIFY,
                format!("no operator works, so nobody asks it{last}"),
                "see to the operator first",
            )
        }
        None if objects.is_empty() => Finding::unknown(
            SHOPIFY,
            format!("there is no token in {place}, so nobody asks it"),
            "apply one, or look at those of every namespace: -A",
        ),
        None => Finding::unknown(
            SHOPIFY,
            format!("has confirmed no token of {} in {place} yet", objects.len()),
            "`kubectl shopify-token status` of one says what stands in the way; `verify` of one asks now",
        ),
        Some(last) => {
            let found = format!("has confirmed {} in {place}, the last one {last}", of(confirmed.len(), objects.len()));
            let paused = paused(objects);
            if paused.is_empty() {
                return Finding::fine(SHOPIFY, found);
            }
            Finding::unknown(
                SHOPIFY,
                format!("{found}; whether it answers for {} can't be told", names(&paused)),
                "`kubectl shopify-token status` of one says what it waits for; `verify` of one asks now",
            )
        }
    }
}

/// Those that wait for something else than Shopify, or nobody knows for what.
fn paused(objects: &[Object]) -> Vec<&Object> {
    objects.iter().filter(|object| object.token.as_ref().and_then(cause) == Some(Cause::Other)).collect()
}

fn of(some: usize, all: usize) -> String {
    format!("{some} of {all} {}", if all == 1 { "token" } else { "tokens" })
}

fn wait(some: &[&Object]) -> &'static str {
    if some.len() == 1 { "waits" } else { "wait" }
}

fn names(all: &[&Object]) -> String {
    list(&all.iter().map(|object| object.place()).collect::<Vec<_>>(), NAMED)
}

/// When Shopify last confirmed its credential.
fn confirmed(object: &Object) -> Option<Timestamp> {
    at(object.token.as_ref()?.status.as_ref()?.last_verified_time.as_ref())
}

fn shop(object: &Object) -> Option<&str> {
    object.token.as_ref().map(|token| token.spec.shop.as_str())
}

/// What the operator waits for, where it backs off, or was told no verdict when it last asked. That is left standing while a
/// token is suspended, or waits for a person.
fn cause(token: &ShopifyToken) -> Option<Cause> {
    let conditions = token.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let told = |type_, reason| find(conditions, type_).filter(|condition| condition.reason == reason);
    let holds = |type_| find(conditions, type_).is_some_and(|condition| condition.status == "True");
    let backing_off = told(conditions::RECONCILING, Reason::BackingOff.as_str());
    let rests = holds(conditions::SUSPENDED) || holds(conditions::STALLED);
    let asked = told(conditions::TOKEN_VALID, "Unreachable").filter(|_| !rests);
    backing_off.or(asked).map(|condition| Cause::of(&condition.message))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::view::checklist::Grade;

    fn token(name: &str, status: Value) -> Object {
        let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
        let mut object = json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": name, "namespace": "shop", "generation": 1, "creationTimestamp": "2026-11-29T09:00:00Z"},
            "spec": {"shop": "acme.myshopify.com", "source": source},
        });
        if !status.is_null() {
            object["status"] = status;
        }
        Object::new(serde_json::from_value(object).unwrap())
    }

    fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-29T09:30:00Z"})
    }

    fn waits(message: &str) -> Value {
        let told = condition("Reconciling", "True", "BackingOff", message);
        json!({"observedGeneration": 1, "conditions": [told, unreachable()]})
    }

    fn unreachable() -> Value {
        condition("TokenValid", "Unknown", "Unreachable", "Shopify gave no answer")
    }

    fn verified(conditions: &[Value]) -> Value {
        json!({"observedGeneration": 1, "lastVerifiedTime": "2026-11-29T09:30:00Z", "conditions": conditions})
    }

    fn check(statuses: Vec<Value>, may_work: bool, grade: Grade, said: &str) {
        let now = "2026-11-29T10:00:00Z".parse().unwrap();
        let objects: Vec<_> =
            statuses.into_iter().enumerate().map(|(i, status)| token(&i.to_string(), status)).collect();
        let found = shopify(&objects, "p", may_work, now);
        assert_eq!((found[0].grade, found[0].found.as_str()), (grade, said));
    }

    #[test]
    fn shopify_is_fine_only_where_it_has_confirmed_a_token_and_an_operator_may_work() {
        let (works, dead) = (true, false);
        let ready = || verified(&[condition("Ready", "True", "Verified", "")]);
        let stalled = || condition("Stalled", "True", "AppNotFound", "");
        let never = || json!({"observedGeneration": 1, "conditions": [stalled()]});
        let other = waits("acme.myshopify.com refuses the call in a way this release doesn't know");
        let suspended = verified(&[unreachable(), condition("Suspended", "True", "Suspended", "")]);
        for (statuses, may_work, grade, said) in [
            (vec![], works, Grade::Unknown, "there is no token in p, so nobody asks it"),
            (vec![Value::Null], works, Grade::Unknown, "has confirmed no token of 1 in p yet"),
            (vec![never(), Value::Null], works, Grade::Unknown, "has confirmed no token of 2 in p yet"),
            (vec![ready(), never()], works, Grade::Fine, "has confirmed 1 of 2 tokens in p, the last one 30m ago"),
            (vec![ready()], dead, Grade::Unknown, "no operator works, so nobody asks it; it confirmed a token 30m ago"),
            (vec![], dead, Grade::Unknown, "no operator works, so nobody asks it"),
            (
                vec![ready(), other],
                works,
                Grade::Unknown,
                "has confirmed 1 of 2 tokens in p, the last one 30m ago; whether it answers for shop/1 can't be told",
            ),
            (
                vec![verified(&[unreachable()])],
                works,
                Grade::Unknown,
                "has confirmed 1 of 1 token in p, the last one 30m ago; whether it answers for shop/0 can't be told",
            ),
            (
                vec![suspended, verified(&[unreachable(), stalled()])],
                works,
                Grade::Fine,
                "has confirmed 2 of 2 tokens in p, the last one 30m ago",
            ),
        ] {
            check(statuses, may_work, grade, said);
        }
    }

    #[test]
    fn who_waits_for_shopify_is_told_what_for() {
        let ready = || verified(&[condition("Ready", "True", "Verified", "")]);
        let silent = || waits("can't connect to acme.myshopify.com (no route): check the network");
        let limited = || waits("acme.myshopify.com limits the rate of this app's calls: nothing to do");
        let faulty = || waits("acme.myshopify.com answers 503: a fault on Shopify's side; if it lasts, look");
        let turn = || waits("the token endpoint of acme.myshopify.com doesn't answer; it is asked every 10 s, and");
        let redirected = waits("acme.myshopify.com answers with a redirect, which is never followed: open the shop's");
        for (statuses, grade, said) in [
            (vec![silent()], Grade::Wrong, "gave the operator no answer for 1 of 1 token in p: shop/0"),
            (
                vec![silent(), turn(), limited()],
                Grade::Wrong,
                "gave the operator no answer for 2 of 3 tokens in p: shop/0, shop/1",
            ),
            (
                vec![silent(), faulty(), turn()],
                Grade::Wrong,
                "gave the operator no answer for 2 of 3 tokens in p: shop/0, shop/2",
            ),
            (
                vec![ready(), redirected],
                Grade::Wrong,
                "answers with a redirect, or somebody does in its place, for 1 of 2 tokens in p: shop/1",
            ),
            (
                vec![ready(), turn()],
                Grade::Doubtful,
                "is to answer another token first, which is waited for by 1 of 2 tokens in p: shop/1",
            ),
            (
                vec![ready(), limited()],
                Grade::Doubtful,
                "asks the operator to wait (rate limit) for 1 of 2 tokens in p: shop/1",
            ),
            (
                vec![faulty(), turn()],
                Grade::Doubtful,
                "answers the operator with a fault of its own for 2 of 2 tokens in p: shop/0, shop/1",
            ),
        ] {
            check(statuses, true, grade, said);
        }
    }
}
