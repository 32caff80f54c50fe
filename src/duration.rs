//! Durations at the Kubernetes boundary, and their chrono counterpart inside.

use chrono::TimeDelta;
pub use kube::core::Duration;

/// A `metav1.Duration` as chrono's type; a negative one counts as zero, an enormous one as 100 years.
#[must_use]
pub fn to_delta(duration: Duration) -> TimeDelta {
    const LONGEST: TimeDelta = TimeDelta::days(36_500);
    if duration.is_negative() {
        return TimeDelta::zero();
    }
    TimeDelta::from_std(duration.into()).map_or(LONGEST, |d| d.min(LONGEST))
}
