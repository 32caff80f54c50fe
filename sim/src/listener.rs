//! The https listener: one task for each connection, which a call on it can end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cut::Ending;
use crate::gate::Gate;

/// Serves until told to stop; then closes all connections and the port.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    gate: Gate,
    stopping: CancellationToken,
    accepted_so_far: Arc<AtomicU64>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = TaskTracker::new();
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                accepted_so_far.fetch_add(1, Ordering::Relaxed);
                let serving = connection(stream, acceptor.clone(), gate.clone());
                let serving = stopping.clone().run_until_cancelled_owned(async move {
                    if let Err(error) = serving.await {
                        tracing::debug!(%error, "a connection failed");
                    }
                });
                connections.spawn(serving);
            }
            // Out of file descriptors, most likely: others give theirs back.
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    gate: Gate,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    // To reach the socket while hyper has it.
    let socket = stream.as_fd().try_clone_to_owned()?;
    let stream = TokioIo::new(acceptor.accept(stream).await?);
    let (end, mut endings) = mpsc::unbounded_channel();
    let service = service_fn(|request| gate.clone().call(request, end.clone()));
    let builder = Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(stream, service);
    tokio::pin!(connection);
    loop {
        tokio::select! {
            served = connection.as_mut() => return served,
            Some(ending) = endings.recv() => match ending {
                Ending::GoAway => connection.as_mut().graceful_shutdown(),
                Ending::Reset => return Ok(reset_on_close(&socket)?),
            },
        }
    }
}

/// The close that follows is a reset.
fn reset_on_close(socket: &OwnedFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}
