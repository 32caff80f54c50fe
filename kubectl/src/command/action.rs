//! What `rotate`, `reconcile`, `verify`, `suspend` and `resume` write, and when that has been done: pure.

use serde_json::{Value, json};
use shopify_token_operator::{
    api::ShopifyToken,
    core::{
        condition::find,
        source::nature,
        vocabulary::{REQUESTED_AT, ROTATE_AT, conditions},
    },
    time::{self, Timestamp},
};

use crate::view::state::{State, at, holds};

/// What a person asks for. The text is the value of the annotation, and differs from that of every other request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// One rotation.
    Rotate(String),
    /// A look at everything now, and an end of a back-off.
    Reconcile(String),
    /// The same, for Shopify's verdict.
    Verify(String),
    /// `spec.suspend: true`.
    Suspend,
    /// `spec.suspend: false`.
    Resume,
}

/// How far it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// It is done, and what came of it.
    Done(String),
    /// Not yet, and why, if that is known.
    Waits(Option<String>),
    /// It waits for a person.
    Stuck {
        /// The reason, as conditions print it.
        reason: String,
        /// What is said of it.
        message: String,
    },
    /// It has failed, and nothing is waited for.
    Failed(String),
}

/// The value of an annotation that asks for something: the time, to the microsecond.
#[must_use]
pub(super) fn request(now: Timestamp) -> String {
    now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

impl Action {
    /// The patch (RFC 7386), as a person would make it.
    #[must_use]
    pub(super) fn patch(&self) -> Value {
        let annotation = |name: &str, value: &str| json!({"metadata": {"annotations": {name: value}}});
        match self {
            Self::Rotate(value) => annotation(ROTATE_AT, value),
            Self::Reconcile(value) | Self::Verify(value) => annotation(REQUESTED_AT, value),
            Self::Suspend => json!({"spec": {"suspend": true}}),
            Self::Resume => json!({"spec": {"suspend": false}}),
        }
    }

    /// What has been asked for, once it is.
    #[must_use]
    pub(super) const fn asked(&self) -> &'static str {
        match self {
            Self::Rotate(_) => "asked to rotate",
            Self::Reconcile(_) => "asked to reconcile",
            Self::Verify(_) => "asked to verify",
            Self::Suspend => "suspended",
            Self::Resume => "resumed",
        }
    }

    /// What keeps it from being done until a person acts, before it is asked for.
    #[must_use]
    pub(super) fn obstacle(&self, token: &ShopifyToken) -> Option<&'static str> {
        match self {
            Self::Suspend | Self::Resume => None,
            Self::Rotate(_) | Self::Reconcile(_) | Self::Verify(_) => {
                (token.spec.suspended()).then_some("it is suspended: it goes on after `kubectl shopify-token resume`")
            }
        }
    }

    /// How far it is, of a token whose revision was `before` when it was asked for.
    #[must_use]
    pub(super) fn progress(&self, token: &ShopifyToken, before: Option<i64>) -> Progress {
        if token.metadata.deletion_timestamp.is_some() {
            return Progress::Failed("it is being deleted".to_owned());
        }
        let state = State::of(token);
        let waits =
            || Progress::Waits((!state.message.is_empty()).then(|| format!("{}: {}", state.reason, state.message)));
        let Some(status) = &token.status else { return waits() };
        let stalled = holds(status, conditions::STALLED)
            .map(|stalled| Progress::Stuck { reason: stalled.reason.clone(), message: stalled.message.clone() });
        let observed = Some(status.observed_generation) == token.metadata.generation;
        match self {
            Self::Rotate(value) if status.last_handled_rotate_at.as_deref() == Some(value) => {
                Progress::Done(rotated(token, before))
            }
            Self::Rotate(_) => stalled.unwrap_or_else(waits),
            Self::Reconcile(value) if status.last_handled_reconcile_at.as_deref() == Some(value) => match stalled {
                Some(stalled) => stalled,
                None if state.ready == "True" && holds(status, conditions::RECONCILING).is_none() => {
                    Progress::Done(format!("Ready: {}", state.message))
                }
                None => waits(),
            },
            Self::Verify(value) if status.last_handled_reconcile_at.as_deref() == Some(value) => {
                let Some(valid) = find(&status.conditions, conditions::TOKEN_VALID) else { return waits() };
                let checkable = token.spec.source().is_none_or(|source| nature(source.kind()).checkable);
                match (valid.status.as_str(), stalled) {
                    // What was true before stays so while Shopify lets nothing be asked.
                    ("True", _) if status.failed_attempts.is_none() => {
                        Progress::Done(format!("{}: {}", valid.reason, valid.message))
                    }
                    ("False", _) => Progress::Failed(format!("{}: {}", valid.reason, valid.message)),
                    _ if !checkable => Progress::Done(format!("{}: {}", valid.reason, valid.message)),
                    (_, Some(stalled)) => stalled,
                    ("True", None) => waits(),
                    (_, None) => Progress::Waits(Some(format!("{}: {}", valid.reason, valid.message))),
                }
            }
            Self::Suspend if observed && holds(status, conditions::SUSPENDED).is_some() => {
                Progress::Done("nothing is issued, checked or revoked any more".to_owned())
            }
            Self::Resume if observed && holds(status, conditions::SUSPENDED).is_none() => {
                Progress::Done(format!("{}: {}", state.reason, state.message))
            }
            Self::Reconcile(_) | Self::Verify(_) | Self::Suspend | Self::Resume => waits(),
        }
    }
}

