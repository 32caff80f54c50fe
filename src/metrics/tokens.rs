//! The gauges of each token, computed from what the controller holds when they are asked for.

use std::{
    fmt,
    sync::{PoisonError, RwLock},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::gauge::ConstGauge,
};

use super::reference::{self, Described};
use crate::{
    api::ShopifyToken,
    clock::Clock,
    core::{
        condition::find,
        vocabulary::conditions::{READY, STALLED},
    },
    time::from_kube,
};

/// Shows every token to the function it is given.
type Visit = dyn Fn(&mut dyn FnMut(&ShopifyToken)) + Send + Sync;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Token {
    namespace: String,
    name: String,
    source: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StalledToken {
    namespace: String,
    name: String,
    source: &'static str,
    reason: String,
}

/// The gauges of each token, computed from the controller's stores when they are asked for.
#[derive(Default)]
pub(super) struct Tokens {
    watched: RwLock<Option<Watched>>,
}

struct Watched {
    visit: Box<Visit>,
    clock: Clock,
}

impl Tokens {
    /// Reports on what `visit` shows from here on.
    pub(super) fn watch(&self, visit: Box<Visit>, clock: Clock) {
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        *watched = Some(Watched { visit, clock });
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// What is said of one token.
struct Sample {
    labels: Token,
    ready: bool,
    expiry: Option<i64>,
    renewal: Option<i64>,
    refresh_expiry: Option<i64>,
    /// The reason of its condition `Stalled`, while that is True.
    stalled: Option<String>,
    suspended: bool,
}

impl Sample {
    fn of(token: &ShopifyToken) -> Self {
        let status = token.status.as_ref();
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        Self {
            labels: Token {
                namespace: name(&token.metadata.namespace),
                name: name(&token.metadata.name),
                source: token.spec.source.one().map_or("", |s| s.kind().as_str()),
            },
            ready: status.and_then(|s| find(&s.conditions, READY)).is_some_and(|c| c.status == "True"),
            expiry: status.and_then(|s| Some(from_kube(s.expires_at.as_ref()?).timestamp())),
            renewal: status.and_then(|s| Some(from_kube(s.renewal_time.as_ref()?).timestamp())),
            refresh_expiry: status.and_then(|s| Some(from_kube(s.refresh_token_expires_at.as_ref()?).timestamp())),
            stalled: status
                .and_then(|s| find(&s.conditions, STALLED))
                .filter(|c| c.status == "True")
                .map(|c| c.reason.clone()),
            suspended: token.spec.suspend == Some(true),
        }
    }

    /// Whether its renewal is late, though nobody has suspended it, and no person need do anything first.
    fn is_overdue(&self, now: i64) -> bool {
        !self.suspended && self.stalled.is_none() && self.renewal.is_some_and(|due| due < now)
    }
}

impl Collector for Tokens {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let Some(watched) = watched.as_ref() else {
            return Ok(());
        };
        let mut samples = Vec::new();
        (watched.visit)(&mut |token| samples.push(Sample::of(token)));

        let mut gauge = |metric: &Described, value: &dyn Fn(&Sample) -> Option<i64>| {
            let mut family = metric.family_of(&mut encoder)?;
            for sample in &samples {
                if let Some(value) = value(sample) {
                    ConstGauge::new(value).encode(family.encode_family(&sample.labels)?)?;
                }
            }
            fmt::Result::Ok(())
        };
        gauge(&reference::TOKEN_READY, &|s| Some(i64::from(s.ready)))?;
        gauge(&reference::TOKEN_EXPIRY, &|s| s.expiry)?;
        gauge(&reference::TOKEN_RENEWAL, &|s| s.renewal)?;
        gauge(&reference::TOKEN_REFRESH_EXPIRY, &|s| s.refresh_expiry)?;

        let mut family = reference::TOKEN_STALLED.family_of(&mut encoder)?;
        for sample in &samples {
            if let Some(reason) = sample.stalled.clone() {
                let Token { namespace, name, source } = sample.labels.clone();
                let labels = StalledToken { namespace, name, source, reason };
                ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
            }
        }

        let now = watched.clock.now().timestamp();
        let overdue = samples.iter().filter(|s| s.is_overdue(now)).count();
        let overdue = ConstGauge::new(i64::try_from(overdue).unwrap_or(i64::MAX));
        overdue.encode(reference::TOKENS_OVERDUE.family_of(&mut encoder)?)
    }
}
