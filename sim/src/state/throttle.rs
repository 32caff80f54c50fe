//! Rate limits: one leaky bucket per app, shop and API
//! (<https://shopify.dev/docs/api/usage/limits>).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Owner, State};
use crate::error::Unknown;

/// Buckets hold twenty seconds' worth of what is restored in one.
const BUCKET_SECONDS: u32 = 20;

/// More than this in one query is refused on any plan.
pub(crate) const MAX_QUERY_COST: u32 = 1000;

/// The two APIs with a limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Api {
    Graphql,
    Rest,
}

/// The fill of each bucket, from its first use on.
pub(crate) type Buckets = HashMap<(Owner, Api), Fill>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    available: f64,
    at: DateTime<Utc>,
}

/// What `extensions.cost.throttleStatus` says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThrottleStatus {
    pub(crate) maximum_available: f64,
    pub(crate) currently_available: u32,
    pub(crate) restore_rate: f64,
}

impl State {
    /// Takes `cost` from the bucket. `Err` is a bucket that hasn't got as much.
    pub(crate) fn charge(
        &mut self,
        owner: &Owner,
        api: Api,
        cost: u32,
        now: DateTime<Utc>,
    ) -> Result<Result<ThrottleStatus, ThrottleStatus>, Unknown> {
        self.spend(owner, api, f64::from(cost), now)
    }

    /// Gives back what a query didn't cost after all.
    pub(crate) fn refund(&mut self, owner: &Owner, cost: u32, now: DateTime<Utc>) -> Result<ThrottleStatus, Unknown> {
        let status = self.spend(owner, Api::Graphql, -f64::from(cost), now)?;
        Ok(status.unwrap_or_else(|status| status))
    }

    fn spend(
        &mut self,
        owner: &Owner,
        api: Api,
        cost: f64,
        now: DateTime<Utc>,
    ) -> Result<Result<ThrottleStatus, ThrottleStatus>, Unknown> {
        let shop = self.shop(&owner.shop)?;
        let rate = match api {
            Api::Graphql => shop.restore_rate(),
            Api::Rest => shop.plan.calls_per_second(),
        };
        let maximum = f64::from(rate * BUCKET_SECONDS);
        let rate = f64::from(rate);
        let fill = self.buckets.entry((owner.clone(), api)).or_insert(Fill { available: maximum, at: now });
        // A clock set back restores nothing.
        let elapsed = (now - fill.at).as_seconds_f64().max(0.0);
        fill.available = (fill.available + elapsed * rate).min(maximum);
        fill.at = now;
        let enough = fill.available >= cost;
        if enough {
            fill.available = (fill.available - cost).min(maximum);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between zero and the maximum, a u32"
        )]
        let status = ThrottleStatus {
            maximum_available: maximum,
            currently_available: fill.available as u32,
            restore_rate: rate,
        };
        Ok(if enough { Ok(status) } else { Err(status) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::ShopConfig;

    #[test]
    fn an_empty_bucket_fills_again() {
        let owner = Owner::new("acme.myshopify.com", "app");
        let mut state = State::default();
        state.put_shop(ShopConfig::new(owner.shop.clone()));
        let t0 = DateTime::UNIX_EPOCH;
        let mut charge = |cost, now| state.charge(&owner, Api::Graphql, cost, now).unwrap();

        assert_eq!(charge(2000, t0).unwrap().currently_available, 0);
        assert_eq!(charge(1, t0).unwrap_err().currently_available, 0);
        let later = t0 + Duration::from_secs(3);
        assert_eq!(charge(100, later).unwrap().currently_available, 200);
        let much_later = t0 + Duration::from_hours(1);
        assert_eq!(charge(0, much_later).unwrap().currently_available, 2000);
    }
}
