//! Where the control plane's binaries come from.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::go_build::{self, GoModule};

/// In place of a build: points at a directory with etcd, kube-apiserver and kubectl, as `setup-envtest` installs them.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

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
            _ => Self::in_dir(&go_build::cached(&module()?, quiet).await?),
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

fn module() -> Result<GoModule> {
    let mut module = GoModule {
        what: "the control plane",
        programs: "etcd, kube-apiserver, kube-controller-manager and kubectl",
        cache: "control-plane",
        instead: ", or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl",
        go_mod: include_str!("../control-plane/go.mod"),
        go_sum: include_str!("../control-plane/go.sum"),
        sources: &[],
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kubectl",
            "go.etcd.io/etcd/server/v3",
        ],
        tags: "",
        linker_flags: String::new(),
        renamed: &[("server", "etcd")],
        files: &[],
    };
    module.linker_flags = version_flags(module.pinned("k8s.io/kubernetes")?)?;
    Ok(module)
}

/// Without them the server would call itself v0.0.0.
fn version_flags(version: &str) -> Result<String> {
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("{version} is no version");
    };
    let variables = [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)];
    Ok(variables.map(|(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}")).concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_version_comes_from_go_mod() {
        let module = module().unwrap();
        assert_eq!(module.pinned("go").unwrap(), "1.26.0");
        let flags = module.linker_flags;
        assert!(flags.contains("gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("gitMajor=1"), "{flags}");
        assert!(flags.ends_with("gitMinor=36"), "{flags}");
    }

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
