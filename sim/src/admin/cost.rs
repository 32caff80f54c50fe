//! The price of a query: charged before it runs, partly given back after.
//!
//! Scalars are free, an object costs 1, a mutation 10 more. What a connection
//! costs is this simulator's own: 2 plus the binary logarithm of its size.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::{ServerError, ValidationResult, async_trait};
use serde_json::{Value, json};

use super::graphql_error;
use crate::error::Unknown;
use crate::shopify::Shopify;
use crate::state::{Api, MAX_QUERY_COST, Owner};

/// What a connection of that many nodes costs.
pub(super) fn connection(nodes: usize) -> u32 {
    // usize::ilog2 rounds down; n + 1 nodes need one bit more.
    2 + (2 * nodes + 1).ilog2()
}

/// What a connection asked for with these arguments costs at most.
pub(super) fn connection_asked(first: Option<i32>, last: Option<i32>) -> usize {
    let nodes = first.or(last).unwrap_or_default().clamp(0, 250);
    connection(usize::try_from(nodes).unwrap_or_default()) as usize
}

/// The bill of one request.
#[derive(Debug)]
pub(super) struct Meter {
    shopify: Shopify,
    owner: Owner,
    requested: OnceLock<u32>,
    charged: OnceLock<()>,
    refund: AtomicU32,
}

impl Meter {
    pub(super) fn new(shopify: Shopify, owner: Owner) -> Self {
        Self { shopify, owner, requested: OnceLock::new(), charged: OnceLock::new(), refund: AtomicU32::new(0) }
    }

    /// Something asked for wasn't delivered.
    pub(super) fn refund(&self, cost: u32) {
        self.refund.fetch_add(cost, Ordering::Relaxed);
    }

    /// Whether the query was paid for, that is, executed.
    pub(super) fn charged(&self) -> bool {
        self.charged.get().is_some()
    }

    fn charge(&self, cost: u32) -> Result<(), ServerError> {
        let requested = *self.requested.get_or_init(|| cost);
        if requested > MAX_QUERY_COST {
            return Err(graphql_error::max_cost_exceeded(requested, MAX_QUERY_COST));
        }
        let now = self.shopify.now();
        let charged = self.shopify.state().charge(&self.owner, Api::Graphql, requested, now);
        match charged {
            Ok(Ok(_)) => {
                self.charged.get_or_init(|| ());
                Ok(())
            }
            Ok(Err(_)) => Err(graphql_error::throttled()),
            Err(error) => Err(ServerError::new(error.to_string(), None)),
        }
    }

    /// Gives the refund back and says what `extensions.cost` says.
    pub(super) fn settle(&self) -> Result<Value, Unknown> {
        let requested = self.requested.get().copied().unwrap_or_default();
        let refund = if self.charged() { self.refund.load(Ordering::Relaxed).min(requested) } else { 0 };
        let actual = self.charged().then_some(requested - refund);
        let now = self.shopify.now();
        let status = self.shopify.state().refund(&self.owner, refund, now)?;
        Ok(json!({
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": status,
        }))
    }
}

/// Charges the [`Meter`] of a request once its price is known.
pub(super) struct Charging;

impl ExtensionFactory for Charging {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Charging {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        let cost = u32::try_from(result.complexity).unwrap_or(u32::MAX);
        ctx.data::<Arc<Meter>>()
            .map_err(|error| ServerError::new(error.message, None))
            .and_then(|meter| meter.charge(cost))
            .map_err(|error| vec![error])?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_grows_with_the_logarithm_of_its_size() {
        assert_eq!(connection(0), 2);
        assert_eq!(connection(1), 3);
        assert_eq!(connection(100), 9);
        assert_eq!(connection_asked(Some(-1), None), 2);
    }
}
