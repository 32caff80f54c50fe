//! When a credential is renewed, and which lifetimes are believed.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::{record::Record, source::nature};
use crate::{
    api::{ShopifyToken, ShopifyTokenSpec, SourceKind},
    time::{self, Timestamp},
};

/// The longest lifetime that is believed.
pub const LONGEST_LIFETIME: TimeDelta = TimeDelta::days(400);

/// What `expires_in` meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lifetime {
    /// A lifetime of 1 second to 400 days.
    Stated(TimeDelta),
    /// Nothing that can be believed; the text says what was there. Never "no expiry".
    Unusual(&'static str),
}

/// Reads `expires_in` as token endpoints send it: an integer, or a numeric string (RFC 6749, section 5.1).
#[must_use]
pub fn lifetime(expires_in: Option<&serde_json::Value>) -> Lifetime {
    let seconds = match expires_in {
        None | Some(serde_json::Value::Null) => return Lifetime::Unusual("no expires_in"),
        Some(serde_json::Value::Number(n)) => n.as_f64(),
        Some(serde_json::Value::String(s)) => s.trim().parse::<f64>().ok(),
        Some(_) => None,
    };
    match seconds {
        None => Lifetime::Unusual("an expires_in that isn't a number"),
        Some(s) if !s.is_finite() => Lifetime::Unusual("an expires_in that isn't a number"),
        Some(s) if s < 1.0 => Lifetime::Unusual("an expires_in below 1 second"),
        Some(s) if s > 34_560_000.0 => Lifetime::Unusual("an expires_in above 400 days"),
        #[allow(clippy::cast_possible_truncation, reason = "checked above to lie in 1..=34,560,000")]
        Some(s) => Lifetime::Stated(TimeDelta::seconds(s as i64)),
    }
}

/// How long before expiry the credential is renewed, and whether the spec's wish had to be ignored.
#[must_use]
pub fn renew_before(spec: &ShopifyTokenSpec, lifetime: TimeDelta) -> (TimeDelta, bool) {
    let third = lifetime / 3;
    match (spec.renew_before.map(time::to_delta), spec.renew_before_percentage) {
        (Some(wish), _) if wish < lifetime => (wish, false),
        (Some(_), _) => (third, true),
        (None, Some(percent)) => (lifetime * percent.clamp(1, 90) / 100, false),
        (None, None) => (third, false),
    }
}

/// The least time between an issue and the renewal, however short a credential lives.
const LEAST_AGE: TimeDelta = TimeDelta::seconds(3);

/// When a credential is renewed: `expiresAt - renewBefore`, earlier by a jitter that depends on the
/// object alone, of up to a tenth of `renewBefore` and of what is left before it. In whole seconds:
/// status keeps no fraction, and a gate that differs from it would re-queue for ever.
///
/// Never before a tenth of the lifetime and 3 seconds have passed since `issued_at`, so that no spec
/// and no answer makes an object mint without end. That alone may lie after the expiry.
#[must_use]
pub fn renewal_time(spec: &ShopifyTokenSpec, uid: &str, issued_at: Timestamp, expires_at: Timestamp) -> Timestamp {
    let lifetime = (expires_at - issued_at).max(TimeDelta::zero());
    let (before, _) = renew_before(spec, lifetime);
    let jitter = spread(uid, before.min(lifetime - before) / 10);
    let earliest = time::round_up(issued_at + (lifetime / 10).max(LEAST_AGE));
    time::round_down(expires_at - before - jitter).max(earliest)
}

/// When the credential of a record is renewed, or rotated by the clock; `None` if never.
#[must_use]
pub fn renewal_of(token: &ShopifyToken, kind: SourceKind, record: &Record) -> Option<Timestamp> {
    match record.expires_at {
        Some(expires_at) => Some(renewal_time(&token.spec, &record.token.uid, record.issued_at, expires_at)),
        None => rotation_of(token, kind, record),
    }
}

/// When a credential that never expires is replaced by the clock; `None` if never.
#[must_use]
pub fn rotation_of(token: &ShopifyToken, kind: SourceKind, record: &Record) -> Option<Timestamp> {
    let replaced = record.expires_at.is_none() && nature(kind).replaceable;
    replaced.then(|| token.spec.rotation_interval()).flatten().map(|interval| record.issued_at + interval)
}

/// A duration below `limit` that depends on the object alone.
#[must_use]
pub fn spread(uid: &str, limit: TimeDelta) -> TimeDelta {
    limit * i32::from(hash(uid)) / 65_536
}

/// A number in `0.0..1.0` that depends on the text alone: spreads what would else happen at once.
#[must_use]
pub fn share(text: &str) -> f64 {
    f64::from(hash(text)) / 65_536.0
}

