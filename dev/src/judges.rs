//! Programs of others that judge what is deployed: helm and kubeconform, built once with Go as the control plane is.

use std::path::PathBuf;

use anyhow::Result;

use crate::go_build::{self, GoModule};

/// Where the judges are.
#[derive(Clone, Debug)]
pub struct Judges {
    /// The directory that holds them.
    pub dir: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// kubeconform.
    pub kubeconform: PathBuf,
    /// Definitions of kinds of others that the manifests use: a file each, the Gateway API's `HTTPRoute` and
    /// prometheus-operator's `ServiceMonitor`.
    pub definitions: Vec<PathBuf>,
}

const HTTP_ROUTE: &str = "gateway.networking.k8s.io_httproutes.yaml";
const SERVICE_MONITOR: &str = "monitoring.coreos.com_servicemonitors.yaml";

impl Judges {
    /// Built with Go at the first call.
    pub async fn locate(quiet: bool) -> Result<Self> {
        let dir = go_build::cached(&module(), quiet).await?;
        Ok(Self {
            helm: dir.join("helm"),
            kubeconform: dir.join("kubeconform"),
            definitions: [HTTP_ROUTE, SERVICE_MONITOR].map(|name| dir.join(name)).into(),
            dir,
        })
    }
}

fn module() -> GoModule {
    GoModule {
        what: "the judges of the chart",
        programs: "helm and kubeconform",
        cache: "judges",
        instead: "",
        go_mod: include_str!("../judges/go.mod"),
        go_sum: include_str!("../judges/go.sum"),
        packages: &["helm.sh/helm/v4/cmd/helm", "github.com/yannh/kubeconform/cmd/kubeconform"],
        linker_flags: String::new(),
        renamed: &[],
        files: &[
            ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
            (
                "github.com/prometheus-operator/prometheus-operator",
                "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_of_the_release_that_the_control_plane_is_of() {
        let control_plane = include_str!("../control-plane/go.mod");
        let client = module().pinned("k8s.io/client-go").unwrap();
        assert!(control_plane.contains(&format!("k8s.io/client-go {client}\n")), "{client}");
    }
}
