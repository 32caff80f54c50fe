//! Where a token stands, in a word.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use shopify_token_operator::{
    api::{ShopifyToken, ShopifyTokenStatus},
    core::{
        condition::find,
        vocabulary::{Reason, conditions},
    },
    time::{self, Timestamp},
};

use crate::screen::{Tone, harmless};

/// Where a token stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// Whether the credential that applications hold works: `True`, `False`, or `Unknown` if nobody has looked yet.
    pub ready: String,
    /// The reason that matters most: what a person must mend, what is under way, or that of Ready.
    pub reason: String,
    /// What is said about it.
    pub message: String,
    /// How that is.
    pub tone: Tone,
}

impl State {
    /// Of the object as it is.
    #[must_use]
    pub fn of(token: &ShopifyToken) -> Self {
        let status = token.status.as_ref();
        let is = |type_| status.and_then(|status| holds(status, type_));
        let ready = status.and_then(|status| find(&status.conditions, conditions::READY));
        let told = |condition: &Condition, tone| Self {
            ready: ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone()),
            reason: harmless(&condition.reason),
            message: harmless(&condition.message),
            tone,
        };
        let seen = status.is_some_and(|status| Some(status.observed_generation) == token.metadata.generation);
        if token.metadata.deletion_timestamp.is_some() {
            let waits =
                is(conditions::RECONCILING).or(is(conditions::STALLED)).map(|c| format!(": {}", harmless(&c.message)));
            let message = format!("being deleted{}", waits.unwrap_or_default());
            let ready = ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone());
            return Self { ready, reason: "Deleting".to_owned(), message, tone: Tone::Quiet };
        }
        match (is(conditions::STALLED), is(conditions::RECONCILING), is(conditions::SUSPENDED), ready) {
            (Some(stalled), ..) => told(stalled, Tone::Bad),
            (_, Some(reconciling), ..) => told(reconciling, Tone::Waits),
            (_, _, Some(suspended), _) => told(suspended, Tone::Quiet),
            (.., Some(ready)) if ready.status == "True" && seen => told(ready, Tone::Good),
            (.., Some(ready)) => told(ready, Tone::Waits),
            (.., None) => Self {
                ready: "Unknown".to_owned(),
                reason: "NotSeen".to_owned(),
                message: "no operator has looked at it yet: `kubectl shopify-token check` says whether one runs"
                    .to_owned(),
                tone: Tone::Waits,
            },
        }
    }
}

/// A condition that is True.
#[must_use]
pub fn holds<'a>(status: &'a ShopifyTokenStatus, type_: &str) -> Option<&'a Condition> {
    find(&status.conditions, type_).filter(|condition| condition.status == "True")
}

/// Whether nothing is renewed until somebody approves again, in a browser.
#[must_use]
pub fn awaits_approval(status: &ShopifyTokenStatus) -> bool {
    let reason = holds(status, conditions::STALLED).and_then(|stalled| Reason::parse(&stalled.reason));
    matches!(reason, Some(Reason::RefreshTokenDead | Reason::ConsentRequired))
}

/// A time of the API as the views take it.
#[must_use]
pub fn at(time: Option<&Time>) -> Option<Timestamp> {
    time.map(time::from_kube)
}
