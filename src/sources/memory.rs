//! What the sources keep in memory: turns, and admin tokens issued to revoke with. Losing it costs a call.

use chrono::TimeDelta;
use secrecy::SecretString;
use tokio::sync::OwnedMutexGuard;

use crate::{
    core::{credential::Credential, source::App},
    shared::{Locks, Shared},
    shopify::Shop,
    time::Timestamp,
};

/// What the sources keep in memory.
#[derive(Default)]
pub struct Memory {
    turns: Locks,
    /// By client id and shop: the published one is gone or dead. The name of an app may stand for another one later.
    spare: Shared<(String, Shop), Credential>,
    /// By UID: a create has no answer, and until then a list may not show what it made.
    unsettled: Shared<String, Timestamp>,
}

impl Memory {
    /// Waits for the turn of an app, or an admin token, at a shop: one issue at a time.
    pub async fn turn(&self, key: &str, shop: &Shop) -> OwnedMutexGuard<()> {
        self.turns.lock(format!("{key}@{shop}")).await
    }

    /// An admin token that was issued to revoke with, and when, if it still has a minute to live.
    pub(super) fn spare(&self, app: &App, shop: &Shop, now: Timestamp) -> Option<(SecretString, Timestamp)> {
        let spare = self.spare.get(&(app.client_id.clone(), shop.clone()))?;
        (spare.expires_at? > now + TimeDelta::minutes(1)).then_some((spare.value, spare.issued_at))
    }

    /// Until when what was created for an object may not be listed yet; `None` if no answer was lost.
    pub fn settles_at(&self, uid: &String) -> Option<Timestamp> {
        self.unsettled.get(uid)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &String) {
        self.unsettled.remove(uid);
    }

    /// A create is sent, or its answer was lost.
    pub(super) fn unsettled(&self, uid: &str, until: Timestamp) {
        self.unsettled.put(uid.to_owned(), until);
    }

    /// A create was answered.
    pub(super) fn settled(&self, uid: &String) {
        self.unsettled.remove(uid);
    }

    /// Keeps an admin token that was issued to revoke with.
    pub(super) fn keep(&self, app: &App, shop: &Shop, spare: Credential) {
        self.spare.put((app.client_id.clone(), shop.clone()), spare);
    }
}
