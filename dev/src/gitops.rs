//! What GitOps tools say of objects in files, by a program that is built with Go once, as the control plane is: kstatus, Argo CD's
//! scripts and Flux' expressions, those of `deploy/gitops`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::go_build::{self, GoModule};
use crate::repository;

/// The program.
#[derive(Clone, Debug)]
pub struct GitOps {
    program: PathBuf,
}

/// What a tool says of an object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Verdict {
    /// In the tool's own words.
    pub status: String,
    /// Why.
    #[serde(default)]
    pub message: String,
}

/// An action that Argo CD offers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// Whether it can't be chosen now.
    #[serde(default)]
    pub disabled: bool,
    /// Its icon.
    #[serde(default)]
    pub icon_class: String,
}

impl GitOps {
    /// Built with Go at the first call.
    pub async fn locate(quiet: bool) -> Result<Self> {
        Ok(Self { program: go_build::cached(&module(), quiet).await?.join("gitops") })
    }

    /// Argo CD's scripts, in the layout of its repository.
    #[must_use]
    pub fn customizations() -> PathBuf {
        repository("deploy/gitops/argocd/resource_customizations")
    }

    /// Flux' Kustomizations.
    #[must_use]
    pub fn kustomizations() -> PathBuf {
        repository("deploy/gitops/flux/tokens.yaml")
    }

    /// What kstatus says of the objects in these files, with which `flux` and `helm` wait.
    pub fn kstatus(&self, files: &[PathBuf]) -> Result<Vec<Verdict>> {
        self.said(&["kstatus".as_ref()], files)
    }

    /// What Flux makes of them with the expressions of a Kustomization.
    pub fn flux(&self, kustomization: &Path, files: &[PathBuf]) -> Result<Vec<Verdict>> {
        self.said(&["flux".as_ref(), kustomization.as_ref()], files)
    }

    /// Their health by Argo CD.
    pub fn health(&self, customizations: &Path, files: &[PathBuf]) -> Result<Vec<Verdict>> {
        self.said(&["health".as_ref(), customizations.as_ref()], files)
    }

    /// The actions that Argo CD offers for each.
    pub fn actions(&self, customizations: &Path, files: &[PathBuf]) -> Result<Vec<Vec<Offer>>> {
        self.said(&["actions".as_ref(), customizations.as_ref()], files)
    }

    /// What an action of Argo CD's makes of an object, and the merge patch that it sends for it.
    pub fn act(&self, customizations: &Path, action: &str, file: &Path) -> Result<(Value, Value)> {
        #[derive(Deserialize)]
        struct Acted {
            object: Value,
            patch: Value,
        }
        let words = ["act".as_ref(), customizations.as_os_str(), action.as_ref()];
        let acted: Vec<Acted> = self.said(&words, &[file.to_owned()])?;
        let acted = acted.into_iter().next().context("nothing was said")?;
        Ok((acted.object, acted.patch))
    }

    fn said<T: DeserializeOwned>(&self, words: &[&OsStr], files: &[PathBuf]) -> Result<Vec<T>> {
        let output = Command::new(&self.program).args(words).args(files).output().context("cannot run the judge")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Result<Vec<T>, _> = serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect();
        let said = said?;
        ensure!(said.len() == files.len(), "of {} files it says {}", files.len(), said.len());
        Ok(said)
    }
}

fn module() -> GoModule {
    GoModule {
        what: "the judge of GitOps",
        programs: "kstatus, and what runs Argo CD's scripts and Flux' expressions",
        cache: "gitops",
        instead: "",
        go_mod: include_str!("../gitops/go.mod"),
        go_sum: include_str!("../gitops/go.sum"),
        sources: &[
            ("main.go", include_str!("../gitops/main.go")),
            ("argocd.go", include_str!("../gitops/argocd.go")),
            ("flux.go", include_str!("../gitops/flux.go")),
        ],
        packages: &["."],
        tags: "",
        linker_flags: String::new(),
        renamed: &[],
        files: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_of_the_release_that_the_control_plane_is_of() {
        let control_plane = include_str!("../control-plane/go.mod");
        let ours = module().pinned("k8s.io/apimachinery").unwrap();
        assert!(control_plane.contains(&format!("k8s.io/apimachinery {ours}")), "{ours}");
    }
}
