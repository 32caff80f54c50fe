//! When the next attempt is due after a failure.

use chrono::TimeDelta;

use super::{Timestamp, failure::Failure};

const FIRST: TimeDelta = TimeDelta::seconds(5);
const CAP: TimeDelta = TimeDelta::minutes(5);
/// The longest back-off, that of a failure a person must mend.
pub const LONGEST: TimeDelta = TimeDelta::minutes(10);

/// When to try again after the `attempts`-th failure in a row (1 is the first).
///
/// Exponential with full jitter (`random` in `0.0..1.0`), capped at 5 minutes, 10 when stalled. For a
/// credential that expires: at most an eighth of what is left, but never under 5 seconds. Shopify's
/// own `Retry-After` is a floor.
#[must_use]
pub fn next_attempt(
    failure: &Failure,
    attempts: i64,
    expires_at: Option<Timestamp>,
    now: Timestamp,
    random: f64,
) -> Timestamp {
    let cap = if failure.is_stalled() { LONGEST } else { CAP };
    let doublings = u32::try_from(attempts.clamp(1, 16) - 1).unwrap_or_default();
    let ceiling = (FIRST * 2i32.pow(doublings)).min(cap);
    let ceiling = match expires_at.map(|at| at - now) {
        Some(left) if left > TimeDelta::zero() => ceiling.min(left / 8),
        _ => ceiling,
    };
    #[allow(clippy::cast_possible_truncation, reason = "at most 10 minutes in milliseconds")]
    #[allow(clippy::cast_precision_loss, reason = "at most 10 minutes in milliseconds")]
    let jittered = TimeDelta::milliseconds((ceiling.num_milliseconds() as f64 * random) as i64);
    now + jittered.max(FIRST).max(failure.retry_after.unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vocabulary::Reason;

    #[test]
    fn grows_to_its_cap_and_keeps_its_floor() {
        let now = Timestamp::default();
        let wait = |reason, attempts, expires_in: Option<i64>, random| {
            let expires_at = expires_in.map(|s| now + TimeDelta::seconds(s));
            (next_attempt(&Failure::new(reason, ""), attempts, expires_at, now, random) - now).num_seconds()
        };
        assert_eq!(wait(Reason::BackingOff, 1, None, 0.99), 5);
        assert_eq!(wait(Reason::BackingOff, 4, None, 1.0), 40);
        assert_eq!(wait(Reason::BackingOff, 60, None, 1.0), 300);
        assert_eq!(wait(Reason::AppNotInstalled, 60, None, 1.0), 600);
        assert_eq!(wait(Reason::BackingOff, 60, Some(80), 1.0), 10);
        assert_eq!(wait(Reason::BackingOff, 60, Some(8), 1.0), 5);
        assert_eq!(wait(Reason::BackingOff, 60, Some(-1), 1.0), 300);
        assert_eq!(wait(Reason::BackingOff, 60, None, 0.0), 5);
    }

    #[test]
    fn honours_retry_after() {
        let now = Timestamp::default();
        let failure = Failure { retry_after: Some(TimeDelta::seconds(42)), ..Failure::new(Reason::BackingOff, "") };
        assert_eq!(next_attempt(&failure, 1, None, now, 0.0) - now, TimeDelta::seconds(42));
    }
}
