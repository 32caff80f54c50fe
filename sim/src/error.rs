//! What can go wrong when starting or steering a simulation.

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration: {0}")]
    Read(#[from] std::io::Error),
    /// Not the YAML expected.
    #[error("can't parse the configuration: {0}")]
    Parse(#[from] serde_saphyr::Error),
}

/// The simulation could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The canary has characters that no token has.
    #[error("the canary must be 1 to 24 ASCII letters and digits")]
    Canary,
    /// No API version to serve.
    #[error("api_versions is empty")]
    NoApiVersion,
    /// The certificates could not be made.
    #[error("can't make the certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificates could not be used.
    #[error("can't set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The address could not be bound.
    #[error("can't listen: {0}")]
    Listen(#[from] std::io::Error),
}

/// A name that the simulation doesn't know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// No such shop.
    #[error("no shop {0}")]
    Shop(String),
    /// No such app.
    #[error("no app {0}")]
    App(String),
    /// The app isn't installed there.
    #[error("app {client_id} is not installed on {shop}")]
    Installation {
        /// The shop's domain.
        shop: String,
        /// The app's client id.
        client_id: String,
    },
    /// The app has no such secret.
    #[error("app {0} has no such secret")]
    Secret(String),
    /// No such token.
    #[error("no such token")]
    Token,
}
