//! Builds the control plane from its pinned Go modules, once per version and user.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::process::{self, tail};
use crate::progress::Progress;

/// In place of a build: points at a directory with etcd, kube-apiserver and kubectl, as `setup-envtest` installs them.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

const GO_MOD: &str = include_str!("../control-plane/go.mod");
const GO_SUM: &str = include_str!("../control-plane/go.sum");
const PACKAGES: [&str; 4] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kubectl",
    "go.etcd.io/etcd/server/v3",
];
/// Holds a build until it is complete.
const UNFINISHED: &str = "unfinished";

/// The directory with the binaries, built when it isn't there yet.
pub(crate) async fn cached(quiet: bool) -> Result<PathBuf> {
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create the directory {}", cache.display()))?;
    let dir = cache.join(cache_key(&go_version(&cache)?));
    if dir.is_dir() {
        return Ok(dir);
    }
    let _lock = lock(&cache.join("lock"), quiet).await?;
    if !dir.is_dir() {
        build(&cache, &dir, quiet).await.context("cannot build the control plane")?;
    }
    Ok(dir)
}

fn cache_dir() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .context("no place for the control plane's binaries: set HOME or XDG_CACHE_HOME")?;
    Ok(user.join("shopify-token-operator/control-plane"))
}

/// Go's version and target, after checking that it is new enough.
fn go_version(dir: &Path) -> Result<String> {
    let needed = pinned("go")?;
    let install = format!(
        "install Go {needed} or later (https://go.dev/dl), or set {ASSETS_VARIABLE} to a directory with etcd, \
         kube-apiserver and kubectl"
    );
    let output = match go(dir, ["env", "GOVERSION", "GOOS", "GOARCH"]).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("the control plane is built with Go, which is not in PATH: {install}")
        }
        output => output.context("cannot run go")?,
    };
    ensure!(output.status.success(), "`go env` failed: {}", String::from_utf8_lossy(&output.stderr));
    let version = String::from_utf8(output.stdout)?;
    let found = version.lines().next().unwrap_or_default();
    ensure!(
        is_at_least(found.trim_start_matches("go"), needed),
        "the control plane needs Go {needed}, this is {found}: {install}"
    );
    Ok(version)
}

/// The version that go.mod names for `name`.
fn pinned(name: &str) -> Result<&'static str> {
    GO_MOD
        .lines()
        .find_map(|line| {
            let line = line.trim_start_matches("require ");
            line.strip_prefix(name)?.strip_prefix(' ')
        })
        .with_context(|| format!("go.mod names no version of {name}"))
}

/// Compares major and minor; a development version counts as new enough.
fn is_at_least(found: &str, needed: &str) -> bool {
    let numbers = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((major, minor.parse().ok()?))
    };
    numbers(found).is_none_or(|found| Some(found) >= numbers(needed))
}

fn cache_key(go_version: &str) -> String {
    let digest = Sha256::new().chain_update(GO_MOD).chain_update(GO_SUM).chain_update(go_version).finalize();
    hex::encode(&digest[..8])
}

/// One build at a time; waits for the one under way.
async fn lock(path: &Path, quiet: bool) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut waiting = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                waiting.get_or_insert_with(|| Progress::new("Waiting for another build of the control plane", quiet));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Builds beside `target` and renames, so that `target` exists only when complete.
async fn build(cache: &Path, target: &Path, quiet: bool) -> Result<()> {
    match fs::remove_dir_all(cache.join(UNFINISHED)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => result.context("cannot remove what an interrupted build left")?,
    }
    let dir = tempfile::Builder::new().prefix(UNFINISHED).rand_bytes(0).tempdir_in(cache)?;
    let [module, temporary, binaries] = ["module", "tmp", "bin"].map(|name| dir.path().join(name));
    for dir in [&module, &temporary, &binaries] {
        fs::create_dir(dir)?;
    }
    fs::write(module.join("go.mod"), GO_MOD)?;
    fs::write(module.join("go.sum"), GO_SUM)?;

    let mut progress = Progress::new("Downloading the control plane's Go modules", quiet);
    let list = dir.path().join("packages");
    let mut command = go(&module, ["list", "-mod=readonly", "-deps"]);
    command.args(PACKAGES).stdout(File::create(&list)?);
    run(command, |line| progress.note(line)).await?;
    progress.finish();

    let total = fs::read_to_string(&list)?.lines().count();
    let title = "Building etcd, kube-apiserver, kube-controller-manager and kubectl (once)";
    let mut progress = Progress::with_total(title, total, quiet);
    let mut command = go(&module, ["build", "-mod=readonly", "-trimpath", "-v", "-ldflags"]);
    command
        .arg(linker_flags()?)
        .arg("-o")
        .arg(&binaries)
        .args(PACKAGES)
        .env("GOTMPDIR", &temporary)
        .stdout(Stdio::null());
    run(command, |package| progress.advance(package)).await?;
    progress.finish();

    // Go names a binary after its package's last part that isn't a version.
    fs::rename(binaries.join("server"), binaries.join("etcd"))?;
    fs::rename(&binaries, target)?;
    Ok(())
}

/// Without them the server would call itself v0.0.0.
fn linker_flags() -> Result<String> {
    let version = pinned("k8s.io/kubernetes")?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("{version} is no version");
    };
    let variables = [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)];
    let flags = variables.map(|(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}"));
    Ok(format!("-s -w{}", flags.concat()))
}

/// Go in `dir`, as pinned: no other toolchain, no workspace of the user.
fn go<const N: usize>(dir: &Path, args: [&str; N]) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(dir)
        .args(args)
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null());
    command
}

/// Runs `command` to its end, showing each line of its standard error to `on_line`.
async fn run(mut command: Command, mut on_line: impl FnMut(&str)) -> Result<()> {
    command.stderr(Stdio::piped());
    let shown: Vec<_> = command.get_args().take(2).map(OsStr::to_string_lossy).collect();
    let shown = format!("go {}", shown.join(" "));
    let mut running = Running(process::spawn(command).context("cannot run go")?);
    let stderr = running.0.stderr.take().context("no standard error")?;
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut output = String::new();
    while let Some(line) = lines.recv().await {
        let line = line?;
        on_line(&line);
        output.push_str(&line);
        output.push('\n');
    }
    let status = running.0.wait()?;
    if status.success() { Ok(()) } else { Err(anyhow!("`{shown}` ended with {status}:\n{}", tail(&output, 20))) }
}

/// Killed on drop with the compilers that it started: a cancelled build must not go on by itself.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::error!(%error, "cannot end go");
        }
    }
}

impl Running {
    fn kill(&mut self) -> io::Result<()> {
        if self.0.try_wait()?.is_none() {
            kill_process_group(Pid::from_child(&self.0), Signal::KILL)?;
            self.0.wait()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go() {
        assert!(is_at_least("1.26.8", "1.26.0"));
        assert!(is_at_least("1.27rc1", "1.26.0"));
        assert!(is_at_least("devel +abc", "1.26.0"));
        assert!(!is_at_least("1.25.9", "1.26.0"));
    }

    #[test]
    fn the_version_comes_from_go_mod() {
        assert_eq!(pinned("go").unwrap(), "1.26.0");
        let flags = linker_flags().unwrap();
        assert!(flags.contains("gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("gitMajor=1"), "{flags}");
        assert!(flags.ends_with("gitMinor=36"), "{flags}");
    }

    #[test]
    fn another_go_needs_another_build() {
        assert_ne!(cache_key("go1.26.1"), cache_key("go1.26.2"));
    }
}
