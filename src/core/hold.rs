//! What stands in the way of a step.

use super::failure::Failure;

/// What stands in the way of what should be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Hold {
    /// `spec.suspend`.
    Suspended,
    /// This: a precondition that isn't met, or what an attempt just failed with.
    Blocked(Failure),
    /// The last attempt failed; the next is due later. Conditions stay as that attempt left them.
    BackingOff,
}
