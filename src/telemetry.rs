//! Log lines: what is printed, in which form, and what can never be.

use std::{
    any::Any,
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
    thread,
};

use anyhow::Context;
use clap::ValueEnum;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Dispatch;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

use crate::{spans, traces};

/// The operator's own crate, as log lines name it.
const OWN: &str = env!("CARGO_CRATE_NAME");

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// The least important lines that are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Level {
    /// What failed and needs a person.
    Error,
    /// What failed and heals.
    Warn,
    /// What happened.
    Info,
    /// What was decided, and why.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Prints log lines to stderr from here on, panics among them, and gives spans to `tracer`. Without a format: text for a
/// terminal, else JSON.
pub fn init(format: Option<Format>, level: Level, tracer: Option<SdkTracer>) -> anyhow::Result<()> {
    let format = format.unwrap_or(if io::stderr().is_terminal() { Format::Text } else { Format::Json });
    let lines = lines(format, io::stderr().is_terminal(), io::stderr);
    tracing::dispatcher::set_global_default(dispatch(lines, level, tracer))
        .context("a log is being written already")?;
    panic::set_hook(Box::new(report_panic));
    Ok(())
}

/// Prints by `lines`, and gives spans to `tracer`.
fn dispatch(lines: Box<dyn Layer<Registry> + Send + Sync>, level: Level, tracer: Option<SdkTracer>) -> Dispatch {
    let printed = Registry::default().with(lines.with_filter(filter(level)));
    match tracer {
        Some(tracer) => printed.with(traces::layer(tracer)).into(),
        // `None` as a layer would be asked each time about each line and span that nobody takes.
        None => printed.into(),
    }
}

fn lines<W>(format: Format, colours: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_ansi(colours).with_writer(writer);
    match format {
        Format::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        Format::Text => layer.boxed(),
    }
}

/// The level is for the operator's own lines. Other crates stop at info: below it they print headers and bodies,
/// which hold credentials.
fn filter(level: Level) -> Targets {
    let level = LevelFilter::from(level);
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target(OWN, level)
        // They are of traces: log lines say the same with fields of their own.
        .with_target(spans::TARGET, LevelFilter::OFF)
        // Warns with the whole body of a response that it can't deserialize: a Secret, for one. Its errors come back
        // to the caller, who knows what they mean.
        .with_target("kube_client::client", LevelFilter::OFF)
        // Warns in the API server's own words; ours name kind, namespace and code.
        .with_target("kube_runtime::watcher", LevelFilter::OFF)
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    tracing::error!(
        location = location.as_deref().unwrap_or("unknown"),
        thread = thread::current().name().unwrap_or("unnamed"),
        message = literal(panic.payload()),
        "panicked"
    );
}

/// A panic's message if it is a literal of the source; a formatted one may quote data.
fn literal(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("withheld: it may quote data")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().map_err(|_| io::Error::other("poisoned"))?.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(level: Level, log: impl FnOnce()) -> Vec<Value> {
        printed_beside(None, level, log)
    }

    fn printed_beside(tracer: Option<SdkTracer>, level: Level, log: impl FnOnce()) -> Vec<Value> {
        let page = Page::default();
        let writer = page.clone();
        let lines = lines(Format::Json, false, move || writer.clone());
        tracing::dispatcher::with_default(&dispatch(lines, level, tracer), log);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn other_crates_never_print_headers_and_bodies() {
        let lines = printed(Level::Trace, || {
            tracing::warn!(target: "kube_client::client", "{{\"data\":\"canary\"}}");
            tracing::trace!(target: "kube_client::client", "canary");
            tracing::error!(target: "kube_client::client::builder", "canary");
            tracing::debug!(target: "kube_runtime::watcher", "canary");
            tracing::trace!(target: "hyper::proto::h1::conn", "canary");
            tracing::trace!(target: "h2::codec", "canary");
            tracing::debug!(target: "rustls::client", "canary");
            tracing::trace!(target: "reqwest::connect", "canary");
            tracing::debug!(target: "tower::buffer", "canary");
            tracing::debug!(target: "any_other_crate", "canary");
        });
        assert_eq!(lines, Vec::<Value>::new());
    }

    #[test]
    fn spans_of_traces_change_no_line() {
        for level in [Level::Trace, Level::Info] {
            let line = |taken: bool| {
                let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
                let lines = printed_beside(taken.then(|| provider.tracer("test")), level, || {
                    let span = spans::reconcile("ShopifyToken", "shop", "web");
                    assert_eq!(span.is_disabled(), !taken, "one that nobody takes costs nothing");
                    let _entered = span.enter();
                    tracing::info!(revision = 1, "published");
                });
                without_time(&lines[0])
            };
            assert_eq!(line(true), line(false));
            assert!(line(false).get("span").is_none());
        }
    }

    fn without_time(line: &Value) -> Value {
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove("timestamp").unwrap();
        line
    }

    #[test]
    fn the_level_is_for_our_own_lines() {
        let log = || {
            tracing::trace!("ours");
            tracing::info!(target: "kube_runtime::reflector", "theirs");
            tracing::error!("failed");
        };
        let messages =
            |level| -> Vec<Value> { printed(level, log).into_iter().map(|line| line["message"].clone()).collect() };
        assert_eq!(messages(Level::Trace), ["ours", "theirs", "failed"]);
        assert_eq!(messages(Level::Info), ["theirs", "failed"]);
        assert_eq!(messages(Level::Error), ["failed"]);
    }

    #[test]
    fn a_panic_says_where_and_never_quotes_data() {
        let literal_payload: Box<dyn Any + Send> = Box::new("a literal");
        let formatted: Box<dyn Any + Send> = Box::new(String::from("canary"));
        assert_eq!(literal(literal_payload.as_ref()), "a literal");
        assert!(!literal(formatted.as_ref()).contains("canary"));
    }
}
