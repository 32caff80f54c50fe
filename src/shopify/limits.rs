//! How much of Shopify we take.
//!
//! Both Admin APIs take points from a bucket per app and shop that refills steadily; every answer says
//! how full it is (<https://shopify.dev/docs/api/usage/limits>).

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{AdminAccess, Client, Shop, failure};
use crate::{api::app::AdminApi, core::failure::Failure, workers::waiting};

/// The longest a call waits for its points; beyond, the caller comes back later.
const PATIENCE: Duration = Duration::from_secs(4);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `extensions.cost.throttleStatus` of an Admin GraphQL answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThrottleStatus {
    pub(super) maximum_available: f64,
    pub(super) currently_available: f64,
    pub(super) restore_rate: f64,
}

/// Whose bucket: a shop's, for an API and the app that a token stands for. Tokens are kept as a keyed
/// hash only.
pub(super) type BudgetKey = (Shop, u64);

/// What is known of the buckets that aren't full.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    hasher: RandomState,
    buckets: Mutex<HashMap<BudgetKey, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    available: f64,
    maximum: f64,
    restore_rate: f64,
    at: Instant,
}

impl Bucket {
    fn available(&self, now: Instant) -> f64 {
        let restored = now.saturating_duration_since(self.at).as_secs_f64() * self.restore_rate;
        (self.available + restored).min(self.maximum)
    }
}

impl Budgets {
    pub(super) fn key(&self, access: &AdminAccess, api: AdminApi) -> BudgetKey {
        let whose = (api == AdminApi::REST, access.token.expose_secret());
        (access.shop.clone(), self.hasher.hash_one(whose))
    }

    /// How long until a call of this cost fits. If that isn't longer than `patience`, the call's cost
    /// is taken out of the bucket, so that calls at the same time don't count on the same points.
    pub(super) fn reserve(&self, key: &BudgetKey, cost: f64, patience: Duration, now: Instant) -> Duration {
        let mut buckets = lock(&self.buckets);
        let Some(bucket) = buckets.get_mut(key) else {
            return Duration::ZERO;
        };
        let available = bucket.available(now);
        let wait = seconds_until(cost.min(bucket.maximum) - available, bucket.restore_rate);
        if wait <= patience {
            bucket.available = available - cost;
            bucket.at = now;
        }
        wait
    }

    /// Takes over what an answer says of the bucket, and forgets the buckets that are full again.
    pub(super) fn learn(&self, key: BudgetKey, status: ThrottleStatus, now: Instant) {
        let bucket = Bucket {
            available: status.currently_available,
            maximum: status.maximum_available,
            restore_rate: status.restore_rate,
            at: now,
        };
        let sane = [bucket.available, bucket.maximum, bucket.restore_rate].iter().all(|n| n.is_finite())
            && bucket.maximum > 0.0
            && bucket.restore_rate > 0.0;
        let mut buckets = lock(&self.buckets);
        buckets.retain(|_, bucket| bucket.available(now) < bucket.maximum);
        if sane {
            buckets.insert(key, bucket);
        }
    }
}

impl ThrottleStatus {
    /// REST's call limit, with every plan 20 times what comes back in a second
    /// (<https://shopify.dev/docs/api/admin-rest/usage/rate-limits>).
    pub(super) fn of_calls((used, all): (u32, u32)) -> Self {
        Self {
            maximum_available: f64::from(all),
            currently_available: f64::from(all) - f64::from(used),
            restore_rate: f64::from(all) / 20.0,
        }
    }

    /// How long until a call of this cost fits.
    pub(super) fn wait_for(&self, cost: f64) -> Duration {
        let missing = cost.min(self.maximum_available) - self.currently_available;
        seconds_until(missing, self.restore_rate)
    }
}

