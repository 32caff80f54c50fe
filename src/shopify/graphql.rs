//! One call of the GraphQL Admin API: its points, its envelope, its errors.
//!
//! <https://shopify.dev/docs/api/admin-graphql>

use std::time::{Duration, Instant};

use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    AdminAccess, ApiError, Client, Shop, Surface, answer::Answer, failure, limits::ThrottleStatus, refusal,
    transport::secret_header,
};
use crate::{
    api::app::AdminApi,
    core::{
        failure::Failure,
        vocabulary::{Reason, labels::ShopifyCall},
    },
};

/// A query or mutation, and about what it costs.
pub(super) struct Operation {
    pub(super) call: ShopifyCall,
    pub(super) cost: f64,
    pub(super) text: &'static str,
}

/// The form of every answer of a GraphQL API: it has `data`, `errors`, or both.
pub(super) struct Envelope {
    pub(super) data: Value,
    pub(super) errors: Value,
    extensions: Value,
}

impl Envelope {
    /// Reads a success.
    ///
    /// # Errors
    /// If it has another form.
    pub(super) fn read(answer: &Answer, shop: &Shop) -> Result<Self, Failure> {
        let garbled = || failure::garbled(answer, shop);
        let mut body: Map<String, Value> = answer.json().ok_or_else(garbled)?;
        let mut take = |key| body.remove(key);
        let (data, errors) = (take("data"), take("errors"));
        let extensions = take("extensions").unwrap_or_default();
        if data.is_none() && errors.is_none() {
            return Err(garbled());
        }
        Ok(Self { data: data.unwrap_or_default(), errors: errors.unwrap_or_default(), extensions })
    }

    /// Whether there are top-level errors.
    pub(super) fn has_errors(&self) -> bool {
        match &self.errors {
            Value::Null => false,
            Value::Array(errors) => !errors.is_empty(),
            _ => true,
        }
    }

    fn throttle_status(&self) -> Option<ThrottleStatus> {
        ThrottleStatus::deserialize(self.extensions.pointer("/cost/throttleStatus")?).ok()
    }

    fn requested_cost(&self) -> Option<f64> {
        self.extensions.pointer("/cost/requestedQueryCost")?.as_f64()
    }
}

impl Client {
    /// One call: waits for its points, sends it, and takes the data out of the envelope.
    pub(super) async fn graphql<T: DeserializeOwned>(
        &self,
        access: &AdminAccess,
        operation: &Operation,
        variables: Value,
    ) -> Result<(T, Answer), ApiError> {
        let shop = &access.shop;
        let token = secret_header(&access.token)?;
        let budget = self.budgets.key(access, AdminApi::GraphQL);
        self.wait_for_points(&budget, operation.cost).await?;

        let url = shop.url(&["admin", "api", &access.version, "graphql.json"]);
        let request = self
            .request(Method::POST, url)
            .header("X-Shopify-Access-Token", token)
            .json(&json!({"query": operation.text, "variables": variables}));
        let answer = self.send(Surface::AdminApi, operation.call, shop, request).await?;
        if !answer.status.is_success() {
            return Err(refusal::of_status(&answer, shop, &access.version).of_api());
        }
        let envelope = Envelope::read(&answer, shop)?;
        let status = envelope.throttle_status();
        if let Some(status) = status {
            self.budgets.learn(budget, status, Instant::now());
        }
        if envelope.has_errors() {
            let cost = envelope.requested_cost().unwrap_or(operation.cost);
            let wait = status.map(|status| status.wait_for(cost).max(Duration::from_secs(1)));
            let error = refusal::of_errors(&envelope.errors, wait, &answer, shop);
            self.note_throttling(error.failure());
            return Err(error);
        }
        let data = serde_json::from_value(envelope.data).map_err(|_| failure::unexpected(&answer, shop))?;
        Ok((data, answer))
    }

    /// The payload of a mutation, its user errors included; null if there is none.
    pub(super) async fn mutation(
        &self,
        access: &AdminAccess,
        operation: &Operation,
        field: &str,
        variables: Value,
    ) -> Result<(Value, Answer), ApiError> {
        let (mut data, answer): (Value, _) = self.graphql(access, operation, variables).await?;
        Ok((data.get_mut(field).map(Value::take).unwrap_or_default(), answer))
    }

    /// Counts a wait that one of Shopify's limits imposes.
    fn note_throttling(&self, failure: &Failure) {
        let wait = failure.retry_after.and_then(|wait| wait.to_std().ok());
        if let (Reason::BackingOff, false, Some(wait)) = (failure.reason, failure.unreachable, wait) {
            (self.observer.on_throttled)(wait);
        }
    }
}
