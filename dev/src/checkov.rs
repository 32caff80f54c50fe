//! checkov, which judges manifests and the Dockerfile: Python packages of pinned checksums, installed once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cache::{self, Cache};
use crate::progress::Progress;

const REQUIREMENTS: &str = include_str!("../checkov/requirements.txt");

/// checkov, in a Python of its own.
#[derive(Clone, Debug)]
pub struct Checkov {
    python: PathBuf,
}

impl Checkov {
    /// Installed at the first call; an error where there is no [`Self::python`] for it.
    pub async fn locate(quiet: bool) -> Result<Self> {
        let cache = Cache::of("checkov", "checkov")?;
        let key = cache::key([REQUIREMENTS, &Self::python()?]);
        let dir = cache.version(&key, quiet, async |work| install(work, quiet).await).await?;
        Ok(Self { python: dir.join("bin/python") })
    }

    /// Version and platform of the Python that would have checkov; an error says what is missing.
    pub fn python() -> Result<String> {
        let version = "import sys, ensurepip; print(sys.version_info >= (3, 11), sys.version, sys.platform, sep='; ')";
        let output = Command::new("python3").args(["-c", version]).output();
        let needed = "checkov needs Python 3.11 or later with venv (apt-get install python3-venv)";
        let output = output.with_context(|| format!("{needed}: cannot run python3"))?;
        let said = String::from_utf8(output.stdout)?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.starts_with("True"), "{needed}: {said}{why}");
        Ok(said)
    }

    /// The program, with nothing of the user's: not their configuration, and no account of the service behind it.
    #[must_use]
    pub fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.python);
        command.env_clear().env("HOME", home).args(["-m", "checkov.main", "--skip-download"]);
        command
    }
}

/// In a directory below `work`, which can be moved: nothing in it is run but its Python.
async fn install(work: &Path, quiet: bool) -> Result<PathBuf> {
    let (venv, requirements) = (work.join("venv"), work.join("requirements.txt"));
    std::fs::write(&requirements, REQUIREMENTS)?;
    let _progress = Progress::new("Installing checkov (once)", quiet);
    let mut create = tokio::process::Command::new("python3");
    create.args(["-m", "venv"]).arg(&venv);
    run(create).await?;
    let mut install = tokio::process::Command::new(venv.join("bin/python"));
    // Checksums for each, and nothing that would have to be built.
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"];
    install.args(pip).args(["--only-binary", ":all:", "--requirement"]).arg(&requirements);
    run(install).await.context("cannot get the packages of dev/checkov/requirements.txt: is their registry there?")?;
    Ok(venv)
}

async fn run(mut command: tokio::process::Command) -> Result<()> {
    let output = command.kill_on_drop(true).output().await.context("cannot run Python")?;
    ensure!(output.status.success(), "{:?}: {}", command.as_std(), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
