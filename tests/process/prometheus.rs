//! A real Prometheus that scrapes an operator, and what it answers.

use std::{
    fs::{self, File},
    net::SocketAddr,
    process::Stdio,
    time::Duration,
};

use dev::Judges;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::operator::OPERATOR;

const PATIENCE: Duration = Duration::from_secs(40);
/// How far back the range of a query begins.
const WINDOW: Duration = Duration::from_mins(1);

/// A process of Prometheus; killed when dropped.
pub(crate) struct Prometheus {
    _child: Child,
    dir: TempDir,
    address: SocketAddr,
    http: reqwest::Client,
}

impl Prometheus {
    /// One that scrapes this address twice a second, as the chart's `ServiceMonitor` has it scraped.
    pub(crate) async fn scraping(operator: SocketAddr) -> Self {
        let program = Judges::locate(true).await.unwrap().prometheus;
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             scrape_configs:\n- {{job_name: {OPERATOR}, honor_labels: true, static_configs: [{{targets: ['{operator}']}}]}}\n"
        );
        fs::write(file("prometheus.yml"), config).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(file("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut prometheus =
            Self { _child: child, dir, address: SocketAddr::from(([127, 0, 0, 1], 0)), http: reqwest::Client::new() };
        prometheus.address = prometheus.told_address().await;
        prometheus
    }

    /// The port is the system's choice; the log tells it.
    async fn told_address(&self) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let told = lines
                .filter(|line| line["msg"] == "Listening on")
                .find_map(|line| line["address"].as_str()?.parse().ok());
            if let Some(address) = told {
                return address;
            }
            assert!(Instant::now() < deadline, "Prometheus doesn't listen: {log}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a query has an answer now, or had one at any moment of the last minute: a value that is a number.
    ///
    /// # Panics
    /// It is no query.
    pub(crate) async fn answers(&self, query: &str, instant: bool) -> bool {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let path = if instant {
            format!("query?query={encoded}")
        } else {
            let now = self.get("query?query=time()").await["data"]["result"][0].as_f64().unwrap();
            format!("query_range?start={}&end={now}&step=1&query={encoded}", now - WINDOW.as_secs_f64())
        };
        let told = self.get(&path).await;
        assert_eq!(told["status"], "success", "{query}: {told}");
        let series = told["data"]["result"].as_array().unwrap();
        let samples = series.iter().flat_map(|one| match &one["values"] {
            Value::Array(values) => values.clone(),
            _ => vec![one["value"].clone()],
        });
        samples.into_iter().any(|sample| sample[1].as_str().unwrap() != "NaN")
    }

    /// What a label of a metric's series says.
    pub(crate) async fn values(&self, metric: &str, label: &str) -> Vec<String> {
        let told = self.get(&format!("label/{label}/values?match[]={metric}")).await;
        serde_json::from_value(told["data"].clone()).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }
}
