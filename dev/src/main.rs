//! Developer commands: a cluster to try things on, a cluster around a command, the demo.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use dev::bench::{self, Floor};
use dev::book;
use dev::demo::{self, Demo, Screen};
use dev::{Binaries, DIR_VARIABLE, Judges, LocalCluster, Manifests, Options};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{self, SignalKind};

/// A real Kubernetes control plane on loopback.
///
/// Its binaries come from `KUBEBUILDER_ASSETS` when that is set; else Go builds them once.
#[derive(Parser)]
#[command(name = "dev", version)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Start a cluster that lasts until Ctrl-C, with the CRDs of ./crds
    Up {
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Run a command with a cluster of its own, with the CRDs of ./crds
    ///
    /// The command finds the cluster by `KUBECONFIG`, the project's tests by `DEV_CLUSTER_DIR`.
    WithCluster {
        #[command(flatten)]
        cluster: ClusterArguments,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Show the operator at work: a cluster, a simulated Shopify, the samples, a rotation, a deletion
    Demo {
        /// The operator's binary [default: the one beside this one]
        #[arg(long, value_name = "FILE")]
        operator: Option<PathBuf>,
        /// End after the tour instead of staying up until Ctrl-C
        #[arg(long)]
        once: bool,
    },
    /// Measure what the operator costs, beside a client that makes only the calls nobody can spare
    Bench {
        /// The operator's binary [default: the one beside this one]
        #[arg(long, value_name = "FILE")]
        operator: Option<PathBuf>,
        /// The directory for bench.json, bench.md and bench.svg
        #[arg(long, value_name = "DIR", default_value = "target/bench")]
        out: PathBuf,
        /// Small numbers, for a look within minutes
        #[arg(long)]
        quick: bool,
        /// Only scenarios whose name contains this
        #[arg(long, value_name = "WORDS")]
        only: Option<String>,
    },
    /// The benchmark's client that makes only the calls nobody can spare
    #[command(hide = true)]
    Floor(Floor),
    /// Rewrite the book's links, for mdBook: it asks whether a renderer is supported, or hands over the book
    #[command(hide = true)]
    BookLinks {
        #[arg(num_args = 0..=2)]
        supports: Vec<String>,
    },
    /// Name the links of a built book that lead nowhere
    #[command(hide = true)]
    BookCheck {
        /// Where mdBook has written it
        directory: PathBuf,
    },
    /// Build the control plane's binaries, or find them, and print their directory
    ControlPlane,
    /// Build the programs that judge what is deployed, helm among them, and print their directory
    Judges,
}

#[derive(Args)]
struct ClusterArguments {
    /// A further flag of kube-apiserver; may be repeated
    #[arg(long = "apiserver-flag", value_name = "FLAG", allow_hyphen_values = true)]
    apiserver_flags: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt()
        // kube logs every failed attempt to connect while the API server starts.
        .with_env_filter("warn,kube_client=off")
        .with_writer(io::stderr)
        .init();
    // From the first moment: a signal during the start ends it cleanly too.
    let mut stop = Stop::new()?;
    match Cli::parse().command {
        Subcommands::Up { cluster } => up(&mut stop, cluster).await,
        Subcommands::WithCluster { cluster, command } => with_cluster(&mut stop, cluster, &command).await,
        Subcommands::Demo { operator, once } => show(&mut stop, operator, once).await,
        Subcommands::Bench { operator, out, quick, only } => {
            let operator = binary(operator)?;
            let options = bench::Options { operator, out, quick, only };
            tokio::select! {
                summary = bench::run(&options, print) => print(&summary?)?,
                signal = stop.requested() => return Ok(interrupted(signal)),
            }
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::Floor(floor) => {
            bench::serve_floor(&floor).await?;
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::BookLinks { supports } => {
            if supports.is_empty() {
                print(&book::with_links(&io::read_to_string(io::stdin())?)?.to_string())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::BookCheck { directory } => {
            let dead = book::dead_links(&directory)?;
            anyhow::ensure!(dead.is_empty(), "these links lead nowhere:\n{}", dead.join("\n"));
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::ControlPlane => {
            tokio::select! {
                binaries = Binaries::locate(false) => print(&binaries?.dir.display().to_string())?,
                signal = stop.requested() => return Ok(interrupted(signal)),
            }
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::Judges => {
            tokio::select! {
                judges = Judges::locate(false) => print(&judges?.dir.display().to_string())?,
                signal = stop.requested() => return Ok(interrupted(signal)),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn up(stop: &mut Stop, arguments: ClusterArguments) -> Result<ExitCode> {
    let cluster = tokio::select! {
        cluster = LocalCluster::start(options(arguments)) => cluster?,
        signal = stop.requested() => return Ok(interrupted(signal)),
    };
    let controllers = if cluster.has_controller_manager() {
        "It has no nodes: Pods stay Pending.\n"
    } else {
        "There is no kube-controller-manager: nothing is garbage collected, Deployments make no \
         Pods.\n"
    };
    print(&format!(
        "The cluster is up until Ctrl-C. In another terminal:\n\n  \
         export KUBECONFIG={}\n  {} get namespaces\n\n{controllers}\
         Logs and the audit log are in {}",
        cluster.kubeconfig_path().display(),
        cluster.kubectl().display(),
        cluster.dir().display(),
    ))?;
    // Asked to end, it did: that is success.
    stop.requested().await;
    cluster.stop()?;
    Ok(ExitCode::SUCCESS)
}

async fn show(stop: &mut Stop, operator: Option<PathBuf>, once: bool) -> Result<ExitCode> {
    let operator = binary(operator)?;
    let options = demo::Options { operator, ..demo::Options::default() };
    let tour = async {
        let mut demo = Demo::start(options, Screen::stdout()).await?;
        demo.tour().await?;
        anyhow::Ok(demo)
    };
    let mut demo = tokio::select! {
        demo = tour => demo.context("the demo can't go on")?,
        signal = stop.requested() => return Ok(interrupted(signal)),
    };
    if !once {
        demo.invite().await?;
        tokio::select! {
            error = demo.broken() => return Err(error),
            // Asked to end, it does: that is success.
            _ = stop.requested() => {}
        }
    }
    demo.end().await?;
    Ok(ExitCode::SUCCESS)
}

/// The operator's binary: the one that is named, or the one beside this one.
fn binary(operator: Option<PathBuf>) -> Result<PathBuf> {
    match operator {
        Some(operator) => Ok(operator),
        None => Ok(env::current_exe()?.with_file_name("shopify-token-operator")),
    }
}

async fn with_cluster(stop: &mut Stop, arguments: ClusterArguments, command: &[String]) -> Result<ExitCode> {
    let cluster = tokio::select! {
        cluster = LocalCluster::start(options(arguments)) => cluster?,
        signal = stop.requested() => return Ok(interrupted(signal)),
    };
    let (program, arguments) = command.split_first().context("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", cluster.kubeconfig_path())
        .env(DIR_VARIABLE, cluster.dir())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            signal = stop.requested() => match (signal, child.id().and_then(pid)) {
                // A terminal sends Ctrl-C to the command too, which decides what to do with it.
                (Signal::INT, _) | (_, None) => {}
                (signal, Some(child)) => kill_process(child, signal)?,
            },
        }
    };
    let skips = dev::skips(&cluster)?;
    cluster.stop()?;
    if !skips.is_empty() {
        print(&skips)?;
    }
    Ok(exit_code(status))
}

fn options(arguments: ClusterArguments) -> Options {
    let crds = Path::new("crds");
    Options {
        crds: if crds.is_dir() { vec![Manifests::Path(crds.to_owned())] } else { Vec::new() },
        apiserver_flags: arguments.apiserver_flags,
        quiet: false,
        ..Options::default()
    }
}

/// The signals that ask this process to end.
struct Stop {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let listen = |kind| unix::signal(kind).context("cannot listen to signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn requested(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}

/// As a shell reports it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn interrupted(signal: Signal) -> ExitCode {
    u8::try_from(128 + signal.as_raw()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}
