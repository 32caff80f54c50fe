//! Where the control plane's binaries come from.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::go_build::{self, ASSETS_VARIABLE};

/// The programs that a cluster consists of, and kubectl.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The directory that holds them.
    pub dir: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// kube-controller-manager, which `setup-envtest` does not install.
    pub controller_manager: Option<PathBuf>,
    /// kubectl.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Those of `KUBEBUILDER_ASSETS` when it is set, else ours, built with Go at the first call.
    pub async fn locate(quiet: bool) -> Result<Self> {
        match env::var_os(ASSETS_VARIABLE) {
            Some(dir) if !dir.is_empty() => Self::in_dir(Path::new(&dir)),
            _ => Self::in_dir(&go_build::cached(quiet).await?),
        }
    }

    fn in_dir(dir: &Path) -> Result<Self> {
        let controller_manager = dir.join("kube-controller-manager");
        let binaries = Self {
            dir: dir.to_owned(),
            etcd: dir.join("etcd"),
            apiserver: dir.join("kube-apiserver"),
            controller_manager: controller_manager.is_file().then_some(controller_manager),
            kubectl: dir.join("kubectl"),
        };
        for required in [&binaries.etcd, &binaries.apiserver, &binaries.kubectl] {
            ensure!(
                required.is_file(),
                "{} is missing: unset {ASSETS_VARIABLE} to build the control plane with Go, or \
                 remove the directory to have it built again",
                required.display()
            );
        }
        Ok(binaries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn envtest_assets_have_no_controller_manager() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let binaries = Binaries::in_dir(dir.path()).unwrap();
        assert_eq!(binaries.controller_manager, None);
        assert_eq!(binaries.etcd, dir.path().join("etcd"));
    }

    #[test]
    fn a_missing_binary_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Binaries::in_dir(dir.path()).unwrap_err();
        assert!(error.to_string().contains("etcd is missing"), "{error}");
    }
}
