//! What was measured of a scenario.

use std::collections::BTreeMap;

use serde::Serialize;

use super::percentiles::Percentiles;

/// One scenario with one number of tokens.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) scenario: String,
    /// How many tokens it is about.
    pub(super) tokens: usize,
    /// The client that makes only the calls nobody can spare; `None` where there is no such.
    pub(super) floor: Option<Run>,
    /// The same client, where it writes as much of each token as the operator does.
    pub(super) as_much: Option<Run>,
    pub(super) operator: Run,
}

/// The bursts that can be compared with one another: those over a hundred shops.
pub(super) fn alike(all: &[Figures]) -> impl Iterator<Item = &Figures> {
    all.iter().filter(|row| row.scenario.starts_with("burst") && row.scenario.ends_with(", 100 shops"))
}

/// What one of the two did.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Run {
    /// From the beginning until everything is done, in seconds.
    pub(super) wall: f64,
    /// Seconds of processor time in it.
    pub(super) cpu: f64,
    /// Most memory that was resident, in MiB.
    pub(super) peak_mib: f64,
    /// What was resident at its end, in MiB, where that was looked at.
    pub(super) rest_mib: Option<f64>,
    /// How long each took, in seconds: what it is of is the scenario's.
    pub(super) each: Percentiles,
    /// How many calls to Shopify issued something.
    pub(super) issues: u64,
    /// All calls to Shopify.
    pub(super) shopify_calls: u64,
    /// Requests to the API server, by verb and resource.
    pub(super) requests: BTreeMap<String, u64>,
}

impl Run {
    /// Tokens per second.
    pub(super) fn rate(&self, tokens: usize) -> f64 {
        count(tokens) / self.wall.max(f64::EPSILON)
    }

    /// Requests to the API server.
    pub(super) fn all_requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Watches that were begun, or went on.
    pub(super) fn watches(&self) -> u64 {
        self.of_verb("watch")
    }

    /// Lists, or pages of them.
    pub(super) fn lists(&self) -> u64 {
        self.of_verb("list")
    }

    /// Requests that change something.
    pub(super) fn writes(&self) -> u64 {
        ["create", "update", "patch", "delete"].into_iter().map(|verb| self.of_verb(verb)).sum()
    }

    pub(super) fn of_verb(&self, verb: &str) -> u64 {
        let of_it = self.requests.iter().filter(|(what, _)| what.split(' ').next() == Some(verb));
        of_it.map(|(_, n)| n).sum()
    }
}

impl Figures {
    /// The throughput of a run of the same tokens, of the floor's.
    pub(super) fn of_floor(&self, run: &Run) -> Option<f64> {
        let floor = self.floor.as_ref()?;
        Some(floor.wall / run.wall.max(f64::EPSILON))
    }

    /// For whoever waits.
    pub(super) fn line(&self) -> String {
        let Run { wall, cpu, peak_mib, each, .. } = &self.operator;
        let share = self
            .of_floor(&self.operator)
            .map_or(String::new(), |share| format!(", {:.0} % of the floor", share * 100.0));
        format!(
            "  {} × {}: {wall:.2} s{share}, {cpu:.2} s of CPU, {peak_mib:.0} MiB, p50 {:.3} s, p99 {:.3} s",
            self.scenario, self.tokens, each.p50, each.p99
        )
    }
}

/// As a number to compute with.
#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}
