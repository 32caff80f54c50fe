//! What becomes of a Secret that its object leaves: because the object goes, or because the spec names another one.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    finalizer::has_finalizer,
    identity::Identity,
    observed::Observed,
    record::{self, Fields, Record},
    secret::{disowned, forgotten, withdrawn},
};
use crate::{
    api::{
        ShopifyToken,
        token::{CreationPolicy, DeletionPolicy},
    },
    time::{self, Timestamp},
};

/// What becomes of a Secret that its object leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leave {
    /// It goes.
    Delete,
    /// It stays as it is.
    Keep,
    /// It stays without what the operator has written into it.
    Withdraw,
}

impl Leave {
    /// As the policies of the spec want it.
    #[must_use]
    pub fn of(token: &ShopifyToken) -> Self {
        match (token.spec.deletion_policy(), token.spec.creation_policy()) {
            (DeletionPolicy::Revoke, CreationPolicy::Owner) => Self::Delete,
            (DeletionPolicy::Revoke, CreationPolicy::Merge) => Self::Withdraw,
            (DeletionPolicy::Retain, _) | (DeletionPolicy::Revoke, CreationPolicy::Orphan) => Self::Keep,
        }
    }

    /// As the record prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Keep => "Keep",
            Self::Withdraw => "Withdraw",
        }
    }

    /// The inverse of [`Leave::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delete, Self::Keep, Self::Withdraw].into_iter().find(|leave| leave.as_str() == text)
    }
}

/// A Secret that an older spec of the object named, and that is still the object's. `Debug` prints nothing that is in it.
#[derive(Clone)]
pub struct Older {
    /// The Secret as it is.
    pub live: Secret,
    /// Its record, unless that was edited beyond recognition.
    pub record: Option<Record>,
    /// What becomes of it.
    pub leave: Leave,
    /// When, as its mark says; `None` before it has one.
    pub leave_at: Option<Timestamp>,
    /// Whether it has the object's owner reference.
    owned: bool,
}

impl fmt::Debug for Older {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Older")
            .field("name", &self.live.metadata.name)
            .field("leave", &self.leave)
            .field("leave_at", &self.leave_at)
            .finish_non_exhaustive()
    }
}

impl Older {
    /// A Secret of the object's namespace as one that an older spec named; `None` if it isn't one.
    ///
    /// Evidence is its record alone: it names this very object, and was written under this very name, which no copy was.
    #[must_use]
    pub fn read(token: &ShopifyToken, me: &Identity, live: Secret) -> Option<Self> {
        let (annotations, name) = (live.annotations(), live.metadata.name.as_deref());
        let ours = record::holder(annotations).as_ref() == Some(me) && record::place(annotations) == name;
        if !ours || name == Some(token.secret_name()) || live.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let owned = live.owner_references().iter().any(|o| o.uid == me.uid);
        let leave = record::leave(annotations).unwrap_or(Leave::Keep);
        Some(Self {
            record: Record::parse(annotations),
            leave: allowed(leave, token, owned, &live),
            leave_at: record::leave_at(annotations),
            owned,
            live,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.live.name_any()
    }

    /// Whether it would be left otherwise than it should be if the object just went, with the garbage collector after it.
    #[must_use]
    pub fn needs_object(&self, token: &ShopifyToken) -> bool {
        match self.leave {
            Leave::Withdraw => true,
            Leave::Keep => self.owned,
            Leave::Delete => token.spec.deletion_policy() == DeletionPolicy::Retain,
        }
    }

    /// The Secret with the mark that says when it is left.
    #[must_use]
    pub fn marked(&self, leave_at: Timestamp) -> Secret {
        let mut secret = self.live.clone();
        secret.annotations_mut().extend([record::mark(leave_at)]);
        secret
    }

    /// The Secret as it is left; `None` if it goes.
    #[must_use]
    pub fn left(&self, token: &ShopifyToken) -> Option<Secret> {
        match self.leave {
            Leave::Delete => None,
            Leave::Keep => Some(disowned(token, &forgotten(&self.live))),
            Leave::Withdraw => Some(disowned(token, &withdrawn(&self.live))),
        }
    }
}

/// What may become of it, of what should: nothing that is others' goes with it.
fn allowed(wanted: Leave, token: &ShopifyToken, owned: bool, live: &Secret) -> Leave {
    let retained =
        token.metadata.deletion_timestamp.is_some() && token.spec.deletion_policy() == DeletionPolicy::Retain;
    // Somebody reads credentials from it by now.
    let read = token.credentials_secret() == live.metadata.name.as_deref() || has_finalizer(live);
    let keys = Fields::parse(live.annotations()).unwrap_or_default().data;
    let shared = live.data.iter().flatten().any(|(key, _)| !keys.contains(key));
    match wanted {
        _ if retained || read => Leave::Keep,
        Leave::Delete if !owned => Leave::Keep,
        Leave::Delete | Leave::Withdraw if live.immutable == Some(true) && (shared || wanted == Leave::Withdraw) => {
            // Nobody can take a key out of an immutable Secret.
            Leave::Keep
        }
        Leave::Delete if shared => Leave::Withdraw,
        Leave::Delete | Leave::Keep | Leave::Withdraw => wanted,
    }
}

impl Observed {
    /// The record of the newest credential that is known of, whichever name its Secret has.
    #[must_use]
    pub fn latest(&self) -> Option<&Record> {
        let older = self.older.iter().filter_map(|o| o.record.as_ref());
        older.chain(self.record()).max_by_key(|r| r.revision)
    }

    /// Whether the newest credential is in a Secret that the spec doesn't name any more.
    #[must_use]
    pub fn renamed(&self) -> bool {
        (self.held().is_none() && !self.older.is_empty()) || self.outdated()
    }

    /// Whether another Secret holds a newer credential than the one that the spec names: the spec has gone back to a name.
    #[must_use]
    pub fn outdated(&self) -> bool {
        let revision = |record: &Record| record.revision;
        self.record().map(revision).is_some_and(|own| self.latest().map(revision) > Some(own))
    }

    /// The older Secrets that have no mark yet, once what replaces them was written, and when they are to be left. A mark
    /// later than that is of a clock set back, or of a longer overlap, and counts as none.
    pub fn to_mark(&self, now: Timestamp) -> impl Iterator<Item = (&Older, Timestamp)> {
        let at = time::round_up(now + self.token.spec.overlap());
        let unmarked = move |o: &&Older| self.is_replaced() && o.leave_at.is_none_or(|mark| mark > at);
        self.older.iter().filter(unmarked).map(move |o| (o, at))
    }

    /// The older Secrets whose overlap is over.
    pub fn to_leave(&self, now: Timestamp) -> impl Iterator<Item = &Older> {
        self.older.iter().filter(move |o| self.is_replaced() && o.leave_at.is_some_and(|at| at <= now))
    }

    /// Whether applications find in the Secret that the spec names what they found in older ones.
    fn is_replaced(&self) -> bool {
        let whole = self.whole().is_some_and(|whole| !self.rejected(whole.record));
        whole && !self.restored() && !self.outdated()
    }
}

#[cfg(test)]
mod tests;
