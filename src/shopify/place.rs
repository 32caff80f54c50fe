//! What can be out of order for many callers at once, and how often it is asked meanwhile.

use chrono::TimeDelta;

use super::{Shop, Surface};

/// Between two probes of a surface, and how long a designated waiter has to begin its own.
pub(super) const INTERVAL: TimeDelta = TimeDelta::seconds(10);
/// The longest pause between two probes: with rejected credentials, which a person must mend, or where Shopify asks for it.
pub(super) const LONGEST: TimeDelta = TimeDelta::minutes(10);

/// What can be out of order for many callers at once.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// An API surface of a shop, which doesn't answer.
    Surface(Shop, Surface),
    /// The credentials of an app, which Shopify rejects: a salted hash of client id and secret.
    Credentials(String),
}

impl Place {
    /// Pause after the `failures`-th probe in a row (1 is the first).
    pub(super) fn pause(&self, failures: u32) -> TimeDelta {
        match self {
            Self::Surface(..) => INTERVAL,
            Self::Credentials(_) => (INTERVAL * 2i32.pow(failures.clamp(1, 16) - 1)).min(LONGEST),
        }
    }
}
