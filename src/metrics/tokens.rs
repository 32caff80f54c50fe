//! The gauges of each token, computed from what the controller holds when they are asked for.

use std::{
    fmt,
    sync::{PoisonError, RwLock},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

use super::reference::{self, Described};
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus},
    clock::Clock,
    core::{
        condition::find,
        vocabulary::conditions::{READY, STALLED},
    },
    time::from_kube,
};

/// Shows all tokens of one moment to the function it is given.
type Visit = dyn Fn(&mut dyn FnMut(&[&ShopifyToken])) + Send + Sync;

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

/// What every gauge of a token is labelled with.
fn labels(token: &ShopifyToken) -> [(&str, &str); 3] {
    [
        ("namespace", token.metadata.namespace.as_deref().unwrap_or_default()),
        ("name", token.metadata.name.as_deref().unwrap_or_default()),
        ("source", token.spec.source.one().map_or("", |source| source.kind().as_str())),
    ]
}

fn is_ready(token: &ShopifyToken) -> bool {
    let ready = token.status.as_ref().and_then(|status| find(&status.conditions, READY));
    ready.is_some_and(|condition| condition.status == "True")
}

/// A time of the status, in seconds since 1970.
fn seconds(token: &ShopifyToken, time: impl Fn(&ShopifyTokenStatus) -> Option<&Time>) -> Option<i64> {
    Some(from_kube(time(token.status.as_ref()?)?).timestamp())
}

fn renewal(token: &ShopifyToken) -> Option<i64> {
    seconds(token, |status| status.renewal_time.as_ref())
}

/// The reason of its condition `Stalled`, while that is True.
fn stalled(token: &ShopifyToken) -> Option<&str> {
    let stalled = find(&token.status.as_ref()?.conditions, STALLED)?;
    (stalled.status == "True").then_some(&stalled.reason)
}

/// Whether its renewal is late, though nobody has suspended it, and no person need do anything first.
fn is_overdue(token: &ShopifyToken, now: i64) -> bool {
    token.spec.suspend != Some(true) && stalled(token).is_none() && renewal(token).is_some_and(|due| due < now)
}

impl Collector for Tokens {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Watched { visit, clock }) = watched.as_ref() else {
            return Ok(());
        };
        let mut told = Ok(());
        visit(&mut |tokens| told = encode(&mut encoder, tokens, clock.now().timestamp()));
        told
    }
}

/// There may be very many tokens: nothing of them is copied.
fn encode(encoder: &mut DescriptorEncoder<'_>, tokens: &[&ShopifyToken], now: i64) -> fmt::Result {
    let mut gauge = |metric: &Described, value: &dyn Fn(&ShopifyToken) -> Option<i64>| {
        let mut family = metric.family_of(encoder)?;
        for token in tokens {
            if let Some(value) = value(token) {
                ConstGauge::new(value).encode(family.encode_family(&labels(token))?)?;
            }
        }
        fmt::Result::Ok(())
    };
    gauge(&reference::TOKEN_READY, &|token| Some(i64::from(is_ready(token))))?;
    gauge(&reference::TOKEN_EXPIRY, &|token| seconds(token, |status| status.expires_at.as_ref()))?;
    gauge(&reference::TOKEN_RENEWAL, &renewal)?;
    gauge(&reference::TOKEN_REFRESH_EXPIRY, &|token| {
        seconds(token, |status| status.refresh_token_expires_at.as_ref())
    })?;

    let mut family = reference::TOKEN_STALLED.family_of(encoder)?;
    for token in tokens {
        if let Some(reason) = stalled(token) {
            let [namespace, name, source] = labels(token);
            let labels = [namespace, name, source, ("reason", reason)];
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
    }

    let overdue = tokens.iter().filter(|token| is_overdue(token, now)).count();
    let overdue = ConstGauge::new(i64::try_from(overdue).unwrap_or(i64::MAX));
    overdue.encode(reference::TOKENS_OVERDUE.family_of(encoder)?)
}
