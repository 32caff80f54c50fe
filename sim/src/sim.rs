//! A running simulation: the platform and its https listener.

use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::StartError;
use crate::gate::Gate;
use crate::shopify::Shopify;
use crate::{control, listener, routes, tls};

/// A running simulation. Dropping it stops it. Everything about what is
/// simulated is at [`Shopify`], to which this dereferences.
#[derive(Debug)]
pub struct Sim {
    shopify: Shopify,
    address: SocketAddr,
    ca_pem: String,
    stopping: CancellationToken,
    connections: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Sim {
    /// Starts listening. Needs a Tokio runtime, which also must go on living.
    #[allow(clippy::unused_async, reason = "spawns, so it needs a runtime around it")]
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let domains = config.shops.iter().flat_map(|shop| [&shop.primary_domain, &shop.account_domain]);
        let identity = tls::identity(domains.flatten().cloned())?;
        let shopify = Shopify::new(config)?;
        let stopping = CancellationToken::new();
        let gate = Gate {
            shopify: shopify.clone(),
            shops: routes::shops(shopify.clone()),
            control: control::routes(shopify.clone()),
            stopping: stopping.clone(),
        };
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let connections = Arc::default();
        let server = listener::serve(listener, identity.server, gate, stopping.clone(), Arc::clone(&connections));
        Ok(Self { shopify, address, ca_pem: identity.ca_pem, stopping, connections, server: tokio::spawn(server) })
    }

    /// Where it listens: what every name must resolve to, port included.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate authority to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The platform, to keep beyond a borrow of the simulation.
    #[must_use]
    pub fn shopify(&self) -> &Shopify {
        &self.shopify
    }

    /// Closes all connections and waits for the listener to end.
    pub async fn stop(mut self) {
        self.shut_down();
        if let Err(error) = (&mut self.server).await {
            tracing::error!(%error, "the listener failed");
        }
    }

    fn shut_down(&self) {
        self.stopping.cancel();
    }
}

impl Deref for Sim {
    type Target = Shopify;

    fn deref(&self) -> &Shopify {
        &self.shopify
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shut_down();
    }
}
