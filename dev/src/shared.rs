//! What tests have in common: one cluster for all of a run, and how one says that it is skipped.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Result, anyhow};

use crate::{Cluster, LocalCluster, Manifests, Options};

/// The cluster of a surrounding `dev with-cluster`: [`Cluster::dir`].
pub const DIR_VARIABLE: &str = "DEV_CLUSTER_DIR";

/// Set where every test has to run: one that would be skipped fails.
pub const NO_SKIPS_VARIABLE: &str = "NO_SKIPS";

/// Where reasons of what was skipped are noted, in the cluster's directory.
const SKIPPED: &str = "skipped";

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

/// Says that a test is skipped, at least in part, and why: where it is seen, though the test passes, and at the end of a surrounding
/// `dev with-cluster`.
///
/// # Panics
///
/// Where nothing may be skipped ([`NO_SKIPS_VARIABLE`]), or nothing can be said.
pub fn skipped(why: &str) {
    let line = why.lines().collect::<Vec<_>>().join(" ") + "\n";
    io::stderr().write_all(format!("skipped: {line}").as_bytes()).expect("standard error is open");
    if let Some(dir) = env::var_os(DIR_VARIABLE) {
        let file = OpenOptions::new().create(true).append(true).open(Path::new(&dir).join(SKIPPED));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the cluster's directory takes a file");
    }
    let may_be = env::var_os(NO_SKIPS_VARIABLE).is_none_or(|value| value.is_empty());
    assert!(may_be, "{NO_SKIPS_VARIABLE} is set, and this would be skipped: {why}");
}

/// What was skipped in a run with this cluster, for its end; empty if nothing was.
///
/// # Errors
///
/// If what is noted of it can't be read.
pub fn skips(cluster: &Cluster) -> io::Result<String> {
    let noted = match fs::read_to_string(cluster.dir().join(SKIPPED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        noted => noted?,
    };
    let mut reasons = BTreeMap::new();
    for why in noted.lines() {
        *reasons.entry(why).or_insert(0) += 1;
    }
    let told = reasons.iter().map(|(why, times)| format!("\n  {times} times: {why}"));
    Ok(format!("Skipped, at least in part ({NO_SKIPS_VARIABLE}=1 makes it fail):{}", told.collect::<String>()))
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
