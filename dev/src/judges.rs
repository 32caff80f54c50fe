//! Programs of others that judge what is deployed: helm, kubeconform, Prometheus, promtool and the schema of
//! Grafana, built once with Go as the control plane is.

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
    /// Prometheus, without the pages that a person looks at.
    pub prometheus: PathBuf,
    /// promtool.
    pub promtool: PathBuf,
    /// Says whether a file is a dashboard of Grafana's.
    pub grafana: PathBuf,
    /// Definitions of kinds of others that the manifests use: a file each, the Gateway API's `HTTPRoute` and
    /// prometheus-operator's `ServiceMonitor` and `PrometheusRule`.
    pub definitions: Vec<PathBuf>,
}

const HTTP_ROUTE: &str = "gateway.networking.k8s.io_httproutes.yaml";
const SERVICE_MONITOR: &str = "monitoring.coreos.com_servicemonitors.yaml";
const PROMETHEUS_RULE: &str = "monitoring.coreos.com_prometheusrules.yaml";

impl Judges {
    /// Built with Go at the first call.
    pub async fn locate(quiet: bool) -> Result<Self> {
        let dir = go_build::cached(&module(), quiet).await?;
        let prometheus = go_build::cached(&prometheus(), quiet).await?;
        Ok(Self {
            promtool: prometheus.join("promtool"),
            prometheus: prometheus.join("prometheus"),
            grafana: go_build::cached(&grafana(), quiet).await?.join("grafana"),
            helm: dir.join("helm"),
            kubeconform: dir.join("kubeconform"),
            definitions: [HTTP_ROUTE, SERVICE_MONITOR, PROMETHEUS_RULE].map(|name| dir.join(name)).into(),
            dir,
        })
    }
}

fn prometheus() -> GoModule {
    GoModule {
        what: "the judges of alerts and dashboard",
        programs: "Prometheus and promtool",
        cache: "prometheus",
        instead: "",
        go_mod: include_str!("../prometheus/go.mod"),
        go_sum: include_str!("../prometheus/go.sum"),
        sources: &[],
        packages: &["github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"],
        // Without the clouds' libraries, by which Prometheus discovers what it scrapes.
        tags: "remove_all_sd",
        linker_flags: String::new(),
        renamed: &[],
        files: &[],
    }
}

fn grafana() -> GoModule {
    GoModule {
        what: "the judge of the dashboard's form",
        programs: "the schema of Grafana",
        cache: "grafana",
        instead: "",
        go_mod: include_str!("../grafana/go.mod"),
        go_sum: include_str!("../grafana/go.sum"),
        sources: &[("main.go", include_str!("../grafana/main.go"))],
        packages: &["."],
        tags: "",
        linker_flags: String::new(),
        renamed: &[],
        files: &[],
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
        sources: &[],
        packages: &["helm.sh/helm/v4/cmd/helm", "github.com/yannh/kubeconform/cmd/kubeconform"],
        tags: "",
        linker_flags: String::new(),
        renamed: &[],
        files: &[
            ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
            (
                "github.com/prometheus-operator/prometheus-operator",
                "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            ),
            (
                "github.com/prometheus-operator/prometheus-operator",
                "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
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
