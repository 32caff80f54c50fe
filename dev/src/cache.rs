//! What is made once per version and user: directories below the user's cache.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::progress::Progress;

/// Holds a directory until it is complete.
const UNFINISHED: &str = "unfinished";

/// Where one thing is kept, in all its versions.
pub(crate) struct Cache {
    what: &'static str,
    pub(crate) dir: PathBuf,
}

impl Cache {
    /// Of `what`, as in `the control plane`, in the directory `name`.
    pub(crate) fn of(what: &'static str, name: &str) -> Result<Self> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let user = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .with_context(|| format!("no place for {what}: set HOME or XDG_CACHE_HOME"))?;
        let dir = user.join("shopify-token-operator").join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create the directory {}", dir.display()))?;
        Ok(Self { what, dir })
    }

    /// The directory of a version. When it isn't there yet, `make` makes it in the one that it is given, and says where there.
    pub(crate) async fn version(
        &self,
        key: &str,
        quiet: bool,
        make: impl AsyncFnOnce(&Path) -> Result<PathBuf>,
    ) -> Result<PathBuf> {
        let dir = self.dir.join(key);
        if dir.is_dir() {
            return Ok(dir);
        }
        let _lock = self.lock(quiet).await?;
        if !dir.is_dir() {
            // Beside it, and renamed, so that it exists only when complete.
            match fs::remove_dir_all(self.dir.join(UNFINISHED)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => result.context("cannot remove what was interrupted")?,
            }
            let work = tempfile::Builder::new().prefix(UNFINISHED).rand_bytes(0).tempdir_in(&self.dir)?;
            let complete = make(work.path()).await.with_context(|| format!("cannot make {}", self.what))?;
            fs::rename(complete, &dir)?;
        }
        Ok(dir)
    }

    /// One at a time; waits for the one under way.
    async fn lock(&self, quiet: bool) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut waiting = None;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    let title = || format!("Waiting for another process that makes {}", self.what);
                    waiting.get_or_insert_with(|| Progress::new(&title(), quiet));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }
}

/// Names a version by all that makes it.
pub(crate) fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let digest = parts.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize();
    hex::encode(&digest[..8])
}
