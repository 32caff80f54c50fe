//! A Secret that an older spec of its object named: how it is known, and what becomes of it.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    finalizer::has_finalizer,
    identity::Identity,
    leave::Leave,
    record::{self, Fields, Record},
    secret::{disowned, forgotten, withdrawn},
};
use crate::{
    api::{ShopifyToken, token::DeletionPolicy},
    time::Timestamp,
};

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

#[cfg(test)]
mod tests;
