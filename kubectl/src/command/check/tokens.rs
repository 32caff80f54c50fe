//! How the tokens stand: whether somebody looks at them, and whether Shopify answers the operator.

use chrono::TimeDelta;
use kube::api::ListParams;
use shopify_token_operator::{
    clock::Clock,
    core::{
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
pub(super) async fn all(cluster: &Cluster, everywhere: bool, may_work: bool) -> Vec<Finding> {
    let namespace = (!everywhere).then_some(cluster.namespace.as_str());
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
    findings.push(shopify(objects, place, may_work, now));
    let stalled = those(&|object| state(object).is_some_and(|state| state.tone == Tone::Bad));
    if !stalled.is_empty() {
        findings.push(Finding::doubtful(
            "tokens",
            format!("{} of {} wait for a person: {}", stalled.len(), objects.len(), names(&stalled)),
            "`kubectl shopify-token status` of each says what to do",
        ));
    }
    findings
}

/// Whether Shopify answers, as far as the operator has written it down.
fn shopify(objects: &[Object], place: &str, may_work: bool, now: Timestamp) -> Finding {
    const SUBJECT: &str = "Shopify";
    let unanswered: Vec<_> =
        objects.iter().filter(|object| object.token.as_ref().is_some_and(waits_for_shopify)).collect();
    if !unanswered.is_empty() {
        return Finding::wrong(
            SUBJECT,
            format!(
                "gave the operator no answer for {} of {} tokens in {place}: {}",
                unanswered.len(),
                objects.len(),
                names(&unanswered)
            ),
            "egress rules, DNS and proxies of the operator, and https://www.shopifystatus.com; `status` of one says more",
        );
    }
    let confirmed: Vec<_> = objects.iter().filter_map(confirmed).collect();
    let last = confirmed.iter().max().map(|last| format!("{} ago", length(now - *last)));
    match last {
        _ if !may_work => {
            let last = last.map(|last| format!("; it confirmed a token {last}")).unwrap_or_default();
            Finding::unknown(
                SUBJECT,
                format!("no operator works, so nobody asks it{last}"),
                "see to the operator first",
            )
        }
        None if objects.is_empty() => Finding::unknown(
            SUBJECT,
            format!("there is no token in {place}, so nobody asks it"),
            "apply one, or look at those of every namespace: -A",
        ),
        None => Finding::unknown(
            SUBJECT,
            format!("has confirmed no token of {} in {place} yet", objects.len()),
            "`kubectl shopify-token status` of one says what stands in the way; `verify` of one asks now",
        ),
        Some(last) => Finding::fine(
            SUBJECT,
            format!("has confirmed {} of {} tokens in {place}, the last one {last}", confirmed.len(), objects.len()),
        ),
    }
}

fn names(all: &[&Object]) -> String {
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    format!("{}{more}", all.iter().take(NAMED).map(|object| object.place()).collect::<Vec<_>>().join(", "))
}

/// When Shopify last confirmed its credential.
fn confirmed(object: &Object) -> Option<Timestamp> {
    at(object.token.as_ref()?.status.as_ref()?.last_verified_time.as_ref())
}

fn waits_for_shopify(token: &shopify_token_operator::api::ShopifyToken) -> bool {
    let conditions = token.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let has = |type_, reason| find(conditions, type_).is_some_and(|condition| condition.reason == reason);
    has(conditions::RECONCILING, Reason::BackingOff.as_str()) || has(conditions::TOKEN_VALID, "Unreachable")
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

    #[test]
    fn shopify_is_fine_only_where_it_has_confirmed_a_token_and_an_operator_may_work() {
        let now = "2026-11-29T10:00:00Z".parse().unwrap();
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-11-29T09:30:00Z"});
        let verified = json!({"observedGeneration": 1, "lastVerifiedTime": "2026-11-29T09:30:00Z", "conditions": [condition("Ready", "True", "Verified")]});
        let stalled = json!({"observedGeneration": 1, "conditions": [condition("Stalled", "True", "AppNotFound")]});
        let silent = json!({"observedGeneration": 1, "conditions": [condition("Reconciling", "True", "BackingOff")]});
        let (works, dead) = (true, false);
        for (statuses, may_work, grade, said) in [
            (vec![], works, Grade::Unknown, "there is no token in p, so nobody asks it"),
            (vec![Value::Null], works, Grade::Unknown, "has confirmed no token of 1 in p yet"),
            (vec![stalled.clone(), Value::Null], works, Grade::Unknown, "has confirmed no token of 2 in p yet"),
            (
                vec![verified.clone(), stalled],
                works,
                Grade::Fine,
                "has confirmed 1 of 2 tokens in p, the last one 30m ago",
            ),
            (
                vec![verified.clone()],
                dead,
                Grade::Unknown,
                "no operator works, so nobody asks it; it confirmed a token 30m ago",
            ),
            (vec![], dead, Grade::Unknown, "no operator works, so nobody asks it"),
            (vec![verified, silent], works, Grade::Wrong, "gave the operator no answer for 1 of 2 tokens in p: shop/1"),
        ] {
            let objects: Vec<_> =
                statuses.into_iter().enumerate().map(|(i, status)| token(&i.to_string(), status)).collect();
            let found = shopify(&objects, "p", may_work, now);
            assert_eq!((found.grade, found.found.as_str()), (grade, said));
        }
    }
}
