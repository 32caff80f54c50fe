//! The decisions, all of them pure: no async, no client, no clock. `now` is an argument.

pub mod backoff;
pub mod credential;
pub mod failure;
pub mod marker;
pub mod renewal;
pub mod scopes;
pub mod vocabulary;

/// Time inside the operator: UTC. Kubernetes' own time types are converted at the boundary.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
