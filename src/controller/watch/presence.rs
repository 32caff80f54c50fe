//! Which Secrets there are, whosever they are, and in which version: where none is, nothing need be read before one is made,
//! and one that is as it was needn't be read again.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;

use crate::{
    controller::key::ObjectKey,
    core::{pair, version::Version},
};

/// The Secrets that the watches have told of. One takes sixteen bytes, for a cluster may have very many: of two that share
/// those of their name the one that stays may be forgotten with the other, and then a create, or a read, finds it.
#[derive(Default)]
pub struct Presence {
    hasher: RandomState,
    inner: Mutex<HashMap<Option<String>, Watched>>,
}

/// What one watch has told, of a namespace or of all.
#[derive(Default)]
struct Watched {
    there: There,
    /// What a list that isn't over has brought so far.
    listing: Option<There>,
}

/// By hashes of namespaces and names.
#[derive(Default)]
struct There {
    /// The version, if that is known.
    versions: HashMap<u64, Option<Version>>,
    /// Of record Secrets a hash of the client id whose pair they hold.
    issuers: HashMap<u64, u64>,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, HashMap<Option<String>, Watched>> {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list of the Secrets of a namespace, or of all, begins.
    pub(in crate::controller) fn listing(&self, scope: Option<&str>) {
        self.lock().entry(scope.map(str::to_owned)).or_default().listing = Some(There::default());
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
    pub(in crate::controller) fn note(&self, scope: Option<&str>, secret: &impl ResourceExt, gone: bool) {
        let (version, key) = (Version::of(secret), ObjectKey::of_object(secret));
        let issuer = pair::holder(secret.annotations()).and(pair::issuer(secret.annotations()));
        let issuer = issuer.map(|issuer| self.hasher.hash_one(issuer)).filter(|_| !gone);
        let secret = self.hasher.hash_one(key.parts());
        let mut inner = self.lock();
        let watched = inner.entry(scope.map(str::to_owned)).or_default();
        let there = watched.listing.as_mut().unwrap_or(&mut watched.there);
        if gone {
            there.versions.remove(&secret);
        } else {
            there.versions.insert(secret, version);
        }
        match issuer {
            Some(issuer) => there.issuers.insert(secret, issuer),
            None => there.issuers.remove(&secret),
        };
    }

    /// A create has made, or found, a Secret that no watch may have told of.
    pub(in crate::controller) fn found(&self, namespace: &str, name: &str) {
        let secret = self.hasher.hash_one((namespace, name));
        let mut inner = self.lock();
        for watched in inner.iter_mut().filter(|(scope, _)| covers(scope.as_deref(), namespace)).map(|(_, w)| w) {
            // A list that is under way may have been made before.
            for there in std::iter::once(&mut watched.there).chain(watched.listing.as_mut()) {
                there.versions.entry(secret).or_default();
            }
        }
    }

    /// Whether no watch has told of a Secret. It may have come a moment ago.
    pub(in crate::controller) fn lacks(&self, namespace: &str, name: &str) -> bool {
        let secret = self.hasher.hash_one((namespace, name));
        let inner = self.lock();
        let mut covering = inner.iter().filter(|(scope, _)| covers(scope.as_deref(), namespace));
        covering.all(|(_, watched)| !watched.there.versions.contains_key(&secret))
    }

    /// The version that a Secret was last seen in, if a watch has told of one. It may have changed a moment ago.
    pub(in crate::controller) fn version(&self, namespace: &str, name: &str) -> Option<Version> {
        let secret = self.hasher.hash_one((namespace, name));
        let inner = self.lock();
        let mut covering = inner.iter().filter(|(scope, _)| covers(scope.as_deref(), namespace));
        covering.find_map(|(_, watched)| watched.there.versions.get(&secret).copied().flatten())
    }

    /// Whether a Secret is a record Secret with the pair of this client id; `None` if it is no record Secret.
    pub(in crate::controller) fn is_of(&self, namespace: &str, name: &str, client_id: &str) -> Option<bool> {
        let (secret, issuer) = (self.hasher.hash_one((namespace, name)), self.hasher.hash_one(client_id));
        let inner = self.lock();
        let mut covering = inner.iter().filter(|(scope, _)| covers(scope.as_deref(), namespace));
        covering.find_map(|(_, watched)| watched.there.issuers.get(&secret).map(|known| *known == issuer))
    }
}

fn covers(scope: Option<&str>, namespace: &str) -> bool {
    scope.is_none_or(|scope| scope == namespace)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;
    use crate::core::vocabulary::PREFIX;

    fn secret(namespace: &str, name: &str, version: &str) -> Secret {
        let metadata = json!({"namespace": namespace, "name": name, "uid": name, "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn there_is_what_was_listed_or_came_and_has_not_gone() {
        for scope in [None, Some("shop")] {
            let presence = Presence::default();
            let lacks = |name: &str| presence.lacks("shop", name);
            let note = |name: &str, gone| presence.note(scope, &secret("shop", name, "1"), gone);
            presence.listing(scope);
            note("a", false);
            note("b", false);
            presence.listed(scope);
            assert!(!lacks("a") && !lacks("b") && lacks("c"));
            assert!(presence.lacks("elsewhere", "a"));
            note("c", false);
            note("a", true);
            assert!(lacks("a") && !lacks("c"));
            presence.found("shop", "d");
            assert!(!lacks("d"));
            // Until the next list is over, the one before counts.
            presence.listing(scope);
            note("a", false);
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
            presence.note(Some(namespace), &secret(namespace, "a", "1"), false);
            presence.listed(Some(namespace));
        }
        presence.listing(Some("team"));
        presence.listed(Some("team"));
        assert!(!presence.lacks("shop", "a") && presence.lacks("team", "a"));
    }

    #[test]
    fn a_version_is_the_one_last_seen() {
        let presence = Presence::default();
        let is = |name: &str, version: &str| {
            presence.version("shop", name) == Version::of(&secret("shop", name, version))
                && !presence.lacks("shop", name)
        };
        presence.listing(None);
        presence.note(None, &secret("shop", "a", "1"), false);
        assert!(presence.version("shop", "a").is_none(), "the list isn't over");
        presence.listed(None);
        assert!(is("a", "1") && !is("a", "2"));
        presence.note(None, &secret("shop", "a", "2"), false);
        assert!(is("a", "2") && !is("a", "1"));
        presence.note(None, &secret("shop", "a", "3"), true);
        assert!(presence.version("shop", "a").is_none() && presence.lacks("shop", "a"));
        presence.found("shop", "a");
        assert!(presence.version("shop", "a").is_none(), "there is one, of whatever version");
    }

    #[test]
    fn whose_pair_is_in_a_record_secret_is_known() {
        let presence = Presence::default();
        let note = |annotations: &[(&str, &str)], gone| {
            let mut secret = secret("shop", "web-record", "1");
            let named = annotations.iter().map(|(name, text)| (format!("{PREFIX}{name}"), (*text).to_owned()));
            secret.annotations_mut().extend(named);
            presence.note(None, &secret, gone);
        };
        let is = || presence.is_of("shop", "web-record", "id");
        assert_eq!(is(), None);
        note(&[("issuer", "id")], false);
        assert_eq!(is(), None, "the Secret of applications has that, too");
        for (issuer, of) in [("id", true), ("another", false)] {
            note(&[("issuer", issuer), ("record-of", "shop/web/1")], false);
            assert_eq!(is(), Some(of));
        }
        note(&[("issuer", "id"), ("record-of", "shop/web/1")], true);
        assert_eq!(is(), None, "it is gone");
    }
}
