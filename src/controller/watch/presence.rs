//! Which Secrets there are, whosever they are: where none is, nothing need be read before one is made.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The Secrets that the watches have told of. One takes eight bytes, for a cluster may have very many: of two that share
/// them the one that stays may be forgotten with the other, and then a create finds it.
#[derive(Default)]
pub struct Presence {
    hasher: RandomState,
    inner: Mutex<HashMap<Option<String>, Watched>>,
}

/// What one watch has told, of a namespace or of all.
#[derive(Default)]
struct Watched {
    there: HashSet<u64>,
    /// What a list that isn't over has brought so far.
    listing: Option<HashSet<u64>>,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, HashMap<Option<String>, Watched>> {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list of the Secrets of a namespace, or of all, begins.
    pub(in crate::controller) fn listing(&self, scope: Option<&str>) {
        self.lock().entry(scope.map(str::to_owned)).or_default().listing = Some(HashSet::new());
    }

    /// It has ended: there are no others than those it has brought.
    pub(in crate::controller) fn listed(&self, scope: Option<&str>) {
        if let Some(watched) = self.lock().get_mut(&scope.map(str::to_owned))
            && let Some(there) = watched.listing.take()
        {
            watched.there = there;
        }
    }

    /// The watch of a namespace, or of all, tells that a Secret is there, or gone.
    pub(in crate::controller) fn note(&self, scope: Option<&str>, namespace: &str, name: &str, gone: bool) {
        let secret = self.hasher.hash_one((namespace, name));
        let mut inner = self.lock();
        let watched = inner.entry(scope.map(str::to_owned)).or_default();
        let there = watched.listing.as_mut().unwrap_or(&mut watched.there);
        if gone {
            there.remove(&secret);
        } else {
            there.insert(secret);
        }
    }

    /// A create has found a Secret that no watch has told of.
    pub(in crate::controller) fn found(&self, namespace: &str, name: &str) {
        let secret = self.hasher.hash_one((namespace, name));
        let mut inner = self.lock();
        for watched in inner.iter_mut().filter(|(scope, _)| covers(scope.as_deref(), namespace)).map(|(_, w)| w) {
            watched.there.insert(secret);
        }
    }

    /// Whether no watch has told of a Secret. It may have come a moment ago.
    pub(in crate::controller) fn lacks(&self, namespace: &str, name: &str) -> bool {
        let secret = self.hasher.hash_one((namespace, name));
        let inner = self.lock();
        let mut covering = inner.iter().filter(|(scope, _)| covers(scope.as_deref(), namespace));
        covering.all(|(_, watched)| !watched.there.contains(&secret))
    }
}

fn covers(scope: Option<&str>, namespace: &str) -> bool {
    scope.is_none_or(|scope| scope == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_what_was_listed_or_came_and_has_not_gone() {
        for scope in [None, Some("shop")] {
            let presence = Presence::default();
            let lacks = |name: &str| presence.lacks("shop", name);
            presence.listing(scope);
            presence.note(scope, "shop", "a", false);
            presence.note(scope, "shop", "b", false);
            presence.listed(scope);
            assert!(!lacks("a") && !lacks("b") && lacks("c"));
            assert!(presence.lacks("elsewhere", "a"));
            presence.note(scope, "shop", "c", false);
            presence.note(scope, "shop", "a", true);
            assert!(lacks("a") && !lacks("c"));
            presence.found("shop", "d");
            assert!(!lacks("d"));
            // Until the next list is over, the one before counts.
            presence.listing(scope);
            presence.note(scope, "shop", "a", false);
            assert!(lacks("a") && !lacks("b"));
            presence.listed(scope);
            assert!(!lacks("a") && lacks("b") && lacks("c"));
        }
    }

    #[test]
    fn each_watch_lists_its_own() {
        let presence = Presence::default();
        for namespace in ["shop", "team"] {
            presence.listing(Some(namespace));
            presence.note(Some(namespace), namespace, "a", false);
            presence.listed(Some(namespace));
        }
        presence.listing(Some("team"));
        presence.listed(Some("team"));
        assert!(!presence.lacks("shop", "a") && presence.lacks("team", "a"));
    }
}
