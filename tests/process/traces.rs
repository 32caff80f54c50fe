//! Traces, as a collector gets them; and one that is away, hangs, or is named wrongly.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;
use shopify_sim::{Fault, FaultKind, StatusFault};
use shopify_token_operator::api::GROUP;
use tokio::net::TcpListener;

use crate::{
    audit::{self, Mark},
    collector::{Collector, Span},
    operator::{ALONE, OPERATOR, Operator, command},
    world::{CANARY, SHOP, World},
};

/// Everything that a span may say; docs/monitoring.md lists it.
const ATTRIBUTES: [&str; 15] = [
    "error.type",
    "http.response.status_code",
    "k8s.namespace.name",
    "k8s.object.kind",
    "k8s.object.name",
    "k8s.request.resource",
    "k8s.request.verb",
    "reconcile.result",
    "server.address",
    "shopify.operation",
    "shopify.request_id",
    "shopify_token.outcome",
    "shopify_token.reason",
    "shopify_token.source",
    "shopify_token.step",
];

/// An operator that sends its traces to `address`.
async fn traced(world: &World, address: &str, variables: &[(&str, &str)]) -> Operator {
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let to = world.sim.address().to_string();
    let flags = [ALONE, &format!("--watch-namespaces={}", world.namespace), &format!("--otlp-endpoint={address}")];
    let variables = [&[("SHOPIFY_CONNECT_TO", &*to)], variables].concat();
    Operator::launch(world, &kubeconfig, &flags, &variables).await
}

async fn issue(world: &World) {
    world.make_app().await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.ready("web").await;
}

