//! What there is to know of each metric. They are registered with it, and the table in `docs/reference.md` is made of it.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
    registry::{self, Registry, Unit},
};

use crate::{
    api::SourceKind,
    core::vocabulary::{
        Class, Reason,
        labels::{Ended, InstallPage, Reconciled, Sent, ShopifyCall, Told, Verb},
    },
    rbac::{GRANTS, LEASES, ROLLOUTS, WATCHED},
};

/// How a metric is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// What is now.
    Gauge,
    /// Counts of what took no longer than a bucket says.
    Histogram,
}

/// What a label can say.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    /// One of these.
    OneOf(fn() -> Vec<&'static str>),
    /// One of these, or a reason of those that this is true of.
    OrReason(&'static [Ended], fn(Reason) -> bool),
    /// An HTTP status, or what it is where there is no answer.
    Status,
    /// This, of objects that there are in the cluster.
    PerObject(&'static str),
}

/// A label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it can say.
    pub says: Says,
}

/// What stands for a status where there is no answer.
pub const UNANSWERED: [&str; 2] = ["timeout", "error"];

impl Label {
    /// Whether it can say that.
    #[must_use]
    pub fn can_say(&self, value: &str) -> bool {
        match self.says {
            Says::OneOf(values) => values().contains(&value),
            Says::Status => {
                UNANSWERED.contains(&value) || value.parse().is_ok_and(|status| (100..600).contains::<u16>(&status))
            }
            Says::OrReason(words, is_one) => {
                words.iter().any(|word| word.as_str() == value) || Reason::parse(value).is_some_and(is_one)
            }
            Says::PerObject(_) => true,
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Its name, without what [`Described::name`] adds.
    family: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// Whether it is a time in seconds.
    seconds: bool,
    /// Its labels, in their order.
    pub labels: &'static [Label],
    /// What it says: the help text, without the full stop.
    pub meaning: &'static str,
    /// What it is good for.
    pub advice: &'static str,
}

impl Described {
    /// The name as queries have it; a histogram's has `_bucket`, `_count` and `_sum` behind it.
    #[must_use]
    pub fn name(&self) -> String {
        let unit = if self.seconds { "_seconds" } else { "" };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.family)
    }

    const fn in_seconds(self) -> Self {
        Self { seconds: true, ..self }
    }

    // The registry appends unit, `_total` and the full stop by itself.
    pub(super) fn register(&self, registry: &mut Registry, metric: impl registry::Metric) {
        if self.seconds {
            registry.register_with_unit(self.family, self.meaning, Unit::Seconds, metric);
        } else {
            registry.register(self.family, self.meaning, metric);
        }
    }

    /// For samples that are taken when they are asked for: of gauges.
    pub(super) fn family_of<'e>(
        &self,
        encoder: &'e mut DescriptorEncoder<'_>,
    ) -> Result<MetricEncoder<'e>, fmt::Error> {
        let unit = self.seconds.then_some(&Unit::Seconds);
        encoder.encode_descriptor(self.family, &format!("{}.", self.meaning), unit, MetricType::Gauge)
    }
}

const fn described(
    kind: Kind,
    family: &'static str,
    labels: &'static [Label],
    meaning: &'static str,
    advice: &'static str,
) -> Described {
    Described { family, kind, seconds: false, labels, meaning, advice }
}

const fn counter(
    family: &'static str,
    labels: &'static [Label],
    meaning: &'static str,
    advice: &'static str,
) -> Described {
    described(Kind::Counter, family, labels, meaning, advice)
}

const fn gauge(
    family: &'static str,
    labels: &'static [Label],
    meaning: &'static str,
    advice: &'static str,
) -> Described {
    described(Kind::Gauge, family, labels, meaning, advice)
}

const fn histogram(
    family: &'static str,
    labels: &'static [Label],
    meaning: &'static str,
    advice: &'static str,
) -> Described {
    described(Kind::Histogram, family, labels, meaning, advice)
}

const fn per_object(name: &'static str, of: &'static str) -> Label {
    Label { name, says: Says::PerObject(of) }
}

const fn one_of(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label { name, says: Says::OneOf(values) }
}

