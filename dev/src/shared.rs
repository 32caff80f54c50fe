//! What tests have in common: one cluster for all of a run, and how one says that it is skipped.

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Result, anyhow};

use crate::{Cluster, LocalCluster, Manifests, Options};

/// The cluster of a surrounding `dev with-cluster`: [`Cluster::dir`].
pub const DIR_VARIABLE: &str = "DEV_CLUSTER_DIR";

static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();

/// The cluster of a surrounding `dev with-cluster`, else one that is started at the first call and
/// lives as long as this process. It serves the custom resources of `crds/`.
///
/// Blocks for some seconds at the first call.
pub fn shared_cluster() -> Result<&'static Cluster> {
    SHARED
        .get_or_init(|| open_or_start().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|message| anyhow!("{message}"))
}

/// Says that a test is skipped, and why: where it is seen, though the test passes.
///
/// # Panics
///
/// Where nothing can be said.
pub fn skipped(why: &str) {
    let line = format!("skipped: {why}\n");
    io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

fn open_or_start() -> Result<Cluster> {
    if let Some(dir) = env::var_os(DIR_VARIABLE) {
        return Cluster::open(dir);
    }
    // The caller may be inside a runtime, in which another can't be entered.
    let started = thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(LocalCluster::start(Options { crds: repository_crds(), ..Options::default() }))
    })
    .join()
    .map_err(|_| anyhow!("starting the cluster panicked"))??;
    // Never dropped: its processes end with this one, and the next run removes its files.
    let local: &'static LocalCluster = Box::leak(Box::new(started));
    Ok(Cluster::clone(local))
}

fn repository_crds() -> Vec<Manifests> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("crds");
    if dir.is_dir() { vec![Manifests::Path(dir)] } else { Vec::new() }
}
