//! What dashboards and alerts rely on, as OpenMetrics text.

mod apps;
pub mod reference;
mod tokens;

use std::{
    fmt,
    io::{self, BufWriter, IntoInnerError, Write},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use self::{apps::Apps, tokens::Tokens};
use crate::{
    api::{ShopifyApp, ShopifyToken, SourceKind},
    clock::Clock,
    core::{
        source::nature,
        vocabulary::labels::{Ended, InstallPage, Reconciled, Sent, ShopifyCall, Told, Verb},
    },
};

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bytes that are compressed at a time.
const PIECE: usize = 32 * 1024;

const CALL_BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const RECONCILE_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

type Counts<L> = Family<L, Counter>;
type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SourceResult {
    source: &'static str,
    result: &'static str,
}

impl SourceResult {
    fn of(source: SourceKind, ended: Ended) -> Self {
        Self { source: source.as_str(), result: ended.as_str() }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OperationCode {
    operation: &'static str,
    code: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Listed {
    namespace: String,
    admin_token: String,
    shop: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindResult {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SentResult {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PageOutcome {
    page: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct VerbResourceCode {
    verb: &'static str,
    resource: String,
    code: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Lease {
    lease: String,
}

/// Everything the operator counts and measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    issues: Counts<SourceResult>,
    revocations: Counts<SourceResult>,
    shopify_requests: Counts<OperationCode>,
    shopify_durations: Durations<OperationCode>,
    shopify_throttled: Counter<f64, AtomicU64>,
    reconciles: Counts<KindResult>,
    reconcile_durations: Durations<Kind>,
    kubernetes_requests: Counts<VerbResourceCode>,
    kubernetes_delayed: Counter,
    events_lost: Counter,
    storefront_tokens: Family<Listed, Gauge>,
    install_pages: Counts<PageOutcome>,
    spans: Counts<SentResult>,
    leader: Family<Lease, Gauge>,
    tokens: Arc<Tokens>,
    apps: Arc<Apps>,
}

impl Metrics {
    /// All metrics at zero, and no tokens to report on.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            issues: Family::default(),
            revocations: Family::default(),
            shopify_requests: Family::default(),
            shopify_durations: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS)),
            shopify_throttled: Counter::default(),
            reconciles: Family::default(),
            reconcile_durations: Family::new_with_constructor(|| Histogram::new(RECONCILE_BUCKETS)),
            kubernetes_requests: Family::default(),
            kubernetes_delayed: Counter::default(),
            events_lost: Counter::default(),
            storefront_tokens: Family::default(),
            install_pages: Family::default(),
            spans: Family::default(),
            leader: Family::default(),
            tokens: Arc::default(),
            apps: Arc::default(),
        };
        metrics.register();
        metrics.begin();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        reference::ISSUES.register(registry, self.issues.clone());
        reference::REVOCATIONS.register(registry, self.revocations.clone());
        reference::SHOPIFY_REQUESTS.register(registry, self.shopify_requests.clone());
        reference::SHOPIFY_DURATIONS.register(registry, self.shopify_durations.clone());
        reference::SHOPIFY_THROTTLED.register(registry, self.shopify_throttled.clone());
        reference::RECONCILES.register(registry, self.reconciles.clone());
        reference::RECONCILE_DURATIONS.register(registry, self.reconcile_durations.clone());
        reference::KUBERNETES_REQUESTS.register(registry, self.kubernetes_requests.clone());
        reference::KUBERNETES_DELAYED.register(registry, self.kubernetes_delayed.clone());
        reference::EVENTS_LOST.register(registry, self.events_lost.clone());
        reference::INSTALL_PAGES.register(registry, self.install_pages.clone());
        reference::SPANS.register(registry, self.spans.clone());
        reference::STOREFRONT_TOKENS.register(registry, self.storefront_tokens.clone());
        reference::LEADER.register(registry, self.leader.clone());
        registry.register_collector(Box::new(self.tokens.clone()));
        registry.register_collector(Box::new(self.apps.clone()));
    }

    // A rate sees only what is added to a series that is there: the first one of each of these counts too.
    fn begin(&self) {
        for source in SourceKind::ALL {
            self.issues.get_or_create(&SourceResult::of(source, Ended::Success)).inc_by(0);
            if nature(source).revocable {
                for ended in [Ended::Success, Ended::GivenUp] {
                    self.revocations.get_or_create(&SourceResult::of(source, ended)).inc_by(0);
                }
            }
        }
    }

    /// An attempt to issue a credential ended.
    pub fn issued(&self, source: SourceKind, ended: Ended) {
        self.issues.get_or_create(&SourceResult::of(source, ended)).inc();
    }

    /// An attempt to revoke a credential ended.
    pub fn revoked(&self, source: SourceKind, ended: Ended) {
        self.revocations.get_or_create(&SourceResult::of(source, ended)).inc();
    }

    /// A request to Shopify ended; `code` is its HTTP status, or the kind of failure when there was no answer.
    pub fn shopify_call(&self, operation: ShopifyCall, code: &str, took: Duration) {
        let labels = OperationCode { operation: operation.as_str(), code: code.to_owned() };
        self.shopify_requests.get_or_create(&labels).inc();
        self.shopify_durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A request waited because Shopify throttles.
    pub fn shopify_throttled(&self, waited: Duration) {
        self.shopify_throttled.inc_by(waited.as_secs_f64());
    }

    /// A reconcile ended.
    pub fn reconciled(&self, kind: &'static str, ended: Reconciled, took: Duration) {
        self.reconciles.get_or_create(&KindResult { kind, result: ended.as_str() }).inc();
        self.reconcile_durations.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// A request to the API server was answered; `code` is its HTTP status, or the kind of failure.
    pub fn kubernetes_request(&self, verb: Verb, resource: &str, code: &str) {
        self.kubernetes_requests
            .get_or_create(&VerbResourceCode {
                verb: verb.as_str(),
                resource: resource.to_owned(),
                code: code.to_owned(),
            })
            .inc();
    }

    /// A request went though so many others were unanswered.
    pub fn kubernetes_delayed(&self) {
        self.kubernetes_delayed.inc();
    }

    /// An event couldn't be written.
    pub fn event_lost(&self) {
        self.events_lost.inc();
    }

    /// An install page was served.
    pub fn install_page(&self, page: InstallPage, told: Told) {
        self.install_pages.get_or_create(&PageOutcome { page: page.as_str(), outcome: told.as_str() }).inc();
    }

    /// So many spans were sent to the collector of traces, or are lost.
    pub fn spans_sent(&self, sent: Sent, count: usize) {
        self.spans
            .get_or_create(&SentResult { result: sent.as_str() })
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// With the admin token of this name so many storefront tokens were listed at a shop.
    pub fn storefront_tokens(&self, namespace: &str, admin_token: &str, shop: &str, count: usize) {
        let labels = Listed { namespace: namespace.into(), admin_token: admin_token.into(), shop: shop.into() };
        self.storefront_tokens.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The admin token of this name is gone: what was listed with it says nothing any more.
    pub fn forget_storefront_tokens(&self, namespace: &str, admin_token: &str, shop: &str) {
        let labels = Listed { namespace: namespace.into(), admin_token: admin_token.into(), shop: shop.into() };
        self.storefront_tokens.remove(&labels);
    }

    /// Whether this instance holds the lease of this name. Who stands by says so, too: else nobody knew that there is one.
    pub fn leading(&self, lease: &str, leads: bool) {
        self.leader.get_or_create(&Lease { lease: lease.to_owned() }).set(i64::from(leads));
    }

    /// Reports, at each scrape, on every token that `visit` shows: a deleted one is gone with the next scrape.
    pub fn watch_tokens<F>(&self, visit: F, clock: Clock)
    where
        F: Fn(&mut dyn FnMut(&[&ShopifyToken])) + Send + Sync + 'static,
    {
        self.tokens.watch(Box::new(visit), clock);
    }

    /// The same for every app.
    pub fn watch_apps<F>(&self, visit: F)
    where
        F: Fn(&mut dyn FnMut(&ShopifyApp)) + Send + Sync + 'static,
    {
        self.apps.watch(Box::new(visit));
    }

    /// Everything as OpenMetrics text, see [`CONTENT_TYPE`].
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    /// The same, compressed by gzip (RFC 1952) as it is written: of ten thousand tokens the text has megabytes.
    ///
    /// # Errors
    /// None that is expected: it is written into memory.
    pub fn encode_gzip(&self) -> io::Result<Vec<u8>> {
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let mut page = Compressed(BufWriter::with_capacity(PIECE, encoder));
        text::encode(&mut page, &self.registry).map_err(io::Error::other)?;
        page.0.into_inner().map_err(IntoInnerError::into_error)?.finish()
    }
}

/// What is compressed in pieces, for it comes in single words.
struct Compressed(BufWriter<GzEncoder<Vec<u8>>>);

impl fmt::Write for Compressed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_in_memory| fmt::Error)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    fn token(name: &str, ready: &str, renewal: &str) -> ShopifyToken {
        serde_json::from_value(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1",
            "kind": "ShopifyToken",
            "metadata": { "namespace": "shop", "name": name },
            "spec": {
                "shop": "acme.myshopify.com",
                "source": { "clientCredentials": { "appRef": { "name": "acme" } } },
            },
            "status": {
                "observedGeneration": 1,
                "conditions": [{
                    "type": "Ready", "status": ready, "reason": "Issued", "message": "",
                    "lastTransitionTime": "2026-11-22T00:00:00Z",
                }],
                "expiresAt": "2026-11-23T00:00:00Z",
                "renewalTime": renewal,
                "refreshTokenExpiresAt": "2027-02-20T00:00:00Z",
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_names_are_those_that_dashboards_rely_on() {
        let metrics = Metrics::new();
        metrics.issued(SourceKind::Storefront, Ended::Success);
        metrics.revoked(SourceKind::Delegate, Ended::GivenUp);
        metrics.shopify_call(ShopifyCall::ClientCredentials, "200", Duration::from_millis(120));
        metrics.shopify_throttled(Duration::from_millis(1500));
        metrics.reconciled("ShopifyToken", Reconciled::Success, Duration::from_millis(3));
        metrics.kubernetes_request(Verb::Update, "shopifytokens/status", "200");
        metrics.kubernetes_delayed();
        metrics.event_lost();
        metrics.storefront_tokens("shop", "admin", "acme.myshopify.com", 91);
        metrics.spans_sent(Sent::Failed, 512);
        metrics.leading("shard-a", true);
        let page = metrics.encode().unwrap();
        for line in [
            r#"shopify_token_issues_total{source="Storefront",result="success"} 1"#,
            r#"shopify_token_revocations_total{source="Delegate",result="given_up"} 1"#,
            r#"shopify_api_requests_total{operation="client_credentials",code="200"} 1"#,
            r#"shopify_api_request_duration_seconds_count{operation="client_credentials",code="200"} 1"#,
            "shopify_api_throttled_seconds_total 1.5",
            r#"controller_reconciles_total{kind="ShopifyToken",result="success"} 1"#,
            r#"controller_reconcile_duration_seconds_count{kind="ShopifyToken"} 1"#,
            r#"kubernetes_requests_total{verb="update",resource="shopifytokens/status",code="200"} 1"#,
            "kubernetes_requests_delayed_total 1",
            "kubernetes_events_lost_total 1",
            r#"shopify_storefront_tokens{namespace="shop",admin_token="admin",shop="acme.myshopify.com"} 91"#,
            r#"otlp_spans_total{result="failed"} 512"#,
            r#"leader{lease="shard-a"} 1"#,
            "# EOF",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} isn't in\n{page}");
        }
        assert!(!page.contains("shopify_token_ready"));
    }

    #[test]
    fn a_token_is_reported_as_long_as_it_is_there() {
        let metrics = Metrics::new();
        let clock = Clock::system();
        let tokens = Arc::new(Mutex::new(vec![
            token("web", "True", "2999-01-01T00:00:00Z"),
            token("old", "False", "2026-01-01T00:00:00Z"),
        ]));
        let store = tokens.clone();
        metrics.watch_tokens(move |tell| tell(&store.lock().unwrap().iter().collect::<Vec<_>>()), clock.clone());
        let page = metrics.encode().unwrap();
        for line in [
            r#"shopify_token_ready{namespace="shop",name="web",source="ClientCredentials"} 1"#,
            r#"shopify_token_ready{namespace="shop",name="old",source="ClientCredentials"} 0"#,
            r#"shopify_token_expiry_timestamp_seconds{namespace="shop",name="web",source="ClientCredentials"} 1795392000"#,
            r#"shopify_token_renewal_timestamp_seconds{namespace="shop",name="old",source="ClientCredentials"} 1767225600"#,
            "shopify_token_overdue 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} isn't in\n{page}");
        }

        tokens.lock().unwrap().remove(1);
        let page = metrics.encode().unwrap();
        assert!(!page.contains(r#"name="old""#));
        assert!(page.contains("shopify_token_overdue 0"));

        clock.advance(TimeDelta::days(365 * 1000));
        assert!(metrics.encode().unwrap().contains("shopify_token_overdue 1"));
    }

    #[test]
    fn what_was_listed_goes_with_its_admin_token() {
        let metrics = Metrics::new();
        metrics.storefront_tokens("shop", "admin", "acme.myshopify.com", 95);
        metrics.storefront_tokens("shop", "other", "acme.myshopify.com", 2);
        metrics.forget_storefront_tokens("shop", "admin", "acme.myshopify.com");
        let page = metrics.encode().unwrap();
        assert!(!page.contains("admin_token=\"admin\"") && page.contains("admin_token=\"other\""), "{page}");
    }

    #[test]
    fn what_waits_for_a_person_says_why() {
        let metrics = Metrics::new();
        let mut stalled = token("web", "True", "2000-01-01T00:00:00Z");
        let conditions = &mut stalled.status.as_mut().unwrap().conditions;
        let mut condition = conditions[0].clone();
        (condition.type_, condition.reason) = ("Stalled".into(), "RefreshTokenDead".into());
        conditions.push(condition);
        metrics.watch_tokens(
            move |tell| tell(&[&stalled, &token("other", "True", "2999-01-01T00:00:00Z")]),
            Clock::system(),
        );
        let page = metrics.encode().unwrap();
        let of = |name: &str| page.lines().filter(|l| l.starts_with(name)).collect::<Vec<_>>();
        let labels = r#"namespace="shop",name="web",source="ClientCredentials""#;
        assert_eq!(
            of("shopify_token_stalled"),
            [format!(r#"shopify_token_stalled{{{labels},reason="RefreshTokenDead"}} 1"#)]
        );
        let expires = format!("shopify_token_refresh_expiry_timestamp_seconds{{{labels}}} 1803081600");
        assert!(of("shopify_token_refresh_expiry").contains(&expires.as_str()), "{page}");
        // Nobody can renew it: that it is due says nothing of the operator.
        assert_eq!(of("shopify_token_overdue"), ["shopify_token_overdue 0"]);
    }

    #[test]
    fn a_suspended_token_is_never_overdue() {
        let metrics = Metrics::new();
        metrics.watch_tokens(
            |tell| {
                let mut token = token("web", "True", "2000-01-01T00:00:00Z");
                token.spec.suspend = Some(true);
                tell(&[&token]);
            },
            Clock::system(),
        );
        let page = metrics.encode().unwrap();
        assert!(page.contains("shopify_token_overdue 0"), "{page}");
    }
}