/// What came of a rotation.
fn rotated(token: &ShopifyToken, before: Option<i64>) -> String {
    let status = token.status.clone().unwrap_or_default();
    let Some(revision) = status.revision else { return "done".to_owned() };
    if before == Some(revision) {
        return format!("revision {revision} was verified and read anew: it can't be issued again");
    }
    let overlap = status.previous.last().and_then(|previous| at(Some(&previous.revoke_at)));
    let overlap = overlap.map(|end| format!("; the one before works until {}", time::print(end)));
    format!("revision {revision} is published{}", overlap.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(status: &Value) -> ShopifyToken {
        serde_json::from_value(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": "web", "namespace": "shop", "generation": 2},
            "spec": {"shop": "acme.myshopify.com", "source": {"storefront": {"adminTokenRef": {"name": "admin"}}}},
            "status": status,
        }))
        .unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-11-22T12:00:00Z"})
    }

    fn done(progress: &Progress) -> bool {
        matches!(progress, Progress::Done(_))
    }

    #[test]
    fn what_is_written_is_what_is_documented() {
        let now = Timestamp::from_timestamp(1_790_000_000, 0).unwrap();
        let value = request(now);
        assert_eq!(value, "2026-09-21T14:13:20.000000Z");
        let annotation = |name: &str| json!({"metadata": {"annotations": {name: value}}});
        assert_eq!(Action::Rotate(value.clone()).patch(), annotation("tokens.shopify-operator.dev/rotate-at"));
        assert_eq!(Action::Reconcile(value.clone()).patch(), annotation("reconcile.fluxcd.io/requestedAt"));
        assert_eq!(Action::Verify(value.clone()).patch(), annotation("reconcile.fluxcd.io/requestedAt"));
        assert_eq!(Action::Suspend.patch(), json!({"spec": {"suspend": true}}));
        assert_eq!(Action::Resume.patch(), json!({"spec": {"suspend": false}}));
    }

    #[test]
    fn a_rotation_is_done_when_the_status_says_so() {
        let rotate = Action::Rotate("now".into());
        let ready = [condition("Ready", "True", "Issued")];
        let mut status =
            json!({"observedGeneration": 2, "conditions": ready, "revision": 4, "lastHandledRotateAt": "before"});
        assert!(matches!(rotate.progress(&token(&status), Some(4)), Progress::Waits(Some(_))));
        status["lastHandledRotateAt"] = json!("now");
        assert_eq!(
            rotate.progress(&token(&status), Some(4)),
            Progress::Done("revision 4 was verified and read anew: it can't be issued again".into())
        );
        status["revision"] = json!(5);
        status["previous"] = json!([{"tokenID": "1", "revokeAt": "2026-11-23T12:00:00Z"}]);
        assert_eq!(
            rotate.progress(&token(&status), Some(4)),
            Progress::Done("revision 5 is published; the one before works until 2026-11-23T12:00:00Z".into())
        );
    }

    #[test]
    fn what_a_person_must_mend_is_told() {
        let stalled = [condition("Ready", "True", "Issued"), condition("Stalled", "True", "ScopesMissing")];
        let status = json!({"observedGeneration": 2, "conditions": stalled, "lastHandledReconcileAt": "now"});
        let stuck = Progress::Stuck { reason: "ScopesMissing".into(), message: "m".into() };
        assert_eq!(Action::Rotate("now".into()).progress(&token(&status), None), stuck);
        assert_eq!(Action::Reconcile("now".into()).progress(&token(&status), None), stuck);
        // What was before it was handled says nothing.
        assert!(matches!(Action::Reconcile("later".into()).progress(&token(&status), None), Progress::Waits(_)));
    }

    #[test]
    fn a_verification_is_what_shopify_says() {
        let verify = Action::Verify("now".into());
        for (status, reason, is_done, is_failed) in [
            ("True", "Verified", true, false),
            ("False", "Rejected", false, true),
            ("Unknown", "Unreachable", false, false),
        ] {
            let conditions = [condition("Ready", "True", "Issued"), condition("TokenValid", status, reason)];
            let status = json!({"observedGeneration": 2, "conditions": conditions, "lastHandledReconcileAt": "now"});
            let progress = verify.progress(&token(&status), None);
            assert_eq!((done(&progress), matches!(progress, Progress::Failed(_))), (is_done, is_failed), "{reason}");
        }
        let conditions = [condition("Ready", "True", "Issued"), condition("TokenValid", "True", "Verified")];
        let throttled = json!({
            "observedGeneration": 2, "conditions": conditions, "lastHandledReconcileAt": "now", "failedAttempts": 1,
        });
        let progress = verify.progress(&token(&throttled), None);
        assert!(matches!(progress, Progress::Waits(_)), "it was asked, and nothing was said: {progress:?}");
    }

    #[test]
    fn a_suspension_is_done_once_it_was_seen() {
        let suspended = [condition("Ready", "True", "Issued"), condition("Suspended", "True", "Suspended")];
        let at = |generation: i64| token(&json!({"observedGeneration": generation, "conditions": suspended}));
        assert!(!done(&Action::Suspend.progress(&at(1), None)));
        assert!(done(&Action::Suspend.progress(&at(2), None)));
        assert!(!done(&Action::Resume.progress(&at(2), None)));
        let ready = json!({"observedGeneration": 2, "conditions": [condition("Ready", "True", "Issued")]});
        assert!(done(&Action::Resume.progress(&token(&ready), None)));
    }
}
