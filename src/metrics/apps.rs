//! The gauges of each app, computed from what the controller holds when they are asked for.

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
    api::{ShopifyApp, app::AppTokens},
    core::{condition::find, vocabulary::conditions::SAFE_TO_REVOKE_OLD_SECRET},
};

/// Shows every app to the function it is given.
type Visit = dyn Fn(&mut dyn FnMut(&ShopifyApp)) + Send + Sync;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct App {
    namespace: String,
    name: String,
}

/// The gauges of each app.
#[derive(Default)]
pub(super) struct Apps {
    watched: RwLock<Option<Box<Visit>>>,
}

impl Apps {
    /// Reports on what `visit` shows from here on.
    pub(super) fn watch(&self, visit: Box<Visit>) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = Some(visit);
    }
}

impl fmt::Debug for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apps").finish_non_exhaustive()
    }
}

/// What is said of one app.
struct Sample {
    labels: App,
    tokens: Option<AppTokens>,
    safe: Option<bool>,
}

impl Sample {
    fn of(app: &ShopifyApp) -> Self {
        let status = app.status.as_ref();
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        Self {
            labels: App { namespace: name(&app.metadata.namespace), name: name(&app.metadata.name) },
            tokens: status.and_then(|s| s.tokens.clone()),
            safe: status.and_then(|s| Some(find(&s.conditions, SAFE_TO_REVOKE_OLD_SECRET)?.status == "True")),
        }
    }
}

impl Collector for Apps {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let Some(visit) = watched.as_ref() else {
            return Ok(());
        };
        let mut samples = Vec::new();
        visit(&mut |app| samples.push(Sample::of(app)));
        let mut gauge = |metric: &Described, value: &dyn Fn(&Sample) -> Option<i64>| {
            let mut family = metric.family_of(&mut encoder)?;
            for sample in &samples {
                if let Some(value) = value(sample) {
                    ConstGauge::new(value).encode(family.encode_family(&sample.labels)?)?;
                }
            }
            fmt::Result::Ok(())
        };
        gauge(&reference::APP_TOKENS, &|s| Some(s.tokens.as_ref()?.total))?;
        gauge(&reference::APP_TOKENS_ON_CURRENT_SECRET, &|s| s.tokens.as_ref()?.on_current_secret)?;
        gauge(&reference::APP_SAFE_TO_REVOKE_OLD_SECRET, &|s| s.safe.map(i64::from))
    }
}
