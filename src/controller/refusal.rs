//! Writes that the API server refuses: an outcome with a reason, where trying again at once helps nobody.

use std::fmt;

use super::{
    context::Context,
    error::{Error, FORBIDDEN, POLICY, Stop, WEBHOOK, is_denial},
};
use crate::core::{failure::Failure, vocabulary::Reason};

/// From this one in a row on, what may pass by itself counts: an API server that was just started forbids everything
/// for a moment, and a busy one answers 5xx.
const STAYS: u32 = 3;

/// Why the API server refuses a write. Never in its own words, which may quote the object: a fixed text, the code, and
/// the name of who denies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    cause: Cause,
    code: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Cause {
    Quota,
    Terminating,
    Unfit,
    /// An admission webhook, by its name.
    Webhook(String),
    /// An admission webhook that doesn't answer, by its name.
    BrokenWebhook(String),
    /// A policy (`ValidatingAdmissionPolicy`), by its name.
    Policy(String),
    /// Denied, nobody says by whom.
    Denied,
    /// RBAC, or whatever else authorizes.
    Forbidden,
    /// A fault of the API server.
    Broken,
}

impl Refusal {
    /// The refusal in an error, if it is one: 401, 404, 409, 410, 429 and what never arrived are none, unless a webhook or a
    /// policy says them. These choose their codes.
    #[must_use]
    fn of(error: &kube::Error) -> Option<Self> {
        let kube::Error::Api(status) = error else { return None };
        let (code, message) = (status.code, status.message.as_str());
        let cause = match code {
            400..=499 if is_denial(message) => denied(message).unwrap_or(Cause::Denied),
            401 | 404 | 409 | 410 | 429 => return None,
            413 | 422 => Cause::Unfit,
            400..=499 => denied(message).unwrap_or(if code == 403 { Cause::Forbidden } else { Cause::Denied }),
            500..=599 => name(message, "Internal error occurred: failed calling webhook \"", '"')
                .map_or(Cause::Broken, Cause::BrokenWebhook),
            _ => return None,
        };
        Some(Self { cause, code })
    }

    /// The failure. `what` it was that is refused.
    #[must_use]
    pub(super) fn failure(&self, what: &str) -> Failure {
        Failure::new(Reason::WriteRefused, format!("the API server refuses {what}: {self}"))
    }

    /// Whether it may pass by itself.
    const fn may_pass(&self) -> bool {
        matches!(self.cause, Cause::Forbidden | Cause::Broken)
    }
}

/// The row of a part of an object, by UID: its steps succeed while this alone is refused.
#[must_use]
pub(super) fn part(uid: &str, part: &str) -> String {
    format!("{uid}/{part}")
}

fn denied(message: &str) -> Option<Cause> {
    // A webhook's own words come after its name: nothing in them is read.
    if message.starts_with(WEBHOOK) {
        return name(message, WEBHOOK, '"').map(Cause::Webhook);
    }
    let (_, why) = message.split_once(FORBIDDEN)?;
    let policy = name(why, POLICY, '\'').map(Cause::Policy);
    let quota = why.starts_with("exceeded quota").then_some(Cause::Quota);
    let terminating = why.ends_with("because it is being terminated").then_some(Cause::Terminating);
    policy.or(quota).or(terminating)
}

/// The name between a fixed beginning and its closing quote, if it looks like one of a Kubernetes object.
fn name(message: &str, beginning: &str, quote: char) -> Option<String> {
    let (name, _) = message.strip_prefix(beginning)?.split_once(quote)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (name.len() <= 253 && name.chars().all(fits)).then(|| name.to_owned())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AUDIT: &str = "its reason is in the API server's audit log";
        match &self.cause {
            Cause::Quota => f.write_str("exceeded quota: the namespace may hold no further one")?,
            Cause::Terminating => f.write_str("the namespace is being terminated")?,
            Cause::Unfit => f.write_str("it is too large, or a key, label or annotation of it isn't valid")?,
            Cause::Webhook(name) => write!(f, "admission webhook {name:?} denies it; {AUDIT}")?,
            Cause::BrokenWebhook(name) => {
                write!(
                    f,
                    "admission webhook {name:?} doesn't answer as it should; see the API server's log, and the webhook's configuration"
                )?;
            }
            Cause::Policy(name) => write!(f, "ValidatingAdmissionPolicy {name:?} denies it; {AUDIT}")?,
            Cause::Denied => write!(f, "an admission plugin or webhook denies it; {AUDIT}")?,
            Cause::Forbidden => {
                write!(f, "an admission plugin or the operator's role (RBAC) forbids it; {AUDIT}")?;
            }
            Cause::Broken => f.write_str("a fault of the API server that stays; see its log")?,
        }
        write!(f, " ({})", self.code)
    }
}