fn says(span: &Span, key: &str, value: &str) -> bool {
    span.attributes.get(key).is_some_and(|said| said == value)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_a_trace_without_a_credential() {
    let (world, collector) = (World::new("traces").await, Collector::start().await);
    let header = format!("authorization=Bearer {CANARY}-collector");
    let variables = [("OTEL_EXPORTER_OTLP_HEADERS", &*header), ("OTEL_RESOURCE_ATTRIBUTES", "deployment=test")];
    let operator = traced(&world, collector.address(), &variables).await;
    issue(&world).await;
    // A refusal that quotes what must not be quoted.
    let body = Some(format!(r#"{{"errors":"{CANARY}"}}"#));
    let refusal = FaultKind::Status(StatusFault { code: 500, retry_after: None, body });
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", refusal).times(1));
    world.token("failing", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.because("failing", "Reconciling", "BackingOff").await;
    // One that isn't answered, whichever of the two it is of.
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", FaultKind::RefuseBefore).times(1));
    world.token("silent", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.eventually("a third create", async || world.sim.calls("admin.storefrontAccessTokenCreate") > 2).await;
    let log = operator.log();
    let events = operator.metric("kubernetes_requests_total", &["resource=\"events\"", "verb=\"create\""]).await;
    assert!(events > 0.0, "none was written that could be a trace");
    operator.stop().await;

    let spans = collector.spans();
    let issued =
        |span: &&Span| says(span, "k8s.object.name", "web") && says(span, "shopify_token.outcome", "published");
    let issue = spans.iter().find(issued).expect("the reconcile that issued");
    assert_eq!(issue.name, "reconcile ShopifyToken");
    assert!(issue.parent.is_empty() && !issue.client, "{issue:?}");
    for (key, value) in [
        ("k8s.object.kind", "ShopifyToken"),
        ("k8s.namespace.name", &*world.namespace),
        ("shopify_token.source", "Storefront"),
        ("reconcile.result", "success"),
    ] {
        assert!(says(issue, key, value), "{key}={value}: {issue:?}");
    }
    let part = |name: &str, key: &str, value: &str| {
        let part = spans.iter().find(|span| span.parent == issue.id && span.name == name);
        let part = part.unwrap_or_else(|| panic!("{name} isn't in {spans:#?}"));
        assert!(part.client && part.trace == issue.trace && says(part, key, value), "{key}={value}: {part:?}");
    };
    part("shopify storefront_token_create", "server.address", SHOP);
    part("shopify storefront_token_create", "http.response.status_code", "200");
    part("kubernetes create secrets", "http.response.status_code", "201");
    part("kubernetes patch shopifytokens/status", "k8s.request.verb", "patch");
    let of_app = |span: &Span| span.name == "reconcile ShopifyApp" && says(span, "k8s.object.name", "acme");
    assert!(spans.iter().any(of_app));
    let failed =
        |span: &&Span| says(span, "k8s.object.name", "failing") && says(span, "shopify_token.outcome", "failed");
    let failed = spans.iter().find(failed).expect("the reconcile that failed");
    assert!(says(failed, "shopify_token.reason", "BackingOff") && failed.failed, "{failed:?}");
    what_failed_says_so(&spans);
    nothing_is_left_out(&world, &spans);

    let told: BTreeSet<&str> = spans.iter().flat_map(|span| span.attributes.keys().map(String::as_str)).collect();
    assert!(told.is_subset(&ATTRIBUTES.into()), "{told:?}");
    assert!(spans.iter().all(|span| span.events == 0));
    assert!(!spans.iter().any(|span| span.name.contains("leases")));
    // They are written behind, when the reconcile they tell of is over.
    let mut of_events = spans.iter().filter(|span| span.name == "kubernetes create events");
    assert!(of_events.all(|span| span.parent.is_empty() && span.client));
    for resource in collector.resources() {
        assert_eq!(resource["service.name"], OPERATOR);
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(resource["deployment"], "test");
    }
    assert_eq!(collector.headers("authorization"), [format!("Bearer {CANARY}-collector")].into());
    let bytes = collector.bodies();
    assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "a credential in a trace");
    assert!(log.contains("sends traces") && !log.contains(CANARY), "{log}");
}

/// The status is Error where something failed and nowhere else; what was answered has a status, what wasn't the kind of failure.
fn what_failed_says_so(spans: &[Span]) {
    let (calls, reconciles): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span.client);
    for span in &calls {
        let status = span.attributes.get("http.response.status_code").map(|status| status.parse::<u16>().unwrap());
        let silence = span.attributes.get("error.type");
        assert!(status.is_some() != silence.is_some(), "{span:?}");
        assert!(silence.is_none_or(|kind| ["timeout", "error"].contains(&kind.as_str())), "{span:?}");
        assert_eq!(span.failed, status.is_none_or(|status| status >= 400), "{span:?}");
        if status.is_some() && span.name.starts_with("shopify ") {
            assert!(span.attributes.get("shopify.request_id").is_some_and(|id| id.len() > 30), "{span:?}");
        }
    }
    let create =
        |key, value| calls.iter().any(|it| it.name == "shopify storefront_token_create" && says(it, key, value));
    assert!(create("http.response.status_code", "500") && create("error.type", "error"), "{calls:#?}");
    for span in reconciles {
        let went_wrong = !says(span, "reconcile.result", "success") || says(span, "shopify_token.outcome", "failed");
        assert_eq!(span.failed, went_wrong, "{span:?}");
    }
}

/// A span for each call that came in at Shopify, and for each write at the API server.
fn nothing_is_left_out(world: &World, spans: &[Span]) {
    let of_shopify = spans.iter().filter(|span| span.name.starts_with("shopify "));
    assert_eq!(of_shopify.count() as u64, world.sim.total_calls(), "{:#?}", world.sim.call_log());
    let mut told = BTreeMap::<String, usize>::new();
    for name in spans.iter().filter_map(|span| span.name.strip_prefix("kubernetes ")) {
        *told.entry(name.to_owned()).or_default() += 1;
    }
    let mut written = BTreeMap::<String, usize>::new();
    for request in audit::in_namespace(world.cluster, &world.namespace, Mark::START).iter().filter(|it| it.writes()) {
        let resource = request.resource.trim_start_matches(&format!("{GROUP}/")).trim_start_matches("events.k8s.io/");
        *written.entry(format!("{} {resource}", request.verb)).or_default() += 1;
    }
    assert!(
        ["create events", "create secrets", "patch shopifytokens/status", "patch shopifyapps/status"]
            .iter()
            .all(|it| written.contains_key(*it))
    );
    assert_eq!(told, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_isnt_there_harms_nobody() {
    let world = World::new("traces-nowhere").await;
    let variables = [("OTEL_BSP_SCHEDULE_DELAY", "100"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    let operator = traced(&world, "http://127.0.0.1:1", &variables).await;
    issue(&world).await;
    let lost = async |it: &Operator| it.metric("otlp_spans_total", &["result=\"failed\""]).await;
    operator.until("without its spans", async |it| lost(it).await > 0.0).await;
    let before = lost(&operator).await;
    world.nudge("web").await;
    operator.until("without more of them", async |it| lost(it).await > before).await;
    let log = operator.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("the collector takes no traces")).collect();
    assert_eq!(told.len(), 1, "once in a while: {told:?}");
    assert!(told[0].contains("refused"), "the cause: {told:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_doesnt_hold_the_stop() {
    let world = World::new("traces-hang").await;
    // It is connected to, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut operator = traced(&world, &format!("http://{}", silent.local_addr().unwrap()), &[]).await;
    issue(&world).await;
    operator.signal(Signal::TERM);
    assert!(operator.ended(Duration::from_secs(30)).await.success());
    let log = operator.log();
    assert!(log.contains("the last traces aren't with the collector"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_waits_for_no_collector() {
    let world = World::new("traces-twice").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut operator = traced(&world, &format!("http://{}", silent.local_addr().unwrap()), &[]).await;
    issue(&world).await;
    world.sim.inject(Fault::new("oauth.clientCredentials", FaultKind::Hang));
    world.token("other", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.eventually("a call", async || world.sim.calls("oauth.clientCredentials") == 2).await;
    operator.signal(Signal::TERM);
    operator.until("draining", async |it| it.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    operator.signal(Signal::TERM);
    assert!(!operator.ended(Duration::from_secs(30)).await.success(), "work was cut off: not a success");
    let log = operator.log();
    assert!(!log.contains("the last traces"), "nobody waited for them: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_by_the_flag_and_cant_be_done_is_refused_without_quoting_it() {
    let (world, dir) = (World::new("traces-wrong").await, tempfile::tempdir().unwrap());
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let with_password = format!("http://user:{CANARY}@127.0.0.1:4318");
    for (address, (variable, value), named) in [
        (&*with_password, ("OTEL_SERVICE_NAME", "shop"), ["--otlp-endpoint", "OTEL_EXPORTER_OTLP_HEADERS"]),
        ("http://127.0.0.1:4318", ("OTEL_TRACES_SAMPLER", CANARY), ["OTEL_TRACES_SAMPLER", "always_on"]),
    ] {
        let mut command = command(&world, &dir, &kubeconfig);
        command.args(["run", &format!("--otlp-endpoint={address}")]).env(variable, value);
        let ended = command.stderr(Stdio::piped()).output().await.unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success());
        assert!(named.iter().all(|name| told.contains(name)) && !told.contains(CANARY), "{told}");
    }
}

/// As a platform puts them into every pod.
#[tokio::test(flavor = "multi_thread")]
async fn variables_that_cant_be_followed_cost_the_traces_alone() {
    let world = World::new("traces-injected").await;
    world.make_app().await;
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let to = world.sim.address().to_string();
    let flags = [ALONE, &format!("--watch-namespaces={}", world.namespace)];
    let with_password = format!("http://user:{CANARY}@127.0.0.1:4318");
    for (token, (variable, value)) in [
        ("one", ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")),
        ("two", ("OTEL_TRACES_SAMPLER", CANARY)),
        ("three", ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*with_password)),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
        let variables = [("SHOPIFY_CONNECT_TO", &*to), endpoint, (variable, value)];
        let operator = Operator::launch(&world, &kubeconfig, &flags, &variables).await;
        world.token(token, json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
        world.ready(token).await;
        let log = operator.log();
        let errors: Vec<_> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        assert!(matches!(&errors[..], [error] if error.contains(variable)), "{variable}: {errors:?}");
        assert!(!log.contains(CANARY), "{log}");
        operator.stop().await;
    }
}
