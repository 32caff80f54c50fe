//! Traces: the spans of `src/spans.rs`, to a collector by OTLP. Without a collector there is no layer that takes them.

mod collector;
mod settings;

use std::{env, sync::Arc, time::Duration};

use anyhow::Result;
use opentelemetry::{InstrumentationScope, KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracer, SdkTracerProvider},
};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};
use url::Url;

use self::settings::Settings;
use crate::{
    core::vocabulary::OPERATOR,
    metrics::Metrics,
    proxy::{Proxies, shown},
    spans,
};

/// Time for the last spans when the operator stops: with what was under way it stays below a pod's 30 s.
const LAST: Duration = Duration::from_secs(3);

const SERVICE_NAME: &str = "service.name";

/// Where spans go while the process lives.
pub struct Traces {
    provider: SdkTracerProvider,
    collector: Url,
}

impl Traces {
    /// The traces of a process, if `endpoint` or the environment names a collector. Needs a runtime.
    ///
    /// # Errors
    /// What they say is wrong, or can't be done here.
    pub fn of(endpoint: Option<&str>, metrics: &Arc<Metrics>) -> Result<Option<Self>> {
        let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let Some(settings) = Settings::read(endpoint, variable)? else { return Ok(None) };
        Self::start(settings, &Proxies::from_env()?, metrics).map(Some)
    }

    fn start(settings: Settings, proxies: &Proxies, metrics: &Arc<Metrics>) -> Result<Self> {
        let exporter = collector::exporter(&settings, proxies, metrics)?;
        let provider = SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
        Ok(Self { provider, collector: settings.endpoint })
    }

    /// What takes spans, for [`layer`].
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        let scope = InstrumentationScope::builder(OPERATOR).with_version(env!("CARGO_PKG_VERSION")).build();
        self.provider.tracer_with_scope(scope)
    }

    /// The collector, without its path.
    #[must_use]
    pub fn collector(&self) -> String {
        shown(&self.collector)
    }

    /// Sends what wasn't sent yet, for a few seconds at most.
    pub async fn finish(self) {
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces aren't with the collector");
        }
    }
}

/// Who tells: by the operator's name and version, and what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add.
fn resource() -> Resource {
    let told = Resource::builder_empty()
        .with_service_name(OPERATOR)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => told.with_attribute(KeyValue::new(SERVICE_NAME, name)).build(),
        _ => told.build(),
    }
}

/// The layer that takes the spans of `src/spans.rs`, and nothing else.
#[must_use]
pub fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_context_activation(false)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(spans::TARGET, LevelFilter::INFO))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SpanData, SpanExporter},
    };
    use tracing::Instrument;
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;
    use crate::core::vocabulary::labels::{Reconciled, ShopifyCall, Verb};

    #[derive(Clone, Debug, Default)]
    struct Taken(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Taken {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
            Ok(())
        }
    }

    /// The spans of what is done, in the order of their ends.
    async fn taken(work: impl Future<Output = ()>) -> Vec<SpanData> {
        let taken = Taken::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(taken.clone()).build();
        let _guard = tracing::subscriber::set_default(Registry::default().with(layer(provider.tracer("test"))));
        work.await;
        std::mem::take(&mut *taken.0.lock().unwrap())
    }

    fn attributes(span: &SpanData) -> Vec<String> {
        let mut told: Vec<_> = span.attributes.iter().map(|it| format!("{}={}", it.key, it.value)).collect();
        told.sort();
        told
    }

    #[tokio::test]
    async fn a_trace_tells_what_is_named_and_nothing_else() {
        let spans = taken(async {
            let span = spans::reconcile("ShopifyToken", "shop", "web");
            async {
                let call =
                    spans::shopify_call(ShopifyCall::StorefrontTokenCreate, &"acme.myshopify.com".parse().unwrap());
                tracing::info!(token = "canary", "a line of the log");
                tracing::info_span!("another", token = "canary").in_scope(|| {
                    spans::answered(&spans::kubernetes_write(Verb::Create, "secrets"), "409");
                });
                spans::answered(&call, "timeout");
                drop(call);
                spans::acted("Storefront", &"Issue", "failed", Some("BackingOff"));
            }
            .instrument(span.clone())
            .await;
            spans::reconciled(&span, Reconciled::Success);
        })
        .await;
        let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["kubernetes create secrets", "shopify storefront_token_create", "reconcile ShopifyToken"]);
        let [write, call, reconcile] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(
            attributes(write),
            ["http.response.status_code=409", "k8s.request.resource=secrets", "k8s.request.verb=create"]
        );
        assert_eq!(
            attributes(call),
            ["error.type=timeout", "server.address=acme.myshopify.com", "shopify.operation=storefront_token_create"]
        );
        assert_eq!(
            attributes(reconcile),
            [
                "k8s.namespace.name=shop",
                "k8s.object.kind=ShopifyToken",
                "k8s.object.name=web",
                "reconcile.result=success",
                "shopify_token.outcome=failed",
                "shopify_token.reason=BackingOff",
                "shopify_token.source=Storefront",
                "shopify_token.step=\"Issue\"",
            ]
        );
        for span in [write, call] {
            assert_eq!(span.parent_span_id, reconcile.span_context.span_id(), "{}", span.name);
            assert!(matches!(span.status, opentelemetry::trace::Status::Error { .. }), "{}", span.name);
        }
        assert!(spans.iter().all(|span| span.events.is_empty()), "no line of the log");
    }

    #[test]
    fn who_tells_is_named() {
        let told = resource();
        assert_eq!(told.get(&SERVICE_NAME.into()).unwrap().as_str(), OPERATOR);
        assert_eq!(told.get(&"service.version".into()).unwrap().as_str(), env!("CARGO_PKG_VERSION"));
    }
}
