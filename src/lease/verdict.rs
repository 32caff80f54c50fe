//! Whose a lease is: the rule, without any I/O.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::{Duration, Instant};

use super::Timing;

/// What a record means to a candidate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The candidate holds it.
    Held,
    /// Nobody holds it, or its holder is dead.
    Takeable,
    /// Another holds it: at that moment it is anyone's, should the record not change until then.
    Wait(Instant),
}

/// What `record` means to `me`, who has seen it unchanged since `observed_at`.
#[must_use]
pub fn evaluate(record: &LeaseSpec, me: &str, observed_at: Instant, now: Instant) -> Verdict {
    let holder = record.holder_identity.as_deref().unwrap_or_default();
    if holder.is_empty() {
        return Verdict::Takeable;
    }
    if holder == me {
        return Verdict::Held;
    }
    let lifetime = record
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map_or(Timing::default().lease, Duration::from_secs);
    let until = observed_at + lifetime;
    if now < until { Verdict::Wait(until) } else { Verdict::Takeable }
}