const NAMESPACE: Label = per_object("namespace", "the namespace of the object");
const NAME: Label = per_object("name", "the name of the object");
const SOURCE: Label = one_of("source", || SourceKind::ALL.iter().map(|kind| kind.as_str()).collect());
const REASON: Label = Label { name: "reason", says: Says::OrReason(&[], Reason::is_stalled) };
const CODE: Label = Label { name: "code", says: Says::Status };
const KIND: Label = one_of("kind", || vec!["ShopifyToken", "ShopifyApp"]);
const OPERATION: Label = one_of("operation", || ShopifyCall::ALL.iter().map(|call| call.as_str()).collect());
const ADMIN_TOKEN: Label = per_object("admin_token", "the name of the admin token");
const SHOP: Label = per_object("shop", "its shop");
const LEASE: Label = per_object("lease", "the name of the Lease (`--lease-name`): each shard has its own");
const RECONCILED: Label = one_of("result", || Reconciled::ALL.iter().map(|ended| ended.as_str()).collect());
const VERB: Label = one_of("verb", || Verb::ALL.iter().map(|verb| verb.as_str()).collect());
const PAGE: Label = one_of("page", || InstallPage::ALL.iter().map(|page| page.as_str()).collect());
const OUTCOME: Label = one_of("outcome", || Told::ALL.iter().map(|told| told.as_str()).collect());
const SENT: Label = one_of("result", || Sent::ALL.iter().map(|sent| sent.as_str()).collect());
const TOKEN: &[Label] = &[NAMESPACE, NAME, SOURCE];
const APP: &[Label] = &[NAMESPACE, NAME];

const fn ended(words: &'static [Ended]) -> Label {
    Label { name: "result", says: Says::OrReason(words, fails) }
}

/// Whether something can fail for that reason.
const fn fails(reason: Reason) -> bool {
    let under_way = matches!(reason, Reason::Issuing | Reason::Renewing | Reason::Rotating | Reason::Revoking);
    matches!(reason.class(), Class::Reconciling | Class::Stalled) && !under_way
}

/// Those that the operator has a right to, and paths that are no resource.
fn resources() -> Vec<&'static str> {
    let rules = [WATCHED, ROLLOUTS, GRANTS, LEASES].into_iter().flatten();
    let mut resources: Vec<_> = rules.flat_map(|rule| rule.resources).copied().chain(["none"]).collect();
    resources.sort_unstable();
    resources
}

macro_rules! metrics {
    ($($name:ident = $metric:expr;)*) => {
        $(pub(super) const $name: Described = $metric;)*

        /// Every metric.
        pub const METRICS: &[Described] = &[$($name,)*];
    };
}

