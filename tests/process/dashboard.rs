//! The dashboard's queries, put to a real Prometheus that has scraped a run with all sources.

use std::time::Duration;

use serde_json::{Value, json};
use shopify_sim::{Fault, FaultKind, StatusFault};
use shopify_token_operator::metrics::reference::{Kind, METRICS};
use tokio::time::{Instant, sleep};

use crate::{
    browser::Browser,
    canary::{custom, every_other_source},
    operator::{OPERATOR, Operator},
    prometheus::Prometheus,
    world::{CLIENT_ID, PUBLIC_URL, World},
};

const PATIENCE: Duration = Duration::from_secs(40);
const NEW_SECRET: &str = "shpss_canaryc0ffeefedcba9876543210fedcba";

/// A query of a panel, as Grafana puts it.
#[derive(Clone)]
struct Query {
    panel: String,
    text: String,
    instant: bool,
}

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/monitoring/dashboard.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every query, with what a person has chosen above the panels: a job and a namespace, and all sources.
fn queries(namespace: &str) -> Vec<Query> {
    let chosen = [
        ("$__rate_interval", "5s"),
        ("$__range", "1m"),
        ("$job", OPERATOR),
        ("$namespace", namespace),
        ("$source", ".+"),
    ];
    let mut queries = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap().to_owned();
            let text = chosen.iter().fold(text, |text, (variable, value)| text.replace(variable, value));
            assert!(!text.contains('$'), "{text} has a variable that nobody sets");
            let panel = panel["title"].as_str().unwrap().to_owned();
            queries.push(Query { panel, text, instant: target["instant"] == true });
        }
    }
    queries
}

/// The queries that docs/monitoring.md shows, over a minute instead of a day.
fn documented() -> Vec<Query> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md")).unwrap();
    let blocks = page.split("```promql\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let query = |line: &str| Query {
        panel: "docs/monitoring.md".to_owned(),
        text: line.replace("[1d]", "[1m]"),
        instant: true,
    };
    let queries: Vec<_> = blocks.flat_map(str::lines).map(query).collect();
    assert!(queries.len() > 1, "{page}");
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_has_an_answer() {
    let world = World::new("dashboard").await;
    world.make_app().await;
    let pages = [&*format!("--public-url={PUBLIC_URL}"), "--oauth-addr=127.0.0.1:0"];
    let operator = Operator::start(&world, &pages).await;
    let prometheus = Prometheus::scraping(operator.address()).await;
    a_run(&world, &operator).await;

    let queries = [queries(&world.namespace), documented()].concat();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut silent = Vec::new();
        for query in &queries {
            if !prometheus.answers(&query.text, query.instant).await {
                silent.push(format!("{}: {}", query.panel, query.text));
            }
        }
        if silent.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "no answer:\n{}", silent.join("\n"));
        sleep(Duration::from_millis(500)).await;
    }
    assert!(!prometheus.answers("shopify_token_redy", false).await, "it would see that there is no such metric");

    // What a person can choose.
    for variable in dashboard()["templating"]["list"].as_array().unwrap().iter().filter(|it| it["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        let (metric, label) =
            query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')?.split_once(", ")).unwrap();
        assert!(!prometheus.values(metric, label).await.is_empty(), "{query}");
    }
    let sources = prometheus.values("shopify_token_ready", "source").await;
    assert_eq!(sources.len(), 6, "{sources:?}");

    labels_are_bounded(&operator.get("/metrics").await.unwrap().1);
    operator.stop().await;
}

/// Every series is of a metric that is described, and its labels say what they can say.
fn labels_are_bounded(page: &str) {
    let mut count = 0;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let is_of = |kind: Kind, described: &str| match kind {
            Kind::Counter | Kind::Gauge => name == described,
            Kind::Histogram => {
                name.strip_prefix(described).is_some_and(|rest| ["_bucket", "_count", "_sum"].contains(&rest))
            }
        };
        let metric = METRICS.iter().find(|metric| is_of(metric.kind, &metric.name()));
        let metric = metric.unwrap_or_else(|| panic!("{name} isn't described"));
        for pair in labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.trim_end_matches('"').split_once("=\"").unwrap();
            let described = metric.labels.iter().find(|it| it.name == label);
            let can = described.map_or(label == "le", |it| it.can_say(value));
            assert!(can, "{line}: nothing says that {label} can be {value:?}");
        }
        count += 1;
    }
    assert!(count > METRICS.len(), "{page}");
}

/// Every source; a rotation, a revocation, failures of both, an approval, a new client secret.
async fn a_run(world: &World, operator: &Operator) {
    let storefront =
        json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "rotation": {"overlap": "1s"}});
    world.admin_token("admin").await;
    world.token("web", storefront.clone()).await;
    world.token("goes", storefront).await;
    every_other_source(world).await;
    for name in ["admin", "web", "goes"] {
        world.ready(name).await;
    }

    // One that waits for a person, and a call that Shopify doesn't answer.
    world.secret_of("dead", &[("token", "shpat_canaryc0ffee")]).await;
    world.token("dead", json!({"source": custom("dead"), "secret": {"name": "dead-out"}})).await;
    world.because("dead", "Stalled", "TokenRejected").await;
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))).times(1));
    let rotate = json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "1"}}});
    world.change("web", rotate).await;
    world.until("web", "rotated", |token| token.status.as_ref().unwrap().revision == Some(2)).await;
    world.delete("goes").await;
    world.gone("goes").await;

    let at = operator.told_address("serves install pages").await;
    let mut browser = Browser::new(world);
    let asked = browser.begins(at, world, "offline").await;
    let back = browser.decides(&asked, "approve").await;
    let shown = browser.opens(at, back.as_str()).await;
    assert_eq!(browser.opens(at, shown.location().as_str()).await.title(), "Approved");

    world.sim.add_secret(CLIENT_ID, NEW_SECRET).unwrap();
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", NEW_SECRET)]).await;
}
