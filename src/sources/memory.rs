//! What the sources keep in memory: who issues, and admin tokens issued to revoke with. Losing it costs a call.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secrecy::SecretString;
use tokio::sync::OwnedMutexGuard;

use crate::{
    core::{credential::Credential, source::App},
    shared::{Locks, Shared},
    shopify::Shop,
    time::Timestamp,
    workers::waiting,
};

/// What the sources keep in memory.
#[derive(Default)]
pub struct Memory {
    issues: Locks,
    /// By client id and shop: the published one is gone or dead. The name of an app may stand for another one later.
    spare: Shared<(String, Shop), Spare>,
    /// By UID: a create has no answer, and until then a list may not show what it made.
    unsettled: Shared<String, Timestamp>,
    /// By UID: what an attempt to revoke all has deleted.
    deleted: Shared<String, BTreeSet<String>>,
    /// By UID: what lived until an attempt deleted it, as far as nobody was told yet.
    ended: Shared<String, Vec<String>>,
    /// By UID: how many storefront tokens the app had at the shop when they were last listed for it, whoever made them.
    listed: Shared<String, usize>,
}

/// An admin token that was issued to revoke with.
#[derive(Clone)]
pub(super) struct Spare {
    /// Its value.
    pub value: SecretString,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// Whether Shopify has refused it so far, as it may do for a moment after the grant.
    pub refused: bool,
    expires_at: Option<Timestamp>,
}

impl Spare {
    /// Whether it still has a minute to live.
    fn lives(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at > now + TimeDelta::minutes(1))
    }
}

impl Memory {
    /// Waits until nobody else issues with an app, or an admin token, at a shop: one issue at a time.
    pub async fn issues_alone(&self, key: &str, shop: &Shop) -> OwnedMutexGuard<()> {
        waiting(self.issues.lock(format!("{key}@{shop}"))).await
    }

    /// An admin token that was issued to revoke with, if it still lives.
    pub(super) fn spare(&self, app: &App, shop: &Shop, now: Timestamp) -> Option<Spare> {
        self.spare.get(&(app.client_id.clone(), shop.clone())).filter(|spare| spare.lives(now))
    }

    /// Until when what was created for an object may not be listed yet; `None` if no answer was lost.
    pub fn settles_at(&self, uid: &String) -> Option<Timestamp> {
        self.unsettled.get(uid)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &String) {
        self.unsettled.remove(uid);
        self.deleted.remove(uid);
        self.ended.remove(uid);
        self.listed.remove(uid);
    }

    /// The storefront tokens of the app at the shop were listed, or one more was made.
    pub(super) fn listed(&self, uid: &str, count: usize) {
        self.listed.put(uid.to_owned(), count);
    }

    /// How many there were, if they were listed since this was last asked.
    pub fn take_listed(&self, uid: &String) -> Option<usize> {
        self.listed.remove(uid)
    }

    /// A credential of an object that goes was deleted.
    pub(super) fn deleted(&self, uid: &str, id: &str) {
        self.deleted.change(uid.to_owned(), |ids| ids.insert(id.to_owned()));
    }

    /// Whether a credential of an object that goes was deleted.
    pub fn is_deleted(&self, uid: &String, id: &str) -> bool {
        self.deleted.get(uid).is_some_and(|ids| ids.contains(id))
    }

    /// A credential of an object lived until it was deleted, and what the attempt comes to isn't told yet.
    pub fn ended(&self, uid: &str, id: String) {
        self.ended.change(uid.to_owned(), |ids| ids.push(id));
    }

    /// What has ended since this was last asked, whatever the attempts came to.
    pub(super) fn take_ended(&self, uid: &String) -> Vec<String> {
        self.ended.remove(uid).unwrap_or_default()
    }

    /// The same, to be asked again: who tells it may not be let finish.
    pub(super) fn ended_so_far(&self, uid: &String) -> Vec<String> {
        self.ended.get(uid).unwrap_or_default()
    }

    /// A create is sent, or its answer was lost.
    pub(super) fn unsettled(&self, uid: &str, until: Timestamp) {
        self.unsettled.put(uid.to_owned(), until);
    }

    /// A create was answered.
    pub(super) fn settled(&self, uid: &String) {
        self.unsettled.remove(uid);
    }

    /// Keeps an admin token that was issued to revoke with, and forgets those that have expired.
    pub(super) fn keep(&self, app: &App, shop: &Shop, granted: Credential, now: Timestamp) -> Spare {
        let Credential { value, issued_at: granted_at, expires_at, .. } = granted;
        let spare = Spare { value, granted_at, refused: false, expires_at };
        self.spare.retain(|_, spare| spare.lives(now));
        self.spare.put((app.client_id.clone(), shop.clone()), spare.clone());
        spare
    }

    /// Shopify has refused this one, or has taken it.
    pub(super) fn refused(&self, app: &App, shop: &Shop, spare: &Spare, refused: bool) {
        self.spare.put((app.client_id.clone(), shop.clone()), Spare { refused, ..spare.clone() });
    }

    /// Forgets an admin token that was issued to revoke with: it is dead.
    pub(super) fn discard(&self, app: &App, shop: &Shop) {
        self.spare.remove(&(app.client_id.clone(), shop.clone()));
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn app(key: &str, client_id: &str) -> App {
        App {
            key: key.into(),
            client_id: client_id.into(),
            client_secret: SecretString::from("secret".to_owned()),
            rotation: None,
            previous_client_secret: None,
        }
    }

    #[test]
    fn a_spare_token_is_the_clients_whatever_the_app_is_called() {
        let (now, memory) = (Timestamp::from_timestamp(1_790_000_000, 0).unwrap(), Memory::default());
        let [acme, other]: [Shop; 2] = ["acme.myshopify.com", "other.myshopify.com"].map(|shop| shop.parse().unwrap());
        let spare = Credential {
            value: SecretString::from("spare".to_owned()),
            token_id: None,
            scopes: Vec::new(),
            issued_at: now,
            expires_at: Some(now + TimeDelta::hours(1)),
            warning: None,
        };
        memory.keep(&app("shop/acme", "one"), &acme, spare, now);
        let found = |app: &App, shop: &Shop, now| {
            memory.spare(app, shop, now).map(|spare| (spare.value.expose_secret().to_owned(), spare.granted_at))
        };
        let kept = Some(("spare".to_owned(), now));
        assert_eq!(found(&app("shop/acme", "one"), &acme, now), kept);
        assert_eq!(found(&app("shop/renamed", "one"), &acme, now), kept, "the same client under another name");
        assert_eq!(found(&app("shop/acme", "two"), &acme, now), None, "another client under the same name");
        assert_eq!(found(&app("shop/acme", "one"), &other, now), None);
        let late = now + TimeDelta::minutes(59);
        assert_eq!(found(&app("shop/acme", "one"), &acme, late), None, "a minute isn't enough");
    }
}
