//! Status: a projection of what was observed and done, for people and pipelines.

mod safe;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

pub use self::safe::not_yet_safe;
use super::{
    bounded,
    condition::{find, foreign, obstacle, obstacle_of},
    grace,
    hold::Hold,
    record::Record,
    renewal::renewal_of,
    source::nature,
    vocabulary::{Class, REQUESTED_AT, Reason, conditions},
};
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus, SourceKind, TokenSecretStatus, status::PreviousToken},
    time::{self, Timestamp},
};

/// What a status is projected from.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The object, with its status as last seen.
    pub token: &'a ShopifyToken,
    /// Kind of its source.
    pub kind: SourceKind,
    /// What our Secret says now.
    pub record: Option<&'a Record>,
    /// Whether the credential in it is the one that was published.
    pub intact: bool,
    /// What stands in the way.
    pub hold: Option<&'a Hold>,
    /// What else a person should know of it, if anything.
    pub remark: Option<String>,
    /// Where the merchant approves what has to be approved.
    pub install_url: Option<&'a str>,
    /// What Shopify said of the credential just now.
    pub validity: Validity,
    /// What became of the attempts.
    pub attempts: Attempts,
    /// Whether what a request asks for was done or tried: not while nothing is done at all, nor while a verification waits for
    /// a shop that doesn't answer.
    pub handled: bool,
    /// Whether the credentials Secret holds, or may hold, another client than the one that is published.
    pub unpublished: bool,
}

/// What Shopify said of the credential just now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// Nobody asked.
    NotAsked,
    /// It works: it was issued or verified at this moment.
    Verified(Timestamp),
    /// It doesn't.
    Rejected,
    /// No answer.
    Unreachable,
}

/// What became of the attempts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Attempts {
    /// No attempt was made.
    AsBefore,
    /// The last one succeeded, or there is nothing to attempt any more.
    None,
    /// One more failed.
    Failed {
        /// How many in a row.
        count: i64,
        /// When.
        at: Timestamp,
        /// When the next is due.
        next: Timestamp,
        /// Hash of the versions of all it depended on.
        inputs: String,
    },
}

/// The status as it should be. Idempotent: projecting the same facts again changes nothing.
#[must_use]
pub fn project(s: &Snapshot<'_>, now: Timestamp) -> ShopifyTokenStatus {
    let before = s.token.status.clone().unwrap_or_default();
    let same_credential = s.record.is_some_and(|r| before.revision == Some(r.revision));
    let mut status = ShopifyTokenStatus {
        observed_generation: s.token.metadata.generation.unwrap_or_default(),
        source: Some(s.kind),
        secret: Some(TokenSecretStatus {
            name: s.token.secret_name().to_owned(),
            revision: s.record.map(|r| r.revision),
        }),
        last_handled_reconcile_at: if s.handled {
            s.token.annotations().get(REQUESTED_AT).map(|at| at.as_str().into())
        } else {
            before.last_handled_reconcile_at.clone()
        },
        last_verified_time: match s.validity {
            Validity::Verified(at) => Some(time::to_kube(at)),
            _ if same_credential => before.last_verified_time.clone(),
            _ => None,
        },
        conditions: Vec::new(),
        // Kept when the Secret is lost: the next revision counts on.
        revision: match s.record {
            Some(record) if !unconfirmed(s, &before, record) => Some(record.revision),
            Some(_) | None => before.revision,
        },
        ..ShopifyTokenStatus::default()
    };
    if let Some(record) = s.record {
        status.token_id.clone_from(&record.token_id);
        status.scopes.clone_from(&record.scopes);
        status.issued_at = Some(time::to_kube(record.issued_at));
        status.expires_at = record.expires_at.map(time::to_kube);
        status.refresh_token_expires_at = record.refresh_expires_at.map(time::to_kube);
        status.renewal_time = renewal_of(s.token, s.kind, record).map(time::to_kube);
        status.previous = record
            .previous
            .iter()
            .map(|p| PreviousToken { token_id: p.id.clone(), revoke_at: time::to_kube(p.revoke_at) })
            .collect();
        status.last_handled_trigger = record.handled_trigger.as_deref().map(Into::into);
        status.last_handled_rotate_at = record.handled_rotate_at.as_deref().map(Into::into);
    } else if s.kind == SourceKind::CustomerAccount {
        // Kept when the Secret is lost: applications may still use what it held.
        status.token_id.clone_from(&before.token_id);
        status.previous.clone_from(&before.previous);
    }
    match &s.attempts {
        Attempts::AsBefore => {
            status.failed_attempts = before.failed_attempts;
            status.last_failure_time.clone_from(&before.last_failure_time);
            status.next_attempt_time.clone_from(&before.next_attempt_time);
            status.failed_inputs.clone_from(&before.failed_inputs);
        }
        Attempts::None => {}
        Attempts::Failed { count, at, next, inputs } => {
            status.failed_attempts = Some(*count);
            status.last_failure_time = Some(time::to_kube(*at));
            status.next_attempt_time = Some(time::to_kube(*next));
            status.failed_inputs = Some(inputs.as_str().into());
        }
    }
    status.conditions = all_conditions(s, &before, same_credential, now);
    let approval = matches!(obstacle(&status), Some(Reason::ConsentRequired | Reason::RefreshTokenDead));
    status.install_url = s.install_url.filter(|_| approval).map(Into::into);
    status
}

