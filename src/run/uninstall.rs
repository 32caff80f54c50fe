//! `uninstall`: alone on the cluster, and nobody starts again right afterwards.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures::future::{join_all, select_all};
use tokio::time::sleep;

use super::shopify_client;
use crate::{
    cli::UninstallOptions, clock::Clock, controller, kubernetes, lease::Candidate, metrics::Metrics, proxy::Proxies,
};

/// How long nobody works after an uninstallation: the time to delete the operator.
const AFTERWARDS: Duration = Duration::from_mins(5);
/// Objects at a time, as the operator has by default.
const CONCURRENCY: u16 = 16;

/// Uninstalls, holding the leases of every instance: one that runs stops, and waits for minutes before it starts again.
///
/// # Errors
/// Of Kubernetes, and when an operator runs that can't be stopped.
pub async fn uninstall(options: &UninstallOptions) -> anyhow::Result<controller::Uninstalled> {
    let proxies = Proxies::from_env()?;
    let config = kubernetes::config(&kubernetes::Choice::default(), &proxies).context("no cluster to work with")?;
    let namespace = options.lease.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let metrics = Arc::new(Metrics::new());
    let client = kubernetes::client(config, metrics.clone(), CONCURRENCY)?;
    let setup = controller::Setup {
        client: client.clone(),
        shopify: Arc::new(shopify_client(&options.shopify, proxies, &metrics)?),
        clock: Clock::system(),
        metrics,
        watches: Arc::default(),
        namespaces: options.watch_namespaces.0.clone(),
        selector: None,
        concurrency: CONCURRENCY,
        revocation_timeout: options.timeout,
        public_url: None,
    };
    if !options.lease.leader_elect {
        return controller::uninstall(setup).await;
    }
    let names = [&options.lease.lease_name].into_iter().chain(&options.further_leases.0);
    let candidates = names.map(|name| Candidate::new(client.clone(), &namespace, name, Clock::system())).collect();
    alone(candidates, Box::pin(controller::uninstall(setup))).await
}

/// Does `work` while holding every lease, and keeps others from them for a while afterwards.
async fn alone<T>(mut candidates: Vec<Candidate>, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // At the same time: none runs out while another is waited for.
    let taken: Result<Vec<Duration>, _> =
        join_all(candidates.iter_mut().map(Candidate::take_over)).await.into_iter().collect();
    let done = match taken.context(
        "the operator's lease can't be had: scale its Deployment to zero, then run uninstall again (with --leader-elect=false where there is no lease)",
    ) {
        Ok(waits) => {
            let stops_within = waits.into_iter().max().unwrap_or_default();
            let kept = select_all(candidates.iter_mut().map(|candidate| Box::pin(candidate.keep())));
            tokio::select! {
                done = async { sleep(stops_within).await; work.await } => done,
                (lost, ..) = kept => Err(lost.into()),
            }
        }
        Err(error) => Err(error),
    };
    for candidate in &mut candidates {
        let ended = match &done {
            Ok(_) => candidate.leave_for(AFTERWARDS).await,
            Err(_) => candidate.release().await,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "the lease ends by itself");
        }
    }
    done
}
