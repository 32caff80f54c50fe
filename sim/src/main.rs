//! `shopify-sim`: the simulation as a program.

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use shopify_sim::{Config, Sim};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A faithful local Shopify: OAuth, Admin and Storefront APIs for many shops
/// on one https listener.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Shops, apps and switches, as YAML.
    #[arg(long, env = "CONFIG", value_name = "FILE")]
    config: PathBuf,

    /// Where to listen, in place of the configuration's `listen`.
    #[arg(long, env = "LISTEN", value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,

    /// Where to write the certificate authority that clients must trust.
    #[arg(long, env = "CA_FILE", value_name = "FILE")]
    ca_file: PathBuf,

    /// A tracing filter.
    // hyper warns of every connection that a fault cuts.
    #[arg(long, env = "LOG_LEVEL", default_value = "info,hyper=error")]
    log_level: EnvFilter,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_env_filter(arguments.log_level).with_writer(std::io::stderr).init();
    let mut config = Config::from_file(&arguments.config)?;
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let sim = Sim::start(config).await?;
    // Before the address is printed: who reads that may connect at once.
    std::fs::write(&arguments.ca_file, sim.ca_pem())
        .with_context(|| format!("can't write {}", arguments.ca_file.display()))?;
    writeln!(stdout(), "{}", sim.address())?;

    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    sim.stop().await;
    Ok(())
}
