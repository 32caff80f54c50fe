//! What acting achieved: the input to the report.

use k8s_openapi::api::core::v1::ObjectReference;

use super::error::{Error, Stop};
use crate::core::{
    failure::Failure,
    plan::{Call, Step},
    record::Record,
    vocabulary::{EventReason, Reason, labels::Ended},
};

/// What acting achieved.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing was done.
    Unchanged,
    /// Too many calls to this shop are under way: it is woken when it is its turn. Or the operator is to stop, and nothing begins
    /// any more.
    Busy,
    /// Something is out of order for many, and somebody else is asking.
    Waits(Failure),
    /// The Secret was written: a credential, or the record of one, is new.
    Published {
        /// What the Secret says now.
        record: Box<Record>,
        /// Whether Shopify itself confirmed the credential on the way.
        confirmed: bool,
    },
    /// A new credential is in the record Secret alone: it can't be published now.
    Kept,
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
    /// A code brought nothing, for this reason: what lives goes on as it was.
    CodeRefused(Failure),
    /// The object was let go: there is no status to write any more.
    LetGo,
}

impl Outcome {
    /// How traces name it, and the reason of a failure.
    pub(super) fn told(&self) -> (&'static str, Option<Reason>) {
        match self {
            Self::Unchanged => ("unchanged", None),
            Self::Busy => ("busy", None),
            Self::Waits(failure) => ("waits", Some(failure.reason)),
            Self::Published { .. } => ("published", None),
            Self::Kept => ("kept", None),
            Self::Verified => ("verified", None),
            Self::Rejected => ("rejected", None),
            Self::Failed { failure, .. } => ("failed", Some(failure.reason)),
            Self::CodeRefused(failure) => ("code_refused", Some(failure.reason)),
            Self::LetGo => ("let_go", None),
        }
    }
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
    /// What a step is, or would be.
    #[must_use]
    pub(super) const fn of(step: Step) -> Self {
        match step {
            Step::Call(Call::EndOverlap | Call::Revoke) | Step::LetGo(_) => Self::Revoke,
            Step::Call(Call::Verify) => Self::Verify,
            Step::Call(Call::Issue(_))
            | Step::Keep
            | Step::Protect
            | Step::Begin
            | Step::Repair
            | Step::Restart
            | Step::Leave => Self::Issue,
        }
    }

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
    /// How revocations ended; a failed one is told by the outcome.
    pub revocations: Vec<Ended>,
}

/// An event to come.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// Its reason.
    pub reason: EventReason,
    /// The reason of the failure it tells of. Events that have it in common are one series.
    pub failure: Option<Reason>,
    /// Another object that it is about, as few are: each is a series of its own.
    pub about: Option<Box<ObjectReference>>,
    /// What happened, for a person.
    pub note: String,
}

impl News {
    /// News that no failure and no other object is behind.
    #[must_use]
    pub(super) fn of(reason: EventReason, note: impl Into<String>) -> Self {
        Self { reason, failure: None, about: None, note: note.into() }
    }
}

impl Acted {
    /// An outcome without news.
    #[must_use]
    pub(super) fn quietly(outcome: Outcome) -> Self {
        Self { outcome, news: Vec::new(), revocations: Vec::new() }
    }

    /// The Secret was written.
    #[must_use]
    pub(super) fn published(record: Record, confirmed: bool) -> Self {
        Self::quietly(Outcome::Published { record: Box::new(record), confirmed })
    }

    /// The Secret wasn't written.
    ///
    /// # Errors
    /// If the failure is one of Kubernetes.
    pub(super) fn unwritten(stop: Stop) -> Result<Self, Error> {
        stop.failure().map(|failure| Self::failed(failure, Operation::Issue))
    }

    /// A failure. Its event is left to the report, which knows whether it is news.
    #[must_use]
    pub(super) fn failed(failure: impl Into<Failure>, during: Operation) -> Self {
        Self::quietly(Outcome::Failed { failure: failure.into(), during })
    }

    /// A write beside the credential that the API server refuses: a warning, and no failure of the credential.
    #[must_use]
    pub(super) fn warned(failure: &Failure) -> Self {
        Self::quietly(Outcome::Unchanged).warning(EventReason::WriteRefused, failure)
    }

    /// Adds a warning of a failure that isn't the credential's.
    #[must_use]
    pub(super) fn warning(mut self, reason: EventReason, failure: &Failure) -> Self {
        self.news.push(News { failure: Some(failure.reason), ..News::of(reason, failure.message.clone()) });
        self
    }

    /// Whether a write was refused.
    #[must_use]
    pub(super) fn is_refused(&self) -> bool {
        let failed = matches!(&self.outcome, Outcome::Failed { failure, .. } if failure.reason == Reason::WriteRefused);
        failed || self.news.iter().any(|news| news.failure == Some(Reason::WriteRefused))
    }

    /// Adds results of revocations.
    #[must_use]
    pub(super) fn counting(mut self, revocations: Vec<Ended>) -> Self {
        self.revocations.extend(revocations);
        self
    }

    /// Adds an event.
    #[must_use]
    pub(super) fn with(mut self, reason: EventReason, note: impl Into<String>) -> Self {
        self.news.push(News::of(reason, note));
        self
    }
}
