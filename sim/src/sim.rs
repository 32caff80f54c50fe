//! A running simulation: the platform and its https listener.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsConfig, from_tcp_rustls};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use crate::config::Config;
use crate::error::StartError;
use crate::gate::Gate;
use crate::shopify::Shopify;
use crate::{control, routes, tls};

/// A running simulation. Dropping it stops it. Everything about what is
/// simulated is at [`Shopify`], to which this dereferences.
#[derive(Debug)]
pub struct Sim {
    shopify: Shopify,
    address: SocketAddr,
    ca_pem: String,
    stopping: CancellationToken,
    handle: Handle<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Sim {
    /// Starts listening. Needs a Tokio runtime, which also must go on living.
    #[allow(clippy::unused_async, reason = "spawns, so it needs a runtime around it")]
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let identity = tls::identity()?;
        let shopify = Shopify::new(config)?;
        let stopping = CancellationToken::new();
        let gate = Gate {
            shopify: shopify.clone(),
            shops: routes::shops(shopify.clone()),
            control: control::routes(shopify.clone()),
            stopping: stopping.clone(),
        };
        let handle = Handle::new();
        let server = from_tcp_rustls(listener, RustlsConfig::from_config(identity.server))?
            .handle(handle.clone())
            .serve(service_fn(move |_client: SocketAddr| {
                let gate = gate.clone();
                let calls = service_fn(move |request| gate.clone().call(request));
                async move { Ok::<_, Infallible>(calls) }
            }));
        Ok(Self { shopify, address, ca_pem: identity.ca_pem, stopping, handle, server: tokio::spawn(server) })
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
        self.handle.shutdown();
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
