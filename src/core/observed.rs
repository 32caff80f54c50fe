//! Everything a decision goes by, gathered once per reconcile.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use kube::ResourceExt;

use super::{
    backoff, bounded,
    credential::Credential,
    failure::Failure,
    identity::Identity,
    older::Older,
    record::{Fields, Record},
    scopes,
    secret::{Held, SecretState, Whole},
    secret_rotation::Turn,
    source::{AdminToken, Issuer, different_issuers},
    version::Version,
    vocabulary::{REQUESTED_AT, ROTATE_AT, Reason},
};
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus, SourceKind, token::RolloutRestartTarget},
    time::{self, Timestamp},
};

/// Everything the decision needs, gathered once per reconcile.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The object.
    pub token: ShopifyToken,
    /// Which object it is.
    pub identity: Identity,
    /// Kind of its source.
    pub kind: SourceKind,
    /// What stands under the name of its Secret.
    pub secret: SecretState,
    /// Secrets that older specs named.
    pub older: Vec<Older>,
    /// What it is issued with, or what is missing.
    pub issuer: Result<Issuer, Failure>,
    /// What revokes the credentials that the issuer can't, by their ids: they were created with something else. Read
    /// only for those that are to be revoked now.
    pub former: BTreeMap<String, Former>,
    /// Until when what was created may not be listed yet, if a create's answer may have been lost.
    pub settles_at: Option<Timestamp>,
    /// The API version that is asked for, and that the Secret names unless Shopify serves another in its place.
    pub api_version: String,
    /// Whether the template renders.
    pub template: Result<(), Failure>,
    /// Whether the Secret differs from what it should be, the credential apart.
    pub drifted: bool,
    /// Hash of the spec fields that decide what is issued.
    pub inputs: String,
    /// Hash of all that an attempt depends on, salted by this process.
    pub dependencies: String,
    /// Why the credential has to be verified soon, whatever the interval.
    pub suspect: Option<Doubt>,
    /// How the shop is doing.
    pub shop: ShopState,
    /// When it is its turn to be issued again, if another client secret than the current one has minted it.
    pub turn: Option<Turn>,
    /// An older ShopifyToken that names the same Secret.
    pub rival: Option<String>,
    /// `ShopifyTokens` that need this one, while it is being deleted.
    pub needed_by: Vec<String>,
    /// Whether its admin token is there and is refreshed by itself, whatever its Secret holds now.
    pub admin_renews: bool,
    /// The version of the Secret that a person has filled for it, if it is there.
    pub filled: Option<Version>,
    /// The targets of `spec.rolloutRestartTargets` that are there, and that the operator may read.
    pub workloads: Vec<Workload>,
    /// Whether our finalizer is missing where a revocation will need it, or on the object although nobody needs it.
    pub unprotected: bool,
    /// How long a revocation is retried after the deletion timestamp.
    pub revocation_timeout: TimeDelta,
    /// Where the merchant approves what has to be approved, where the operator serves install pages.
    pub install_url: Option<String>,
}

/// What a credential was created with that the spec doesn't name any more.
#[derive(Clone, Debug)]
pub enum Former {
    /// Neither its admin token nor its app is there any more.
    Gone,
    /// There is no token to use now; there may be one later.
    NotReady(Failure),
    /// It can revoke what was created with it.
    Ready(Box<AdminToken>),
}

/// A target of `spec.rolloutRestartTargets`, as observed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workload {
    /// Kind and name.
    pub target: RolloutRestartTarget,
    /// The revision its pod template was restarted for, as its annotation says.
    pub restarted_for: Option<String>,
    /// Whether every pod of it runs the current template.
    pub finished: bool,
}

/// Why a credential has to be verified soon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doubt {
    /// Somebody who used it just now was told 401.
    Refused,
    /// A probe of it was refused at this time, although Shopify lists it.
    RefusedOnce(Timestamp),
    /// What it is issued with belongs to another app than before.
    Moved,
    /// A token was created for this object, and another's write of the Secret came first.
    Stray,
}

