//! The temporary directory of one running cluster; what killed runs left is removed.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

const PREFIX: &str = "shopify-token-operator-cluster-";
/// Locked as long as the cluster's process lives.
const LOCK: &str = "lock";

/// A private directory, removed on drop.
#[derive(Debug)]
pub(crate) struct DataDir {
    // Dropped before the lock: no other run may remove the directory at the same time.
    dir: TempDir,
    _lock: File,
}

impl DataDir {
    /// Creates the directory, after removing those of runs that were killed.
    pub(crate) fn create() -> Result<Self> {
        let parent = env::temp_dir();
        remove_abandoned(&parent).with_context(|| format!("cannot look through {}", parent.display()))?;
        for _ in 0..10 {
            if let Some(dir) = Self::try_create(&parent)
                .with_context(|| format!("cannot create a directory in {}", parent.display()))?
            {
                return Ok(dir);
            }
        }
        bail!("other runs keep removing new directories in {}", parent.display())
    }

    /// `None` when another run took the directory for an abandoned one before it was locked.
    fn try_create(parent: &Path) -> io::Result<Option<Self>> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = match File::create(dir.path().join(LOCK)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            lock => lock?,
        };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            result => result?,
        }
        Ok((lock.metadata()?.nlink() > 0).then_some(Self { dir, _lock: lock }))
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes the directory; unlike drop, says when it can't.
    pub(crate) fn remove(self) -> Result<()> {
        let path = self.path().to_owned();
        self.dir.close().with_context(|| format!("cannot remove {}", path.display()))
    }
}

fn remove_abandoned(parent: &Path) -> io::Result<()> {
    let user = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() && metadata.uid() == user => {}
            Ok(_) => continue,
            // Another run has just removed its own.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        let path = entry.path();
        match File::open(path.join(LOCK)) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => remove(&path)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            },
            // Killed before it got that far, or a run that is just starting, which tries again.
            Err(error) if error.kind() == ErrorKind::NotFound => remove_empty(&path)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Only an empty directory: the run that is just starting may have locked it by now.
fn remove_empty(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => Ok(()),
        result => result,
    }
}

/// The children of a killed run may write for a moment longer.
fn remove(path: &Path) -> io::Result<()> {
    for _ in 0..20 {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_directories_are_removed_and_live_ones_kept() {
        let parent = tempfile::tempdir().unwrap();
        let live = DataDir::try_create(parent.path()).unwrap().unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}abandoned"));
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        fs::write(abandoned.join("etcd.log"), "").unwrap();
        let unrelated = parent.path().join("unrelated");
        fs::create_dir(&unrelated).unwrap();

        remove_abandoned(parent.path()).unwrap();

        assert!(live.path().is_dir());
        assert!(!abandoned.exists());
        assert!(unrelated.is_dir());
        live.remove().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