impl Client {
    /// Waits until a call's points are there.
    ///
    /// # Errors
    /// `BackingOff` if that takes longer than a call should wait: come back then.
    pub(super) async fn wait_for_points(&self, key: &BudgetKey, cost: f64) -> Result<(), Failure> {
        let wait = self.budgets.reserve(key, cost, PATIENCE, Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        (self.observer.on_throttled)(wait);
        if wait > PATIENCE {
            return Err(failure::throttled(&key.0, TimeDelta::from_std(wait).ok()));
        }
        waiting(tokio::time::sleep(wait)).await;
        Ok(())
    }
}

/// How long `missing` points take, at most an hour.
fn seconds_until(missing: f64, restore_rate: f64) -> Duration {
    let seconds = (missing / restore_rate).clamp(0.0, 3600.0);
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn access(shop_name: &str, token: &str) -> AdminAccess {
        AdminAccess {
            shop: shop(shop_name),
            token: SecretString::from(token),
            api: AdminApi::GraphQL,
            version: "2026-10".to_owned(),
        }
    }

    fn shop(name: &str) -> Shop {
        format!("{name}.myshopify.com").parse().unwrap()
    }

    fn status(currently_available: f64) -> ThrottleStatus {
        ThrottleStatus { maximum_available: 2000.0, currently_available, restore_rate: 100.0 }
    }

    #[test]
    fn a_call_waits_until_its_points_are_back() {
        let (budgets, now) = (Budgets::default(), Instant::now());
        let key = budgets.key(&access("a", "canary"), AdminApi::GraphQL);
        let reserve = |cost, at| budgets.reserve(&key, cost, PATIENCE, at);
        assert_eq!(reserve(50.0, now), Duration::ZERO);

        budgets.learn(key.clone(), status(40.0), now);
        assert_eq!(reserve(30.0, now), Duration::ZERO);
        assert_eq!(reserve(110.0, now), Duration::from_secs(1), "10 are left");
        assert_eq!(reserve(100.0, now), Duration::from_secs(2), "100 are owed");
        assert_eq!(reserve(1.0, now + Duration::from_secs(3)), Duration::ZERO);

        budgets.learn(key.clone(), status(0.0), now);
        assert_eq!(reserve(900.0, now), Duration::from_secs(9), "longer than the patience");
        assert_eq!(reserve(100.0, now), Duration::from_secs(1), "so nothing was taken");
        assert!(reserve(1e9, now) < Duration::from_secs(30), "no more than the whole bucket");

        for other in [
            budgets.key(&access("a", "other"), AdminApi::GraphQL),
            budgets.key(&access("b", "canary"), AdminApi::GraphQL),
            budgets.key(&access("a", "canary"), AdminApi::REST),
        ] {
            assert_eq!(budgets.reserve(&other, 900.0, PATIENCE, now), Duration::ZERO);
        }
        assert!(!format!("{budgets:?}").contains("canary"));
    }

    #[test]
    fn full_buckets_are_forgotten_and_odd_ones_not_believed() {
        let (budgets, now) = (Budgets::default(), Instant::now());
        let key = |name| budgets.key(&access(name, "t"), AdminApi::GraphQL);
        budgets.learn(key("a"), status(1900.0), now);
        budgets.learn(key("b"), status(0.0), now + Duration::from_secs(1));
        assert_eq!(lock(&budgets.buckets).len(), 1, "a is full after a second");
        let odd = ThrottleStatus { restore_rate: 0.0, ..status(0.0) };
        budgets.learn(key("c"), odd, now + Duration::from_mins(1));
        assert!(lock(&budgets.buckets).is_empty());
        assert_eq!(odd.wait_for(10.0), Duration::from_hours(1));
        assert_eq!(status(-50.0).wait_for(50.0), Duration::from_secs(1));
    }

    #[test]
    fn rest_refills_a_twentieth_each_second() {
        let status = ThrottleStatus::of_calls((40, 40));
        assert_eq!(status.wait_for(1.0), Duration::from_millis(500));
        let status = ThrottleStatus::of_calls((32, 40));
        assert_eq!(status.wait_for(1.0), Duration::ZERO);
    }
}
