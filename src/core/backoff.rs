//! When the next attempt is due after a failure.

use chrono::TimeDelta;

use super::failure::Failure;
use crate::time::{self, Timestamp};

/// The shortest back-off, of every failure.
const FIRST: TimeDelta = TimeDelta::seconds(5);
/// The longest of a failure that may pass by itself.
const CAP: TimeDelta = TimeDelta::minutes(5);
/// The longest of a failure that a person must mend.
const STALLED_CAP: TimeDelta = TimeDelta::minutes(10);
/// The longest of all, whatever a cap or Shopify says: what lies further ahead was written before the clock was set back.
const LONGEST: TimeDelta = TimeDelta::minutes(10);

/// When to try again after the `attempts`-th failure in a row (1 is the first).
///
/// Exponential with full jitter (`random` in `0.0..1.0`), capped at 5 minutes, 10 when stalled. For a
/// credential that expires: at most an eighth of what is left, but never under 5 seconds. Shopify's
/// own `Retry-After` is a floor, up to 10 minutes. In whole seconds, as status keeps it, and rounded up: never
/// early.
#[must_use]
pub fn next_attempt(
    failure: &Failure,
    attempts: i64,
    expires_at: Option<Timestamp>,
    now: Timestamp,
    random: f64,
) -> Timestamp {
    let cap = if failure.is_stalled() { STALLED_CAP } else { CAP };
    let doublings = u32::try_from(attempts.clamp(1, 16) - 1).unwrap_or_default();
    let ceiling = (FIRST * 2i32.pow(doublings)).min(cap);
    let ceiling = match expires_at.map(|at| at - now) {
        Some(left) if left > TimeDelta::zero() => ceiling.min(left / 8),
        _ => ceiling,
    };
    #[allow(clippy::cast_possible_truncation, reason = "at most 10 minutes in milliseconds")]
    #[allow(clippy::cast_precision_loss, reason = "at most 10 minutes in milliseconds")]
    let jittered = TimeDelta::milliseconds((ceiling.num_milliseconds() as f64 * random) as i64);
    let wait = jittered.max(FIRST).max(failure.retry_after.unwrap_or_default()).min(LONGEST);
    time::round_up(now + wait)
}

/// Whether a next attempt that was set down is still to be waited for. One further ahead than any
/// back-off was written before the clock was set back, and isn't.
#[must_use]
pub fn is_pending(at: Timestamp, now: Timestamp) -> bool {
    at > now && at <= time::round_up(now + LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn what_was_written_before_the_clock_was_set_back_is_not_waited_for() {
        let now = Timestamp::default();
        assert!(is_pending(now + LONGEST, now));
        assert!(!is_pending(now + LONGEST + TimeDelta::seconds(1), now));
        assert!(!is_pending(now, now));
    }

    proptest! {
        #[test]
        fn every_back_off_is_kept_as_status_keeps_it(
            nanos in 0u32..1_000_000_000,
            stalled: bool,
            attempts in -1i64..100,
            left in proptest::option::of(-100i64..40_000_000),
            retry_after in proptest::option::of(0i64..4_000_000),
            random in 0.0..=1.0f64,
        ) {
            let now = Timestamp::from_timestamp(1_790_000_000, nanos).unwrap();
            let reason = if stalled { Reason::AppNotInstalled } else { Reason::BackingOff };
            let retry_after = retry_after.map(TimeDelta::milliseconds);
            let failure = Failure { retry_after, ..Failure::new(reason, "") };
            let next = next_attempt(&failure, attempts, left.map(|s| now + TimeDelta::seconds(s)), now, random);
            let kept = time::from_kube(&time::to_kube(next));
            prop_assert_eq!(kept, next);
            prop_assert!(is_pending(kept, now));
            let floor = FIRST.max(retry_after.unwrap_or_default().min(LONGEST));
            prop_assert!(kept - now >= floor);
            let cap = if stalled { STALLED_CAP } else { CAP };
            let cap = left.filter(|s| *s > 0).map_or(cap, |s| cap.min(TimeDelta::seconds(s) / 8));
            prop_assert!(kept - now <= cap.max(floor) + TimeDelta::seconds(1));
        }
    }
}
