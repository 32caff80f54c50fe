//! The one place where domain time (chrono) meets Kubernetes' time (jiff).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::core::Timestamp;

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