metrics! {
    TOKEN_READY = gauge("shopify_token_ready", TOKEN,
        "1 if the credential that applications hold works",
        "0: the conditions say why; alert [`ShopifyTokenNotReady`](monitoring.md#shopifytokennotready)");
    TOKEN_EXPIRY = gauge("shopify_token_expiry_timestamp", TOKEN,
        "When the credential expires; absent if it never does",
        "Less `time()` it is what is left; alert [`ShopifyTokenExpiring`](monitoring.md#shopifytokenexpiring)").in_seconds();
    TOKEN_RENEWAL = gauge("shopify_token_renewal_timestamp", TOKEN,
        "When the credential is renewed, or rotated by the clock; absent if never",
        "In the past: it is due, and something stands in the way").in_seconds();
    TOKEN_REFRESH_EXPIRY = gauge("shopify_token_refresh_expiry_timestamp", TOKEN,
        "When the refresh token expires, without which a person is needed; absent if there is none",
        "Alert [`ShopifyRefreshTokenDying`](reasons.md#refreshtokendead)").in_seconds();
    TOKEN_STALLED = gauge("shopify_token_stalled", &[NAMESPACE, NAME, SOURCE, REASON],
        "1 while a person must do something for the token; absent else",
        "`reason` says [what](reasons.md#stalled-a-person-must-act); alert `ShopifyTokenStalled`");
    TOKENS_OVERDUE = gauge("shopify_token_overdue", &[],
        "Credentials whose renewal is due and not done, those left out that are suspended or wait for a person",
        "More than 0 for minutes: alert [`ShopifyTokensOverdue`](monitoring.md#shopifytokensoverdue)");
    ISSUES = counter("shopify_token_issues", &[SOURCE, ended(&[Ended::Success, Ended::Kept])],
        "Attempts to issue and publish a credential, those among them that found one again",
        "`kept`: a refresh came that can't be published yet; all but that and `success` is a failure");
    REVOCATIONS = counter("shopify_token_revocations", &[SOURCE, ended(&[Ended::Success, Ended::GivenUp])],
        "Attempts to revoke a credential",
        "`given_up`: one lives on at Shopify; alert [`ShopifyRevocationGivenUp`](monitoring.md#shopifyrevocationgivenup)");
    SHOPIFY_REQUESTS = counter("shopify_api_requests", &[OPERATION, CODE],
        "Requests to Shopify",
        "`code` other than 200: Shopify refuses or doesn't answer, the log says why");
    SHOPIFY_DURATIONS = histogram("shopify_api_request_duration", &[OPERATION, CODE],
        "How long requests to Shopify took, to the last byte of the answer",
        "One is given up after 15 s; steadily slow ones hold other tokens of their shop up").in_seconds();
    SHOPIFY_THROTTLED = counter("shopify_api_throttled", &[],
        "Time for which Shopify's limits made calls wait",
        "Growing for long: spread renewals, or use fewer tokens for a shop").in_seconds();
    STOREFRONT_TOKENS = gauge("shopify_storefront_tokens", &[NAMESPACE, ADMIN_TOKEN, SHOP],
        "Storefront tokens of an app at a shop as Shopify listed them last, whoever made them; it takes 100",
        "Alert [`ShopifyStorefrontTokensNearLimit`](reasons.md#limitreached)");
    APP_TOKENS = gauge("shopify_app_tokens", APP,
        "Tokens that are issued with the app, delegates included",
        "With `shopify_app_tokens_on_current_secret`: how far a [rotation of the client secret](guides/rotate-a-client-secret.md) is");
    APP_TOKENS_ON_CURRENT_SECRET = gauge("shopify_app_tokens_on_current_secret", APP,
        "Those of them that the app's current client secret has minted",
        "Alert [`ShopifySecretRotationStuck`](reasons.md#tokensonoldsecret)");
    APP_SAFE_TO_REVOKE_OLD_SECRET = gauge("shopify_app_safe_to_revoke_old_secret", APP,
        "1 if no older client secret of the app is in use",
        "1: revoke the old one at Shopify");
    RECONCILES = counter("controller_reconciles", &[KIND, RECONCILED],
        "Reconciles; what Shopify refuses is a success here",
        "`kubernetes_error`: look at the API server and the operator's rights; `panic`: report the bug");
    RECONCILE_DURATIONS = histogram("controller_reconcile_duration", &[KIND],
        "How long reconciles took, with all that they asked of Shopify and Kubernetes",
        "One ends after a minute at most").in_seconds();
    KUBERNETES_REQUESTS = counter("kubernetes_requests", &[VERB, one_of("resource", resources), CODE],
        "Requests to the Kubernetes API server",
        "403: a right is missing; 404 and 409 belong to a healthy life");
    KUBERNETES_DELAYED = counter("kubernetes_requests_delayed", &[],
        "Requests that went a second late, as so many others were unanswered still (`--concurrency`)",
        "Growing: the API server is slow, or a webhook in front of it hangs");
    EVENTS_LOST = counter("kubernetes_events_lost", &[],
        "Events that couldn't be written",
        "Each has a line in the log, those that a stop cuts off one together; status and Secret don't depend on them");
    INSTALL_PAGES = counter("install_pages", &[PAGE, OUTCOME],
        "Answers of the install pages, of this replica",
        "Which page may tell what stands below");
    SPANS = counter("otlp_spans", &[SENT],
        "Spans of traces that went out to the collector; not those that the queue before it had no room for",
        "`failed`: it didn't take them, look at it; [traces](monitoring.md#traces) have gaps, and nothing else");
    LEADER = gauge("leader", &[LEASE],
        "1 while this instance works, 0 while it stands by",
        "No 1 of a lease: alert [`ShopifyTokenOperatorWithoutLeader`](monitoring.md#shopifytokenoperatorwithoutleader)");
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use serde_json::json;

    use super::*;
    use crate::{
        api::{ShopifyApp, ShopifyToken},
        clock::Clock,
        metrics::Metrics,
    };

    /// Each metric with one sample at least.
    fn page() -> String {
        let metrics = Metrics::new();
        metrics.issued(SourceKind::Custom, Ended::Success);
        metrics.revoked(SourceKind::Custom, Ended::GivenUp);
        metrics.shopify_call(ShopifyCall::ClientCredentials, "200", Duration::ZERO);
        metrics.shopify_throttled(Duration::ZERO);
        metrics.reconciled("ShopifyToken", Reconciled::Success, Duration::ZERO);
        metrics.kubernetes_request(Verb::Get, "secrets", "200");
        metrics.install_page(InstallPage::Result, Told::Done);
        metrics.spans_sent(Sent::Success, 1);
        metrics.storefront_tokens("shop", "admin", "acme.myshopify.com", 1);
        metrics.leading("shopify-token-operator", false);
        let condition = |type_, reason| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"});
        let time = "2030-01-01T00:00:00Z";
        let token: ShopifyToken = serde_json::from_value(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken", "metadata": {"name": "web"},
            "spec": {"shop": "acme.myshopify.com", "source": {"custom": {"tokenRef": {"name": "web", "key": "token"}}}},
            "status": {
                "expiresAt": time, "renewalTime": time, "refreshTokenExpiresAt": time,
                "conditions": [condition("Stalled", "TokenRejected")],
            },
        }))
        .unwrap();
        metrics.watch_tokens(move |tell| tell(&[&token]), Clock::system());
        let app: ShopifyApp = serde_json::from_value(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyApp", "metadata": {"name": "acme"},
            "spec": {"credentialsRef": {"name": "acme-app"}},
            "status": {
                "tokens": {"total": 1, "onCurrentSecret": 1},
                "conditions": [condition("SafeToRevokeOldSecret", "NoTokenOnOldSecret")],
            },
        }))
        .unwrap();
        metrics.watch_apps(move |visit| visit(&app));
        metrics.encode().unwrap()
    }

    #[test]
    fn every_metric_is_described_and_no_other() {
        let page = page();
        let told: BTreeMap<_, _> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let described: BTreeMap<_, _> = METRICS
            .iter()
            .map(|metric| (metric.name().trim_end_matches("_total").to_owned(), format!("{:?}", metric.kind)))
            .collect();
        assert_eq!(described.len(), METRICS.len(), "one is described twice");
        let told = told.into_iter().map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let described: BTreeMap<_, _> = described.into_iter().map(|(name, kind)| (name, kind.to_lowercase())).collect();
        assert_eq!(described, told);
    }

    #[test]
    fn samples_have_the_labels_that_are_described() {
        let page = page();
        for metric in METRICS {
            let name = if metric.kind == Kind::Histogram { format!("{}_count", metric.name()) } else { metric.name() };
            let of = |line: &&str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            let sample = page.lines().find(of).unwrap_or_else(|| panic!("no sample of {name}"));
            let labels: Vec<_> = match sample.split_once('{') {
                Some((_, rest)) => rest.split(',').map(|pair| pair.split_once("=\"").unwrap()).collect(),
                None => Vec::new(),
            };
            let names: Vec<_> = labels.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, metric.labels.iter().map(|label| label.name).collect::<Vec<_>>(), "{name}");
            for ((_, value), label) in labels.iter().zip(metric.labels) {
                let value = value.split('"').next().unwrap();
                assert!(label.can_say(value), "{sample}: {} is {value}", label.name);
            }
        }
    }

    #[test]
    fn what_a_label_can_say_is_bounded() {
        assert!(CODE.can_say("200") && CODE.can_say("timeout") && !CODE.can_say("999") && !CODE.can_say("OK"));
        assert!(REASON.can_say("TokenRejected") && !REASON.can_say("Issued") && !REASON.can_say("Verified"));
    }
}
