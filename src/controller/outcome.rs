//! What acting achieved: the input to the report.

use crate::core::{
    failure::Failure,
    record::Record,
    vocabulary::{EventReason, Reason},
};

/// Result of an issue or a revocation that succeeded, as metrics name it.
pub(super) const SUCCESS: &str = "success";
/// Result of a revocation that can't succeed any more.
pub(super) const GIVEN_UP: &str = "given_up";

/// What acting achieved.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing was done.
    Unchanged,
    /// Too many calls to this shop are under way: come back shortly.
    Busy,
    /// The shop doesn't answer, and somebody else is asking it.
    ShopDown,
    /// The Secret was written: a credential, or the record of one, is new.
    Published {
        /// What the Secret says now.
        record: Box<Record>,
        /// Whether Shopify itself confirmed the credential on the way.
        confirmed: bool,
    },
    /// Shopify confirmed the credential.
    Verified,
    /// Shopify refuses the credential, or has it no more.
    Rejected,
    /// Shopify or the API server refused, or gave no answer.
    Failed {
        /// Why.
        failure: Failure,
        /// What was under way.
        during: Operation,
    },
    /// The object was let go: there is no status to write any more.
    LetGo,
}

/// What was under way when it failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// Obtaining and publishing a credential.
    Issue,
    /// Verifying it.
    Verify,
    /// Revoking it.
    Revoke,
}

impl Operation {
    /// The event that tells of its failure.
    #[must_use]
    pub(super) const fn event(self) -> EventReason {
        match self {
            Self::Issue => EventReason::IssueFailed,
            Self::Verify => EventReason::VerificationFailed,
            Self::Revoke => EventReason::RevocationFailed,
        }
    }
}

/// What acting achieved, and what people should hear of it.
#[derive(Debug)]
pub(super) struct Acted {
    /// What acting achieved.
    pub outcome: Outcome,
    /// Events: transitions only.
    pub news: Vec<News>,
    /// Results of revocations, as `shopify_token_revocations_total` counts them; a failed one is told by the outcome.
    pub revocations: Vec<&'static str>,
}

/// An event to come.
#[derive(Debug)]
pub(super) struct News {
    /// Its reason.
    pub reason: EventReason,
    /// The reason of the failure it tells of. Events that have it in common are one series.
    pub failure: Option<Reason>,
    /// What happened, for a person.
    pub note: String,
}

impl Acted {
    /// An outcome without news.
    #[must_use]
    pub(super) fn quietly(outcome: Outcome) -> Self {
        Self { outcome, news: Vec::new(), revocations: Vec::new() }
    }

    /// A failure. Its event is left to the report, which knows whether it is news.
    #[must_use]
    pub(super) fn failed(failure: impl Into<Failure>, during: Operation) -> Self {
        Self::quietly(Outcome::Failed { failure: failure.into(), during })
    }

    /// Adds results of revocations.
    #[must_use]
    pub(super) fn counting(mut self, revocations: Vec<&'static str>) -> Self {
        self.revocations.extend(revocations);
        self
    }

    /// Adds an event.
    #[must_use]
    pub(super) fn with(mut self, reason: EventReason, note: impl Into<String>) -> Self {
        self.news.push(News { reason, failure: None, note: note.into() });
        self
    }
}

/// The reason that stands for a write of the Secret that the API server refuses.
#[must_use]
pub(super) fn refused_write(error: &kube::Error, secret: &str, reason: Reason) -> Option<Failure> {
    let kube::Error::Api(status) = error else { return None };
    let says = |words: &str| status.message.contains(words);
    // Its own words are never repeated: an admission webhook's may quote the object.
    let what = match status.code {
        401 | 404 | 409 | 410 | 429 => return None,
        403 if says("exceeded quota") => "exceeded quota: the namespace may hold no further Secret",
        403 if says("being terminated") => "the namespace is being terminated",
        403 => "an admission policy or RBAC forbids it; its reason is in the API server's audit log",
        413 | 422 => "it is too large, or a key, label or annotation of it isn't valid",
        400..=499 => "an admission webhook denies it; its reason is in the API server's audit log",
        500 if says("failed calling webhook") => {
            "an admission webhook is broken; see the API server's log, and its ValidatingWebhookConfiguration"
        }
        _ => return None,
    };
    Some(Failure::new(reason, format!("the API server refuses Secret {secret:?}: {what}")))
}
