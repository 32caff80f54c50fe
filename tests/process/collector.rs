//! A collector of traces, which keeps what it gets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{span::SpanKind, status::StatusCode},
};
use prost::Message;
use tokio::net::TcpListener;

/// A collector on this machine; gone with the test.
pub(crate) struct Collector {
    address: String,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

/// A span as the test reads it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    /// Empty for the first of a trace.
    pub(crate) parent: Vec<u8>,
    pub(crate) name: String,
    pub(crate) client: bool,
    /// Whether its status is Error.
    pub(crate) failed: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) events: usize,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::<Mutex<Vec<_>>>::default();
        let keeps = Arc::clone(&got);
        let take = async move |headers: HeaderMap, body: Bytes| keeps.lock().unwrap().push((headers, body));
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
        Self { address, got }
    }

    /// For `--otlp-endpoint`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Everything that was posted, as it came.
    pub(crate) fn bodies(&self) -> Vec<u8> {
        self.got.lock().unwrap().iter().flat_map(|(_, body)| body.to_vec()).collect()
    }

    /// The values of a header.
    pub(crate) fn headers(&self, name: &str) -> BTreeSet<String> {
        let got = self.got.lock().unwrap();
        got.iter().filter_map(|(headers, _)| Some(headers.get(name)?.to_str().unwrap().to_owned())).collect()
    }

    /// What every resource says of itself.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let requests = self.requests();
        let resources = requests.into_iter().flat_map(|request| request.resource_spans);
        resources.map(|spans| attributes(spans.resource.unwrap().attributes)).collect()
    }

    /// Every span.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let spans = resources.flat_map(|of| of.scope_spans).flat_map(|of| of.spans);
        spans
            .map(|span| Span {
                client: span.kind() == SpanKind::Client,
                failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
                name: span.name,
                attributes: attributes(span.attributes),
                events: span.events.len(),
            })
            .collect()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap()).collect()
    }
}

fn attributes(of: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("neither a text nor a number: {other:?}"),
    };
    of.into_iter().map(|it| (it.key, text(it.value.and_then(|value| value.value)))).collect()
}