fn all_conditions(
    s: &Snapshot<'_>,
    before: &ShopifyTokenStatus,
    same_credential: bool,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = Conditions { before, generation: s.token.metadata.generation, now, all: Vec::new() };
    let suspended = matches!(s.hold, Some(Hold::Suspended));
    let obstacle = match s.hold {
        None | Some(Hold::Suspended) => None,
        Some(Hold::Blocked(failure)) => Some((failure.reason, failure.message.clone())),
        Some(Hold::BackingOff) => obstacle_of(before),
    };
    let valid = token_valid(s, before, same_credential);
    let (ready, mut reason, mut message) = readiness(s, before, valid.0 == "False", now);
    let obstacle = match obstacle {
        None if !ready && !suspended => Some((Reason::Issuing, "a credential is about to be issued".to_owned())),
        obstacle => obstacle,
    };
    if let Some((why, text)) = obstacle.as_ref().filter(|_| !ready) {
        if reason == Reason::Pending && *why != Reason::Issuing {
            (reason, message) = (*why, text.clone());
        } else {
            message = format!("{message}; {text}");
        }
    }
    conditions.set(conditions::READY, if ready { "True" } else { "False" }, reason.as_str(), &message);
    match &obstacle {
        Some((reason, message)) if reason.class() == Class::Stalled => {
            conditions.set(conditions::STALLED, "True", reason.as_str(), message);
        }
        Some((reason, message)) => {
            let waits = matches!(s.hold, Some(Hold::Blocked(_))) && !matches!(s.attempts, Attempts::Failed { .. });
            let untold = waits && grace::lasts(before, *reason, now);
            let message = format!("{message}{}", if untold { grace::UNTOLD } else { "" });
            conditions.set(conditions::RECONCILING, "True", reason.as_str(), &message);
        }
        None => {}
    }
    conditions.set(conditions::TOKEN_VALID, valid.0, valid.1, valid.2);
    if let Some(verdict) = safe::verdict(s, before) {
        verdict.set(&mut conditions);
    }
    if suspended {
        conditions.set(
            conditions::SUSPENDED,
            "True",
            "Suspended",
            "spec.suspend is true: no issue, check or revocation",
        );
    }
    conditions.all.extend(foreign(&before.conditions).cloned());
    conditions.all
}

/// Whether an older revision was put back into the Secret, of which Shopify has said nothing yet.
fn unconfirmed(s: &Snapshot<'_>, before: &ShopifyTokenStatus, record: &Record) -> bool {
    let asked = matches!(s.validity, Validity::Verified(_) | Validity::Rejected);
    before.revision > Some(record.revision) && !asked
}