fn hash(text: &str) -> u16 {
    let digest = Sha256::digest(text.as_bytes());
    u16::from_be_bytes([digest[0], digest[1]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn spec(fields: &serde_json::Value) -> ShopifyTokenSpec {
        let mut spec = json!({"shop": "acme.myshopify.com", "source": {}});
        for (name, value) in fields.as_object().unwrap() {
            spec[name] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn lifetimes_that_are_believed() {
        for (value, seconds) in [
            (json!(86399), 86399),
            (json!("3600"), 3600),
            (json!(1), 1),
            (json!(34_560_000), 34_560_000),
            (json!(1.9), 1),
        ] {
            assert_eq!(lifetime(Some(&value)), Lifetime::Stated(TimeDelta::seconds(seconds)), "{value}");
        }
        for value in [
            json!(0),
            json!(-5),
            json!(34_560_001),
            json!(1e300),
            json!("soon"),
            json!("NaN"),
            json!("inf"),
            json!({}),
            json!(true),
            json!(null),
        ] {
            assert!(matches!(lifetime(Some(&value)), Lifetime::Unusual(_)), "{value}");
        }
        assert!(matches!(lifetime(None), Lifetime::Unusual(_)));
    }

    #[test]
    fn renew_before_not_shorter_than_the_lifetime_is_ignored() {
        let day = TimeDelta::hours(24);
        let with = |text: &str| spec(&json!({"renewBefore": text}));
        assert_eq!(renew_before(&spec(&json!({})), day), (TimeDelta::hours(8), false));
        assert_eq!(renew_before(&with("2h"), day), (TimeDelta::hours(2), false));
        assert_eq!(renew_before(&with("24h"), day), (TimeDelta::hours(8), true));
        assert_eq!(renew_before(&spec(&json!({"renewBeforePercentage": 50})), day), (TimeDelta::hours(12), false));
    }

    #[test]
    fn a_renewal_waits_however_early_it_is_wished() {
        let day = 86_400;
        for uid in ["a", "b", "c", "d", "e"] {
            let after = |fields, life| (renewal_time(&spec(&fields), uid, at(0), at(life)) - at(0)).num_seconds();
            assert!(after(json!({"renewBefore": "23h"}), day) >= 8640);
            assert_eq!(after(json!({"renewBefore": "23h59m59s"}), day), 8640);
            assert_eq!(after(json!({}), 1), 3);
            assert_eq!(after(json!({}), 5), 3);
            assert_eq!(after(json!({}), -5), 3, "a record that expires before it is issued");
        }
    }

    /// `renewBefore`, `renewBeforePercentage` or neither, as the API admits them.
    fn wishes() -> impl Strategy<Value = serde_json::Value> {
        prop_oneof![
            Just(json!({})),
            (1u8..=90).prop_map(|percent| json!({"renewBeforePercentage": percent})),
            (1u32..200_000_000).prop_map(|seconds| json!({"renewBefore": format!("{seconds}s")})),
            (1u32..100_000).prop_map(|seconds| json!({"renewBefore": format!("{seconds}s")})),
        ]
    }

    /// Lifetimes of 1 second to 400 days, of each order of magnitude.
    fn lifetimes() -> impl Strategy<Value = i64> {
        prop_oneof![1i64..60, 1i64..4000, 1i64..100_000, 1i64..=34_560_000]
    }

    proptest! {
        #[test]
        fn renewal_lies_between_its_floor_and_the_expiry(
            wish in wishes(), uid in "[a-f0-9]{8}", life in lifetimes(), issued in 0i64..4_000_000_000, nanos in 0u32..1_000_000_000,
        ) {
            let spec = spec(&wish);
            let issued = Timestamp::from_timestamp(issued, nanos).unwrap();
            let expires = issued + TimeDelta::seconds(life);
            let renewal = renewal_time(&spec, &uid, issued, expires);
            let floor = issued + (TimeDelta::seconds(life) / 10).max(TimeDelta::seconds(3));
            let second = TimeDelta::seconds(1);
            prop_assert!(renewal >= floor);
            prop_assert!(renewal <= expires.max(floor + second));
            prop_assert_eq!(renewal.timestamp_subsec_nanos(), 0);
            // Not earlier than wished by more than the jitter and what rounding takes.
            let (before, _) = renew_before(&spec, TimeDelta::seconds(life));
            let left = TimeDelta::seconds(life) - before;
            prop_assert!(renewal > expires - before - before.min(left) / 10 - second);
            // What expires later is renewed no earlier, unless the wish is ignored for one of them.
            let later = expires + TimeDelta::days(1);
            if renew_before(&spec, later - issued).1 == renew_before(&spec, expires - issued).1 {
                prop_assert!(renewal_time(&spec, &uid, issued, later) >= renewal);
            }
        }
    }
}
