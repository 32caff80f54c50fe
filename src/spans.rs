//! The spans of a trace: what each is named, and all that it says.
//!
//! A trace holds nothing that isn't named here: no log line, no span of another crate, no header, query or body. Where nobody
//! takes traces a span is never made.

use std::fmt::Debug;

use tracing::{
    Span,
    field::{Empty, debug},
};

use crate::{
    core::vocabulary::labels::{Reconciled, ShopifyCall, Verb},
    shopify::Shop,
};

/// What marks a span as one of a trace.
pub const TARGET: &str = concat!(env!("CARGO_CRATE_NAME"), "::spans");

const STATUS: &str = "otel.status_code";
const HTTP_STATUS: &str = "http.response.status_code";
const ERROR: &str = "error.type";

/// A reconcile of an object.
pub(crate) fn reconcile(kind: &'static str, namespace: &str, name: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "reconcile",
        otel.name = format_args!("reconcile {kind}"),
        otel.status_code = Empty,
        k8s.object.kind = kind,
        k8s.namespace.name = namespace,
        k8s.object.name = name,
        reconcile.result = Empty,
        shopify_token.source = Empty,
        shopify_token.step = Empty,
        shopify_token.outcome = Empty,
        shopify_token.reason = Empty,
    )
}

/// What came of a reconcile, as `controller_reconciles_total` counts it.
pub(crate) fn reconciled(span: &Span, ended: Reconciled) {
    span.record("reconcile.result", ended.as_str());
}

/// What a span is of has failed.
pub(crate) fn failed(span: &Span) {
    span.record(STATUS, "ERROR");
}

/// What the reconcile that is under way has made of a token: what it did, what came of that, and the reason if something
/// stands in the way.
pub(crate) fn acted(source: &'static str, step: &impl Debug, outcome: &'static str, reason: Option<&'static str>) {
    let span = Span::current();
    span.record("shopify_token.source", source);
    span.record("shopify_token.step", debug(step));
    span.record("shopify_token.outcome", outcome);
    span.record("shopify_token.reason", reason);
}

/// A call to Shopify.
pub(crate) fn shopify_call(operation: ShopifyCall, shop: &Shop) -> Span {
    tracing::info_span!(
        target: TARGET,
        "shopify",
        otel.name = format_args!("shopify {operation}"),
        otel.kind = "client",
        otel.status_code = Empty,
        shopify.operation = operation.as_str(),
        server.address = %shop,
        http.response.status_code = Empty,
        "error.type" = Empty,
        shopify.request_id = Empty,
    )
}

/// A write to the Kubernetes API server.
pub(crate) fn kubernetes_write(verb: Verb, resource: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "kubernetes",
        otel.name = format_args!("kubernetes {verb} {resource}"),
        otel.kind = "client",
        otel.status_code = Empty,
        k8s.request.verb = verb.as_str(),
        k8s.request.resource = resource,
        http.response.status_code = Empty,
        "error.type" = Empty,
    )
}

/// What a call was answered with: an HTTP status, or the kind of failure where there was no answer.
pub(crate) fn answered(span: &Span, code: &str) {
    let status = code.parse::<u16>().ok();
    match status {
        Some(status) => span.record(HTTP_STATUS, status),
        None => span.record(ERROR, code),
    };
    if status.is_none_or(|status| status >= 400) {
        failed(span);
    }
}
