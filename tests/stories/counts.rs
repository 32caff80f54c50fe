//! What the operator has cost so far: reconciles by its metrics, requests by metrics and audit log.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::world::World;

const OPERATOR: &str = "system:serviceaccount:shopify-token-operator:shopify-token-operator";

impl World {
    /// The operator's writes in this namespace, in order, as the API server's audit log knows them.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.requested(|verb| !matches!(verb, "get" | "list" | "watch"))
    }

    /// The same of its reads of single objects.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.requested(|verb| verb == "get")
    }

    fn requested(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let log = std::fs::read_to_string(self.cluster.audit_log_path()).unwrap();
        log.lines()
            .filter(|line| line.contains(&self.namespace))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| entry["objectRef"]["namespace"] == *self.namespace)
            .filter(|entry| entry["user"]["username"] == OPERATOR)
            .filter(|entry| entry["verb"].as_str().is_some_and(&wanted))
            .map(|entry| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let object = &entry["objectRef"];
                let path = [&object["resource"], &object["name"], &object["subresource"]].map(text);
                format!("{} {} {}", text(&entry["verb"]), path.join("/"), entry["responseStatus"]["code"])
            })
            .collect()
    }

    /// Reconciles of tokens so far.
    pub(crate) fn reconciles(&self) -> u64 {
        self.metric("controller_reconciles_total{kind=\"ShopifyToken\"").values().sum()
    }

    /// Requests to the API server so far, watches left out.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        let mut requests = self.metric("kubernetes_requests_total");
        requests.retain(|labels, _| !labels.contains("verb=\"watch\""));
        requests
    }

    /// Samples by their labels.
    fn metric(&self, prefix: &str) -> BTreeMap<String, u64> {
        let page = self.metrics.encode().unwrap();
        let samples = page.lines().filter(|line| line.starts_with(prefix)).filter_map(|line| line.rsplit_once(' '));
        samples.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
    }
}

/// What has been counted since.
pub(crate) fn since(before: &BTreeMap<String, u64>, now: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    now.into_iter()
        .map(|(labels, count)| (labels.clone(), count - before.get(&labels).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect()
}
