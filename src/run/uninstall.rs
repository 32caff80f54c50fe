//! `uninstall`: alone on the cluster, and nobody starts again right afterwards.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::sleep;

use super::shopify_client;
use crate::{
    cli::UninstallOptions, clock::Clock, controller, kubernetes, lease::Candidate, metrics::Metrics, proxy::Proxies,
};

/// How long nobody works after an uninstallation: the time to delete the operator.
const AFTERWARDS: Duration = Duration::from_mins(5);

/// Uninstalls, holding the operator's lease: one that runs stops, and waits for minutes before it starts again.
///
/// # Errors
/// Of Kubernetes, and when an operator runs that can't be stopped.
pub async fn uninstall(options: &UninstallOptions) -> anyhow::Result<controller::Uninstalled> {
    let proxies = Proxies::from_env()?;
    let config = kubernetes::config(&kubernetes::Choice::default(), &proxies).context("no cluster to work with")?;
    let namespace = options.lease.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let metrics = Arc::new(Metrics::new());
    let client = kubernetes::client(config, metrics.clone())?;
    let setup = controller::Setup {
        client: client.clone(),
        shopify: Arc::new(shopify_client(&options.shopify, proxies, &metrics)?),
        clock: Clock::system(),
        metrics,
        watches: Arc::default(),
        namespaces: options.watch_namespaces.0.clone(),
        selector: None,
        concurrency: 16,
        revocation_timeout: options.timeout,
        public_url: None,
    };
    if !options.lease.leader_elect {
        return controller::uninstall(setup).await;
    }
    let candidate = Candidate::new(client, &namespace, &options.lease.lease_name, Clock::system());
    alone(candidate, Box::pin(controller::uninstall(setup))).await
}

/// Does `work` while holding the lease, and keeps others from it for a while afterwards.
async fn alone<T>(mut candidate: Candidate, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let stops_within = candidate.take_over().await.context(
        "the operator's lease can't be had: scale its Deployment to zero, then run uninstall again (with --leader-elect=false where there is no lease)",
    )?;
    let done = tokio::select! {
        done = async { sleep(stops_within).await; work.await } => done,
        lost = candidate.keep() => Err(lost.into()),
    };
    let ended = match &done {
        Ok(_) => candidate.leave_for(AFTERWARDS).await,
        Err(_) => candidate.release().await,
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the lease ends by itself");
    }
    done
}
