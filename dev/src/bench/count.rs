//! What the operator has counted itself: requests to the API server, by verb and resource.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;

/// Counters at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    requests: BTreeMap<String, u64>,
    reconciles: u64,
}

impl Counts {
    /// Those of the operator with this admin port.
    pub(super) async fn read(admin: SocketAddr) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        // As Prometheus asks for it.
        let page = http.get(format!("http://{admin}/metrics")).header("accept-encoding", "gzip").send().await?;
        let text = io::read_to_string(GzDecoder::new(&*page.error_for_status()?.bytes().await?))?;
        let mut counts = Self::default();
        for line in text.lines() {
            if let Some((labels, value)) = series(line, "kubernetes_requests_total") {
                let (verb, resource) = (label(labels, "verb"), label(labels, "resource"));
                let what = format!("{} {}", verb.unwrap_or_default(), resource.unwrap_or_default());
                *counts.requests.entry(what).or_default() += value;
            } else if let Some((_, value)) = series(line, "controller_reconciles_total") {
                counts.reconciles += value;
            }
        }
        Ok(counts)
    }

    /// Requests since `before`, without those of leases, which go by the clock.
    pub(super) fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let known = |what: &String| before.requests.get(what).copied().unwrap_or_default();
        let new = self.requests.iter().map(|(what, n)| (what.clone(), n - known(what)));
        new.filter(|(what, n)| *n > 0 && !what.ends_with(" leases")).collect()
    }

    /// How many reconciles there were.
    pub(super) const fn reconciles(&self) -> u64 {
        self.reconciles
    }
}

/// Labels and value of a line of this metric.
fn series<'a>(line: &'a str, name: &str) -> Option<(&'a str, u64)> {
    let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
    Some((labels, value.trim().parse().ok()?))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

/// Waits until the operator reconciles nothing and asks the API server nothing for this long, and counts.
pub(super) async fn until_quiet(admin: SocketAddr, quiet: std::time::Duration) -> Result<Counts> {
    let mut last = Counts::read(admin).await.context("the operator's metrics can't be read")?;
    loop {
        tokio::time::sleep(quiet).await;
        let now = Counts::read(admin).await?;
        if now.reconciles() == last.reconciles() && now.since(&last).is_empty() {
            return Ok(now);
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_metric_are_read() {
        let line = r#"kubernetes_requests_total{verb="get",resource="secrets",code="200"} 12"#;
        let (labels, value) = series(line, "kubernetes_requests_total").unwrap();
        assert_eq!((label(labels, "verb"), label(labels, "resource"), value), (Some("get"), Some("secrets"), 12));
        assert_eq!(series("kubernetes_requests_total_other 3", "kubernetes_requests_total"), None);
    }
}