/// Whether the credential that applications hold now works, and why not.
fn readiness(s: &Snapshot<'_>, before: &ShopifyTokenStatus, rejected: bool, now: Timestamp) -> (bool, Reason, String) {
    let (reason, message) = match s.record {
        Some(record) if s.token.uid().is_some_and(|uid| record.token.uid != uid) => {
            let message = "the Secret was there before this object; its credential is verified at Shopify first";
            (Reason::Pending, message.to_owned())
        }
        Some(record) if unconfirmed(s, before, record) => {
            let back = format!("the Secret holds revision {} again", record.revision);
            (Reason::Pending, format!("{back}; its credential is verified at Shopify first"))
        }
        Some(record) if s.intact && s.token.wants_session() && record.expires_at.is_none() => {
            (Reason::Pending, "the client is published, without a customer's session".to_owned())
        }
        Some(record) if s.intact => match record.expires_at {
            Some(at) if at <= now => (Reason::TokenExpired, format!("expired at {}", time::print(at))),
            _ if rejected => (Reason::TokenRejected, "Shopify refuses the credential in the Secret".to_owned()),
            expires_at => {
                let expiry =
                    expires_at.map_or("never expires".to_owned(), |at| format!("expires at {}", time::print(at)));
                let remark = s.remark.as_ref().map(|remark| format!("; {remark}")).unwrap_or_default();
                return (true, Reason::Issued, format!("revision {} {expiry}{remark}", record.revision));
            }
        },
        Some(_) => (Reason::Pending, "the credential in the Secret was edited and is being restored".to_owned()),
        None => (Reason::Pending, "no credential has been published yet".to_owned()),
    };
    (false, reason, message)
}

fn token_valid(
    s: &Snapshot<'_>,
    before: &ShopifyTokenStatus,
    same_credential: bool,
) -> (&'static str, &'static str, &'static str) {
    const VERIFIED: (&str, &str, &str) = ("True", "Verified", "Shopify confirmed the credential");
    const REJECTED: (&str, &str, &str) = ("False", "Rejected", "Shopify refuses the credential");
    const UNREACHABLE: (&str, &str, &str) = ("Unknown", "Unreachable", "Shopify gave no answer");
    const NOT_CHECKED: (&str, &str, &str) = ("Unknown", "NotChecked", "not verified yet");
    const NO_WAY: (&str, &str, &str) = (
        "Unknown",
        "NotChecked",
        "Shopify has no way to ask whether it takes a client without a customer who signs in",
    );
    if !nature(s.kind).checkable {
        return NO_WAY;
    }
    match s.validity {
        Validity::Verified(_) => VERIFIED,
        Validity::Rejected => REJECTED,
        Validity::Unreachable if s.record.is_some() => UNREACHABLE,
        Validity::NotAsked => match find(&before.conditions, conditions::TOKEN_VALID).map(|c| c.reason.as_str()) {
            Some("Verified") if same_credential => VERIFIED,
            Some("Rejected") if same_credential => REJECTED,
            Some("Unreachable") if same_credential || s.record.is_some_and(|r| unconfirmed(s, before, r)) => {
                UNREACHABLE
            }
            _ => NOT_CHECKED,
        },
        Validity::Unreachable => NOT_CHECKED,
    }
}

struct Conditions<'a> {
    before: &'a ShopifyTokenStatus,
    generation: Option<i64>,
    now: Timestamp,
    all: Vec<Condition>,
}

impl Conditions<'_> {
    fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let last_transition_time = match find(&self.before.conditions, type_) {
            Some(before) if before.status == status => before.last_transition_time.clone(),
            _ => time::to_kube(self.now),
        };
        self.all.push(Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: bounded::text(message, bounded::MESSAGE).into_owned(),
            observed_generation: self.generation,
            last_transition_time,
        });
    }
}

#[cfg(test)]
mod tests;
