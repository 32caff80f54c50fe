//! What ends a reconcile early: Kubernetes, a time limit, a panic, an object beyond reading.

use std::time::Duration;

use kube::core::Status;
use thiserror::Error;

use crate::core::{failure::Failure, vocabulary::labels::Reconciled};

/// Kubernetes' own reasons (`metav1.StatusReason`).
const REASONS: [&str; 19] = [
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Gone",
    "Invalid",
    "ServerTimeout",
    "StoreReadError",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "InternalError",
    "Expired",
    "ServiceUnavailable",
];

// How the API server begins what it says of a denial, whatever its code.
pub(super) const WEBHOOK: &str = "admission webhook \"";
pub(super) const FORBIDDEN: &str = " is forbidden: ";
pub(super) const POLICY: &str = "ValidatingAdmissionPolicy '";

/// What ends a reconcile early. What Shopify refuses is an outcome, not an error.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused, or didn't answer. No source of this error: whoever tells those too would tell its words.
    #[error("Kubernetes: {}", told(.0))]
    Kube(Box<kube::Error>),
    /// The object doesn't fit its type.
    #[error("the object can't be read: {0}")]
    Invalid(String),
    /// The reconcile took too long.
    #[error("the reconcile took longer than {0:?}")]
    TimedOut(Duration),
    /// The reconcile panicked.
    #[error("the reconcile panicked")]
    Panicked,
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

impl Error {
    /// Label of `controller_reconciles_total`.
    #[must_use]
    pub const fn result(&self) -> Reconciled {
        match self {
            Self::Kube(_) => Reconciled::KubernetesError,
            Self::Invalid(_) => Reconciled::InvalidObject,
            Self::TimedOut(_) => Reconciled::Timeout,
            Self::Panicked => Reconciled::Panic,
        }
    }

    /// When to try again after the `count`-th error in a row (1 is the first): twice as long each time, up to 8 seconds (what waits goes on soon after),
    /// 5 seconds where another's write came first; `None` to wait for a change. Spread by `share` in `0.0..1.0`.
    #[must_use]
    pub fn retry_after(&self, count: u32, share: f64) -> Option<Duration> {
        let (first, longest) = match self {
            Self::Kube(_) if self.is_conflict() => (0.05, 5.0),
            Self::Kube(_) => (2.0, 8.0),
            Self::Invalid(_) => return None,
            Self::TimedOut(_) => (10.0, 300.0),
            Self::Panicked => (300.0, 300.0),
        };
        let doublings = i32::try_from(count.clamp(1, 16)).unwrap_or(1) - 1;
        Some(Duration::from_secs_f64((first * 2f64.powi(doublings)).min(longest) * (1.0 + share)))
    }

    /// Whether somebody else's write came first.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let Self::Kube(error) = self else { return false };
        matches!(&**error, kube::Error::Api(status) if status.code == 409)
    }
}

/// What ends a step half-way: Kubernetes, or a failure that the status can tell.
#[derive(Debug)]
pub enum Stop {
    /// The reconcile ends early.
    Kubernetes(Error),
    /// An outcome of the reconcile.
    Failure(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Kubernetes(error)
    }
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(error.into())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Stop {
    /// The failure.
    ///
    /// # Errors
    /// If it is one of Kubernetes.
    pub fn failure(self) -> Result<Failure, Error> {
        match self {
            Self::Failure(failure) => Ok(failure),
            Self::Kubernetes(error) => Err(error),
        }
    }
}

/// The same failure once more, for another one that waited for the same answer.
pub(super) fn again(error: &kube::Error) -> kube::Error {
    match error {
        kube::Error::Api(status) => kube::Error::Api(status.clone()),
        other => kube::Error::Service(told(other).into()),
    }
}

/// What kind of failure it is. Never the API server's own words: an admission webhook's may quote a Secret.
pub(super) fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => answered(status),
        // Quotes what it can't read.
        kube::Error::SerdeError(_) => "the API server's answer can't be read".to_owned(),
        other => other.to_string(),
    }
}

/// An answer by its code, and its reason where that is one of Kubernetes' own words: a webhook may put its own there.
pub(super) fn answered(status: &Status) -> String {
    if REASONS.contains(&status.reason.as_str()) {
        format!("the API server answered {} ({})", status.code, status.reason)
    } else {
        format!("the API server answered {}", status.code)
    }
}

/// Whether a webhook or a policy has denied a write, with whatever code: then that says nothing of the object.
pub(super) fn is_denial(message: &str) -> bool {
    message.starts_with(WEBHOOK) || message.split_once(FORBIDDEN).is_some_and(|(_, why)| why.starts_with(POLICY))
}

/// Turns "not found" into `None`: by its code, for where a whole kind isn't served the answer is plain text without a
/// reason.
///
/// # Errors
/// Every other error.
pub fn found<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 && !is_denial(&status.message) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it is a want of rights.
pub(super) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str, message: &str) -> Error {
        let status = kube::core::Status {
            code,
            reason: reason.into(),
            message: message.into(),
            ..kube::core::Status::default()
        };
        kube::Error::Api(Box::new(status)).into()
    }

    #[test]
    fn errors_in_a_row_wait_longer() {
        let waits = |error: &Error| {
            let of = |count| error.retry_after(count, 0.0).map(|wait| wait.as_millis());
            [1, 2, 5, 9, 100].map(|count| of(count).unwrap())
        };
        assert_eq!(waits(&api(500, "InternalError", "x")), [2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!(waits(&api(409, "Conflict", "x")), [50, 100, 800, 5_000, 5_000]);
        assert_eq!(waits(&Error::Panicked), [300_000; 5]);
        assert_eq!(Error::Invalid(String::new()).retry_after(1, 0.0), None);
    }

    #[test]
    fn codes_count_whatever_the_reason() {
        for reason in ["", "NotFound", "Failed to parse error data"] {
            let Error::Kube(error) = api(404, reason, "404 page not found") else { panic!("not of Kubernetes") };
            assert!(matches!(found::<()>(Err(*error)), Ok(None)), "{reason}");
        }
        assert!(api(409, "", "").is_conflict() && api(409, "AlreadyExists", "").is_conflict());
    }

    #[test]
    fn who_denies_says_nothing_of_the_object() {
        let denied = "admission webhook \"no.example.com\" denied the request: not found";
        for (message, there) in [(denied, true), ("secrets \"web\" not found", false)] {
            let Error::Kube(error) = api(404, "NotFound", message) else { panic!("not of Kubernetes") };
            assert_eq!(found::<()>(Err(*error)).is_err(), there, "{message}");
        }
    }

    #[test]
    fn what_the_api_server_says_is_never_told() {
        let error = api(401, "shpat_canary is in it", "x");
        assert_eq!(error.to_string(), "Kubernetes: the API server answered 401", "a webhook's own reason");
        let error = api(400, "BadRequest", "admission webhook \"x\" denied the request: data.access_token is canary");
        assert_eq!(error.to_string(), "Kubernetes: the API server answered 400 (BadRequest)");
        assert!(!format!("{:#}", anyhow::Error::from(error)).contains("canary"), "nor by its sources");
        let unread = serde_json::from_str::<u8>("\"canary\"").unwrap_err();
        let error = Error::from(kube::Error::SerdeError(unread));
        assert_eq!(error.to_string(), "Kubernetes: the API server's answer can't be read");
    }
}