/// How a shop is doing, as far as this process knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ShopState {
    /// It answers this token, or nobody has asked. Failures before `since` say nothing of it any more.
    Up {
        /// When what this token waited for came back, or when this process started.
        since: Timestamp,
    },
    /// This token waits for one of its surfaces, or until Shopify takes its app's credentials again. Who may ask is
    /// decided at the call: one at a time.
    Down {
        /// Its own last call is what fell silent: the back-off of that failure is the outage's.
        own: bool,
    },
}

impl Observed {
    /// Our Secret with its credential, if that is whole.
    #[must_use]
    pub fn whole(&self) -> Option<Whole<'_>> {
        self.held()?.whole()
    }

    /// Our Secret.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        match &self.secret {
            SecretState::Ours(held) => Some(held),
            SecretState::Absent | SecretState::Mergeable(_) | SecretState::Collected | SecretState::Refused(_) => None,
        }
    }

    /// Why our Secret can't be written, if it can't.
    #[must_use]
    pub fn frozen(&self) -> Option<&Failure> {
        self.held()?.frozen.as_ref()
    }

    /// What was issued.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.held()?.record.as_ref()
    }

    /// The credential, if it is there and whole.
    #[must_use]
    pub fn value(&self) -> Option<&secrecy::SecretString> {
        self.held()?.value.as_ref()
    }

    /// Status as last seen.
    #[must_use]
    pub fn status(&self) -> Option<&ShopifyTokenStatus> {
        self.token.status.as_ref()
    }

    /// The record is of an object that was here before: a restore from a backup, or a Secret that was left behind.
    #[must_use]
    pub fn restored(&self) -> bool {
        self.record().is_some_and(|record| record.token != self.identity)
    }

    /// The ids that an earlier object's record names, which nobody has verified to be this one's: others may work with them.
    pub fn inherited(&self) -> impl Iterator<Item = &String> {
        self.record().filter(|_| self.restored()).into_iter().flat_map(Record::ids)
    }

    /// What it is issued with belongs to another app than the one that issued it.
    #[must_use]
    pub(super) fn moved(&self, record: &Record) -> bool {
        let issuer = self.issuer.as_ref().ok().and_then(Issuer::client_id);
        self.suspect == Some(Doubt::Moved) || different_issuers(record.issuer.as_deref(), issuer)
    }

    /// Whether a person has put another client into the credentials Secret than the one of the record.
    #[must_use]
    pub fn client_replaced(&self, record: &Record) -> bool {
        let client = self.issuer.as_ref().ok().and_then(Issuer::client);
        client.is_some_and(|client| record.token_id.as_ref() != Some(&client.id))
    }

    /// Whether what applications hold may not be the client that the credentials Secret names: it is another one, or can't
    /// be read.
    #[must_use]
    pub fn client_unpublished(&self, record: &Record) -> bool {
        self.issuer.is_err() || self.client_replaced(record)
    }

    /// Shopify refused this very revision when it was last asked.
    #[must_use]
    pub(super) fn rejected(&self, record: &Record) -> bool {
        self.status().is_some_and(|s| s.revision == Some(record.revision) && super::condition::is_rejected(s))
    }

    /// The value of the `rotate-at` annotation as the record keeps it: bounded, as all annotations of a Secret together are.
    #[must_use]
    pub(super) fn rotate_at(&self) -> Option<String> {
        let text = self.token.annotations().get(ROTATE_AT)?;
        Some(bounded::unique(text, bounded::REQUEST).into_owned())
    }

    /// The trigger or the `rotate-at` annotation has a value nobody has acted upon.
    #[must_use]
    pub(super) fn rotation_requested(&self, record: &Record) -> bool {
        let trigger = self.token.spec.rotation_trigger();
        let rotate_at = self.rotate_at();
        trigger.is_some_and(|t| record.handled_trigger.as_deref() != Some(t))
            || (rotate_at.is_some() && record.handled_rotate_at != rotate_at)
    }

    /// The failure of a credential without a required scope.
    #[must_use]
    pub fn lacks_scopes(&self, granted: &[String]) -> Option<Failure> {
        let missing = scopes::missing(&self.token.spec.required_scopes, granted);
        (!missing.is_empty()).then(|| {
            Failure::new(
                Reason::ScopesMissing,
                format!(
                    "{} grants no {}; release a version of the app with these scopes and have it approved on the shop, or take them out of spec.requiredScopes",
                    self.token.spec.shop,
                    missing.join(", ")
                ),
            )
        })
    }

    /// The newest revision that was published, as far as is known; 0 before the first. Status only keeps the count going
    /// when the Secret is lost, or an older one was put back.
    #[must_use]
    pub fn newest_published(&self) -> i64 {
        let recorded = self.latest().map(|r| r.revision);
        let reported = self.status().and_then(|s| s.revision);
        recorded.max(reported).unwrap_or_default()
    }

    /// The revision after the last one that is known of.
    #[must_use]
    pub fn next_revision(&self) -> i64 {
        self.newest_published().saturating_add(1)
    }

    /// Somebody has put back what the Secret was at an older revision, out of a backup say: applications hold a newer one,
    /// and whether the older one works is for Shopify to say.
    #[must_use]
    pub fn put_back(&self) -> bool {
        self.latest().is_some_and(|record| record.revision < self.newest_published())
    }

    /// The record of a credential that is about to be published. Whatever asked for it counts as handled.
    #[must_use]
    pub fn next_record(&self, credential: &Credential, revision: i64) -> Record {
        let before = self.latest();
        let known = before.map(|r| r.clone().asking(&self.api_version));
        let replaces = revision > 1 && before.is_none_or(|r| r.revision != revision);
        Record {
            token: self.identity.clone(),
            revision,
            issued_at: credential.issued_at,
            expires_at: credential.expires_at,
            refresh_expires_at: None,
            token_id: credential.token_id.clone(),
            scopes: credential.scopes.clone(),
            inputs: self.inputs.clone(),
            content: String::new(),
            api_version: known.as_ref().map_or_else(|| self.api_version.clone(), |r| r.api_version.clone()),
            asked_version: known.and_then(|r| r.asked_version),
            issuer: self.issuer.as_ref().ok().and_then(Issuer::client_id).map(str::to_owned),
            client_secret: None,
            client_secret_since: None,
            old_secret_until: None,
            admin: None,
            parent: None,
            discovery: None,
            made_of: None,
            previous: Vec::new(),
            rollout: if replaces { Some(revision) } else { before.and_then(|r| r.rollout) },
            restarted: before.and_then(|r| r.restarted),
            handled_trigger: self.token.spec.rotation_trigger().map(str::to_owned),
            handled_rotate_at: self.rotate_at(),
            fields: Fields::default(),
            place: None,
            leave: None,
        }
    }

    /// The `reconcile.fluxcd.io/requestedAt` annotation has a value nobody has acted upon.
    #[must_use]
    pub fn reconcile_requested(&self) -> bool {
        let wish = self.token.annotations().get(REQUESTED_AT);
        wish.is_some() && wish.map(String::as_str) != self.status().and_then(|s| s.last_handled_reconcile_at.as_deref())
    }

    /// Attempts that failed in a row.
    #[must_use]
    pub fn failed_attempts(&self) -> i64 {
        self.status().and_then(|s| s.failed_attempts).unwrap_or_default()
    }

    /// The reason that the last attempt failed with, if the last one failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<Reason> {
        self.status().filter(|_| self.failed_attempts() > 0).and_then(super::condition::obstacle)
    }

    /// When the next attempt is due, if it isn't yet. A change of the spec, of a dependency, or a request
    /// ends the back-off, and so does the return of a shop that didn't answer, or a clock set back.
    #[must_use]
    pub fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let status = self.status()?;
        let at = status.next_attempt_time.as_ref().map(time::from_kube)?;
        let at = Some(at).filter(|at| backoff::is_pending(*at, now))?;
        let failed_at = status.last_failure_time.as_ref().map(time::from_kube)?;
        let same = status.failed_inputs.as_deref() == Some(self.dependencies.as_str()) && !self.reconcile_requested();
        let returned = match self.shop {
            // Status keeps whole seconds.
            ShopState::Up { since } => failed_at < time::round_down(since),
            ShopState::Down { own } => own,
        };
        // What is asked for all that wait is decided at the call.
        let shared = matches!(self.last_failure(), Some(Reason::BackingOff | Reason::CredentialsRejected));
        (same && !(returned && shared)).then_some(at)
    }
}