impl Context {
    /// The refusal in a failed write of the object with this UID, or of a part of it, if it is one that stays.
    #[must_use]
    pub(super) fn refusal(&self, uid: &str, error: &kube::Error) -> Option<Refusal> {
        let refusal = Refusal::of(error)?;
        let count = self.refused.change(uid.to_owned(), |count| {
            *count = count.saturating_add(1);
            *count
        });
        (!refusal.may_pass() || count >= STAYS).then_some(refusal)
    }

    /// The object with this UID is gone.
    pub(super) fn forget_refusals(&self, uid: &str) {
        self.refused.retain(|row, _| row.split('/').next() != Some(uid));
        self.status_refused.remove(&uid.to_owned());
    }

    /// What a failed write is to the object with this UID: a failure to report where the API server refuses it, else
    /// an error to try again. `what` was to be written.
    #[must_use]
    pub(super) fn unwritten(&self, uid: &str, what: &str, error: kube::Error) -> Stop {
        match self.refusal(uid, &error) {
            Some(refusal) => Stop::Failure(refusal.failure(what)),
            None => Stop::Kubernetes(Error::from(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, message: &str) -> kube::Error {
        let status = kube::core::Status { code, message: message.into(), ..kube::core::Status::default() };
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn a_refusal_names_who_denies_and_never_what_they_say() {
        for (code, message, says) in [
            (
                400,
                "admission webhook \"no.example.com\" denied the request: shpat_canary",
                "admission webhook \"no.example.com\" denies it",
            ),
            (
                403,
                "admission webhook \"no.example.com\" denied the request: x is forbidden: exceeded quota",
                "admission webhook \"no.example.com\" denies it",
            ),
            (
                403,
                "secrets \"web\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'b' denied request: shpat_canary",
                "ValidatingAdmissionPolicy \"freeze\" denies it",
            ),
            (403, "secrets \"web\" is forbidden: exceeded quota: full, requested: secrets=1", "exceeded quota"),
            (
                403,
                "secrets \"web\" is forbidden: unable to create new content in namespace x because it is being terminated",
                "being terminated",
            ),
            (
                403,
                "secrets \"web\" is forbidden: User \"operator\" cannot create resource \"secrets\" in shpat_canary",
                "RBAC",
            ),
            (
                403,
                "admission webhook \"shpat_canary Z\" denied the request",
                "an admission plugin or webhook denies it",
            ),
            (
                401,
                "admission webhook \"no.example.com\" denied the request: shpat_canary",
                "admission webhook \"no.example.com\" denies it",
            ),
            (
                409,
                "admission webhook \"no.example.com\" denied the request: shpat_canary",
                "admission webhook \"no.example.com\" denies it",
            ),
            (
                422,
                "secrets \"web\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'b' denied request: shpat_canary",
                "ValidatingAdmissionPolicy \"freeze\" denies it",
            ),
            (
                401,
                "secrets \"web\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'b' denied request: shpat_canary",
                "ValidatingAdmissionPolicy \"freeze\" denies it",
            ),
            (418, "shpat_canary", "an admission plugin or webhook denies it"),
            (422, "data[shpat_canary]: Invalid value", "isn't valid"),
            (
                500,
                "Internal error occurred: failed calling webhook \"no.example.com\": failed to call webhook: shpat_canary",
                "admission webhook \"no.example.com\" doesn't answer",
            ),
            (503, "shpat_canary", "a fault of the API server that stays"),
        ] {
            let refusal = Refusal::of(&error(code, message)).unwrap();
            let text = refusal.failure("Secret \"web\"").message;
            assert!(text.contains(says) && !text.contains("canary") && text.contains(&code.to_string()), "{text}");
            assert_eq!(refusal.may_pass(), code == 503 || says == "RBAC", "{message}");
        }
        for code in [401, 404, 409, 410, 429] {
            assert_eq!(Refusal::of(&error(code, "secrets \"web\": the object has been modified")), None);
        }
    }
}
