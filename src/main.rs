//! The operator binary.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::bail;
use shopify_token_operator::{
    cli::{self, Cli, Command, RunOptions},
    controller,
    metrics::Metrics,
    run, telemetry,
    traces::Traces,
};
use tikv_jemallocator::Jemalloc;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// What is freed after a burst goes back to the system within seconds: docs/decisions/0035.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> io::Result<ExitCode> {
    let cli = Cli::read();
    // One thread waits for all networks; what computes for long has threads of its own: docs/decisions/0036.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(match runtime.block_on(execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = told(&error), "failed");
            ExitCode::FAILURE
        }
    })
}

async fn execute(cli: Cli) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let traces = match &cli.command {
        Command::Run(options) => Traces::of(options.otlp_endpoint.as_deref(), &metrics),
        Command::Crd | Command::Uninstall(_) | Command::Version => Ok(None),
    };
    // What is wrong with the traces is told as everything else.
    let spans = traces.as_ref().ok().and_then(Option::as_ref).map(Traces::tracer);
    telemetry::init(cli.log.log_format, cli.log.log_level, spans)?;
    match cli.command {
        Command::Run(options) => {
            let traces = traces.or_else(|error| without(error, options.otlp_by_flag))?;
            operate(options, metrics, traces).await
        }
        Command::Crd => print(&cli::crds()?),
        Command::Uninstall(options) => print(&run::uninstall(&options).await?.to_string()),
        Command::Version => print(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

/// Platforms put a collector, and what they want of traces, into every pod: that can't keep credentials from being renewed.
fn without(error: anyhow::Error, by_flag: bool) -> anyhow::Result<Option<Traces>> {
    if by_flag {
        return Err(error);
    }
    let error = told(&error);
    tracing::error!(
        error,
        "no traces are sent, all else is done: if none are wanted, say so by OTEL_TRACES_EXPORTER=none"
    );
    Ok(None)
}

/// An error and what caused it. Some errors, kube's among them, tell their cause themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// The first signal asks for a clean stop, the second one ends the process.
async fn operate(options: RunOptions, metrics: Arc<Metrics>, traces: Option<Traces>) -> anyhow::Result<()> {
    if let Some(traces) = &traces {
        tracing::info!(collector = traces.collector(), "sends traces");
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = CancellationToken::new();
    let signals = async {
        either(&mut interrupt, &mut terminate).await;
        shutdown.cancel();
        either(&mut interrupt, &mut terminate).await;
    };
    let ground = run::Ground::of(&options, metrics)?;
    let work = async {
        let ended = run::run(&options, ground, controller::run, shutdown.clone()).await;
        if let Some(traces) = traces {
            traces.finish().await;
        }
        ended
    };
    tokio::select! {
        ended = work => ended,
        () = signals => bail!("a second signal: what was under way is cut off"),
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
