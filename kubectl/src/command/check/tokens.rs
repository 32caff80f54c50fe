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
        checklist::{Finding, Grade},
        state::{State, at},
    },
};

/// The operator looks at a new object within seconds.
const NOTICED: TimeDelta = TimeDelta::minutes(1);
/// As many names as a line takes.
const NAMED: usize = 5;

/// Of the namespace that is chosen, or of all.
pub(super) async fn all(cluster: &Cluster, everywhere: bool) -> Vec<Finding> {
    let namespace = (!everywhere).then_some(cluster.namespace.as_str());
    let place = namespace.map_or_else(|| "all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
    match objects::list(cluster, namespace, &ListParams::default()).await {
        Ok(objects) => findings(&objects, &place, Clock::system().now()),
        Err(failure) => vec![super::of("tokens", &failure)],
    }
}

fn findings(objects: &[Object], place: &str, now: Timestamp) -> Vec<Finding> {
    let names = |all: &[&Object]| {
        let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
        format!("{}{more}", all.iter().take(NAMED).map(|object| object.place()).collect::<Vec<_>>().join(", "))
    };
    let those = |wish: &dyn Fn(&Object) -> bool| objects.iter().filter(|object| wish(object)).collect::<Vec<_>>();
    let state = |object: &Object| object.token.as_ref().map(State::of);
    let mut findings = Vec::new();

    let old =
        |object: &Object| at(object.raw.metadata.creation_timestamp.as_ref()).is_some_and(|born| now - born > NOTICED);
    let unseen = those(&|object| old(object) && state(object).is_some_and(|state| state.reason == "NotSeen"));
    if !unseen.is_empty() {
        let found = format!("no operator has looked at {}", names(&unseen));
        findings.push(
            Finding::new(Grade::Wrong, "tokens", found).remedy(
                "see whether the operator runs, and whether --watch-namespaces and --selector of it cover them",
            ),
        );
    }
    let unreachable = those(&|object| object.token.as_ref().is_some_and(waits_for_shopify));
    findings.push(if unreachable.is_empty() {
        Finding::new(Grade::Fine, "Shopify", format!("no token of {} in {place} waits for an answer", objects.len()))
    } else {
        let found = format!("gave the operator no answer for {} of {} tokens in {place}: {}", unreachable.len(), objects.len(), names(&unreachable));
        Finding::new(Grade::Wrong, "Shopify", found)
            .remedy("egress rules, DNS and proxies of the operator, and https://www.shopifystatus.com; `status` of one says more")
    });
    let stalled = those(&|object| state(object).is_some_and(|state| state.tone == Tone::Bad));
    if !stalled.is_empty() {
        let found = format!("{} of {} wait for a person: {}", stalled.len(), objects.len(), names(&stalled));
        findings.push(
            Finding::new(Grade::Doubtful, "tokens", found)
                .remedy("`kubectl shopify-token status` of each says what to do"),
        );
    }
    findings
}

fn waits_for_shopify(token: &shopify_token_operator::api::ShopifyToken) -> bool {
    let conditions = token.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let has = |type_, reason| find(conditions, type_).is_some_and(|condition| condition.reason == reason);
    has(conditions::RECONCILING, Reason::BackingOff.as_str()) || has(conditions::TOKEN_VALID, "Unreachable")
}
