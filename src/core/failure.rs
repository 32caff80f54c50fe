//! What stands in the way of a step: a fixed reason, a message that says what to do.

use chrono::TimeDelta;

use super::vocabulary::{Class, Reason};

/// Why a step can't be done. Never holds a credential or a body that Shopify sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each says something else of it")]
pub struct Failure {
    /// The reason that conditions show.
    pub reason: Reason,
    /// What is wrong and what to do, for a person.
    pub message: String,
    /// How long Shopify asked to wait (`Retry-After`).
    pub retry_after: Option<TimeDelta>,
    /// The shop gave no answer, or 5xx: everybody who wants something of it should wait.
    pub unreachable: bool,
    /// A fresh app answers like this for a while: stalled only after a few tries.
    pub may_settle: bool,
    /// Rejected credentials, in words that an app which isn't installed on the shop is refused with, too.
    pub ambiguous: bool,
    /// What was asked for may have been done all the same: there is no verdict.
    pub unsure: bool,
}

impl Failure {
    /// A failure with a reason and a message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
            unreachable: false,
            may_settle: false,
            ambiguous: false,
            unsure: false,
        }
    }

    /// Whether a person must act.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.reason.class() == Class::Stalled
    }
}
