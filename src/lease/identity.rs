//! Who a candidate is: its host, and what makes its process unique.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The host in an identity.
pub(super) fn host(identity: &str) -> &str {
    identity.rsplit_once('_').map_or(identity, |(host, _)| host)
}

/// The host's name, which tells people who holds the lease, and what makes this process unique.
pub(super) fn identity() -> String {
    let host = hostname::get().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned());
    // Its keys are drawn from the operating system's randomness.
    let unique = RandomState::new().build_hasher().finish();
    format!("{host}_{unique:016x}")
}
