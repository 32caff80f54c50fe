//! Time inside the operator (chrono), and the one place where it meets Kubernetes' (jiff).

use chrono::TimeDelta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
pub use kube::core::Duration;

/// Time inside the operator: UTC. Kubernetes' own time types are converted here.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// A domain time as Kubernetes stores it: whole seconds.
#[must_use]
pub fn to_kube(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.timestamp()).unwrap_or_default())
}

/// A Kubernetes time as the domain knows it.
#[must_use]
pub fn from_kube(at: &Time) -> Timestamp {
    Timestamp::from_timestamp(at.0.as_second(), 0).unwrap_or_default()
}

/// RFC 3339 in UTC with whole seconds, as annotations and Secret data print it.
#[must_use]
pub fn print(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The inverse of [`print()`].
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    Some(Timestamp::from(chrono::DateTime::parse_from_rfc3339(text).ok()?))
}

/// A `metav1.Duration` as chrono's type; a negative one counts as zero, an enormous one as 100 years.
#[must_use]
pub fn to_delta(duration: Duration) -> TimeDelta {
    const LONGEST: TimeDelta = TimeDelta::days(36_500);
    if duration.is_negative() {
        return TimeDelta::zero();
    }
    TimeDelta::from_std(duration.into()).map_or(LONGEST, |d| d.min(LONGEST))
}
