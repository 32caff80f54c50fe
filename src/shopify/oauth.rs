//! The token endpoint.

mod client_credentials;
mod refusal;
