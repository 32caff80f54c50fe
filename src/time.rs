//! Time inside the operator (chrono), and the one place where it meets Kubernetes' (jiff).

use chrono::{SubsecRound, TimeDelta};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
pub use kube::core::Duration;

/// Time inside the operator: UTC. Kubernetes' own time types are converted here.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// The whole second at or after a time: for what mustn't happen before it, as what is stored keeps no fraction.
#[must_use]
pub fn round_up(at: Timestamp) -> Timestamp {
    let down = round_down(at);
    if down < at { down + TimeDelta::seconds(1) } else { at }
}

/// The whole second at or before a time: for what mustn't be relied on after it.
#[must_use]
pub fn round_down(at: Timestamp) -> Timestamp {
    at.trunc_subsecs(0)
}

/// A domain time as Kubernetes stores it: whole seconds.
#[must_use]
pub fn to_kube(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.timestamp()).unwrap_or_default())
}

/// A domain time as events store it: microseconds.
#[must_use]
pub fn to_micro(at: Timestamp) -> MicroTime {
    MicroTime(jiff::Timestamp::from_microsecond(at.timestamp_micros()).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_rounded_is_a_whole_second_on_its_side(seconds in -4_000_000_000i64..4_000_000_000, nanos in 0u32..1_000_000_000) {
            let at = Timestamp::from_timestamp(seconds, nanos).unwrap();
            let (down, up) = (round_down(at), round_up(at));
            prop_assert!(down <= at && at <= up && up - down <= TimeDelta::seconds(1));
            prop_assert_eq!((from_kube(&to_kube(up)), parse(&print(up))), (up, Some(up)));
            prop_assert_eq!((round_up(down), round_down(up)), (down, up));
        }
    }
}
