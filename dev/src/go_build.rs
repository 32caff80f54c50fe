//! Builds programs from their pinned Go modules.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::mpsc;

use crate::cache::{self, Cache};
use crate::process::{self, tail};
use crate::progress::Progress;

/// Programs of a Go module that holds versions and checksums, and at most a few files of its own.
pub(crate) struct GoModule {
    /// What the programs are, as in `the control plane`.
    pub(crate) what: &'static str,
    /// The programs, as one reads them while they are built.
    pub(crate) programs: &'static str,
    /// The directory below the user's cache.
    pub(crate) cache: &'static str,
    /// What to do where there is no Go, or one too old: the end of a sentence about installing it.
    pub(crate) instead: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// Go files of its own: their names and texts.
    pub(crate) sources: &'static [(&'static str, &'static str)],
    /// What to build.
    pub(crate) packages: &'static [&'static str],
    /// Build tags, with commas between them.
    pub(crate) tags: &'static str,
    /// For the linker, after `-s -w`: each begins with a blank.
    pub(crate) linker_flags: String,
    /// Binaries that Go names otherwise, after the last part of their package that isn't a version.
    pub(crate) renamed: &'static [(&'static str, &'static str)],
    /// Files of modules that go beside the binaries: the module, and a path in it.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// The directory with the binaries, built when it isn't there yet.
pub(crate) async fn cached(module: &GoModule, quiet: bool) -> Result<PathBuf> {
    let cache = Cache::of(module.what, module.cache)?;
    let key = cache_key(module, &go_version(module, &cache.dir)?);
    cache.version(&key, quiet, async |dir| build(module, dir, quiet).await).await
}

/// Go's version and target, after checking that it is new enough.
fn go_version(module: &GoModule, dir: &Path) -> Result<String> {
    let needed = module.pinned("go")?;
    let what = module.what;
    let install = format!("install Go {needed} or later (https://go.dev/dl){}", module.instead);
    let output = match go(dir, ["env", "GOVERSION", "GOOS", "GOARCH"]).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("Go builds {what}, and is not in PATH: {install}")
        }
        output => output.context("cannot run go")?,
    };
    ensure!(output.status.success(), "`go env` failed: {}", String::from_utf8_lossy(&output.stderr));
    let version = String::from_utf8(output.stdout)?;
    let found = version.lines().next().unwrap_or_default();
    ensure!(
        is_at_least(found.trim_start_matches("go"), needed),
        "{what}: Go {needed} is needed, this is {found}: {install}"
    );
    Ok(version)
}

impl GoModule {
    /// The version that go.mod names for `name`.
    pub(crate) fn pinned(&self, name: &str) -> Result<&'static str> {
        let mut versions = self.go_mod.lines().filter_map(|line| {
            let line = line.trim_start_matches("require ").trim_start();
            line.strip_prefix(name)?.strip_prefix(' ')?.split(' ').next()
        });
        versions.next().with_context(|| format!("go.mod names no version of {name}"))
    }
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

fn cache_key(module: &GoModule, go_version: &str) -> String {
    let files = module.files.iter().chain(module.sources).flat_map(|(first, second)| [*first, *second]);
    cache::key([module.go_mod, module.go_sum, go_version, module.tags].into_iter().chain(files))
}

/// In `dir`, all but the binaries by the way.
async fn build(of: &GoModule, dir: &Path, quiet: bool) -> Result<PathBuf> {
    let [module, temporary, binaries] = ["module", "tmp", "bin"].map(|name| dir.join(name));
    for dir in [&module, &temporary, &binaries] {
        fs::create_dir(dir)?;
    }
    fs::write(module.join("go.mod"), of.go_mod)?;
    fs::write(module.join("go.sum"), of.go_sum)?;
    for (name, text) in of.sources {
        fs::write(module.join(name), text)?;
    }

    let mut progress = Progress::new(&format!("Downloading the Go modules of {}", of.what), quiet);
    let list = dir.join("packages");
    let mut command = go(&module, ["list", "-mod=readonly", "-deps"]);
    command.args(of.packages).stdout(File::create(&list)?);
    run(command, |line| progress.note(line)).await?;
    for (name, file) in of.files {
        copy_of_module(&module, name, file, &binaries)?;
    }
    progress.finish();

    let total = fs::read_to_string(&list)?.lines().count();
    let mut progress = Progress::with_total(&format!("Building {} (once)", of.programs), total, quiet);
    let mut command = go(&module, ["build", "-mod=readonly", "-trimpath", "-v", "-ldflags"]);
    command
        .arg(format!("-s -w{}", of.linker_flags))
        .args(["-tags", of.tags, "-o"])
        .arg(&binaries)
        .args(of.packages)
        .env("GOTMPDIR", &temporary)
        .stdout(Stdio::null());
    run(command, |package| progress.advance(package)).await?;
    progress.finish();

    for (name, wanted) in of.renamed {
        fs::rename(binaries.join(name), binaries.join(wanted))?;
    }
    Ok(binaries)
}

/// Copies a file of a module, whose checksum go.sum has, into a directory.
fn copy_of_module(dir: &Path, module: &str, file: &str, into: &Path) -> Result<()> {
    let output = go(dir, ["mod", "download", "-json", module]).output().context("cannot run go")?;
    ensure!(output.status.success(), "cannot get {module}: {}", String::from_utf8_lossy(&output.stdout));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let from = Path::new(told["Dir"].as_str().with_context(|| format!("go doesn't say where {module} is"))?).join(file);
    let name = from.file_name().with_context(|| format!("{file} is no file"))?;
    // Not fs::copy: what is in Go's cache is read-only.
    let text = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    Ok(fs::write(into.join(name), text)?)
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
}
