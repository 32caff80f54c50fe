//! Which Secrets say that they hold the credential of which ShopifyToken, and what their metadata tells of it: what saves
//! lists and reads. Each Secret that is there counts once, and what it says is read live before anything is done.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use tokio::{sync::Notify, time::Instant};

use super::health::version;
use crate::{
    controller::key::ObjectKey,
    core::{
        identity::Identity,
        minted::Mint,
        packed::{Packed, Texts},
        record::{self, Record},
        untouched::untouched,
    },
};

/// How long the first list of Secrets is waited for: it may be long, or not be granted.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the watches of Secrets, and the operator's own writes, say.
pub struct Holdings {
    inner: Mutex<Inner>,
    /// Told of each list.
    listed: Notify,
    began: Instant,
}

impl Default for Holdings {
    fn default() -> Self {
        Self { inner: Mutex::default(), listed: Notify::new(), began: Instant::now() }
    }
}

/// Whose a Secret was, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Noted {
    /// Whose it was before.
    pub before: Option<Identity>,
    /// Whose it is.
    pub now: Option<Identity>,
    /// Whether it says otherwise than before which client secret minted what is in it.
    pub minted: bool,
}

/// What a Secret says. There may be very many.
struct Holder {
    /// Its record, or what is left of it.
    record: Packed,
    /// `metadata.resourceVersion`.
    version: u64,
    /// Whether nobody else has written what is ours.
    untouched: bool,
}

#[derive(Default)]
struct Inner {
    hasher: RandomState,
    holders: HashMap<ObjectKey, Holder>,
    texts: Texts,
    /// The Secrets of the tokens of a namespace and name, by the hash of those: what shares it is told apart by the holders.
    secrets: HashMap<u64, Vec<ObjectKey>>,
    /// The namespaces whose Secrets were listed; `None` for all of them.
    listed: HashSet<Option<String>>,
}

impl Holdings {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a Secret that is there, or just was.
    pub fn note(&self, secret: &impl ResourceExt, gone: bool) -> Noted {
        let key = ObjectKey::of_object(secret);
        let (version, inner) = (version(secret.resource_version().as_deref()), &mut *self.lock());
        // A write of our own may have been answered before its event came, and the event before it after that. What is known
        // already isn't taken apart again.
        let known = inner.holders.get(&key);
        if let Some(known) =
            known.filter(|known| version < known.version || (!gone && 0 < version && version == known.version))
        {
            return Noted { before: known.token(), now: known.token(), minted: false };
        }
        // A copy tells where it is from.
        let original = !gone && record::place(secret.annotations()) == Some(key.name());
        let here = record::holder(secret.annotations()).is_some_and(|token| token.namespace == key.namespace());
        let record = (original && here).then(|| Packed::of(secret.annotations(), &mut inner.texts)).flatten();
        let before = inner.take(&key);
        let now = record.map(|record| Holder { record, version, untouched: untouched(secret.meta()).is_some() });
        let minted = match (&before, &now) {
            (Some(before), Some(now)) => (before.token(), before.mint()) != (now.token(), now.mint()),
            (None, None) => false,
            (None, Some(_)) | (Some(_), None) => true,
        };
        let noted = Noted {
            before: before.as_ref().and_then(Holder::token),
            now: now.as_ref().and_then(Holder::token),
            minted,
        };
        if let Some(holder) = now {
            inner.put(key, holder);
        }
        if let Some(holder) = before {
            inner.texts.forget(holder.record);
        }
        noted
    }

    /// What the record in a Secret says of the client secret that minted its credential, if that is a token's of this
    /// name.
    pub(in crate::controller) fn mint(&self, namespace: &str, secret: &str, token: &str) -> Option<Mint> {
        let inner = self.lock();
        let holder = inner.holders.get(&ObjectKey::new(namespace, secret))?;
        holder.mint().filter(|_| holder.record.place() == Some((namespace, token)))
    }

    /// The record in a Secret of a token's, if nobody else has written what is ours of it since.
    pub(in crate::controller) fn untouched(&self, token: &Identity, secret: &str) -> Option<Record> {
        let inner = self.lock();
        let holder = inner.holders.get(&ObjectKey::new(&token.namespace, secret))?;
        let its = holder.untouched && holder.token().as_ref() == Some(token);
        its.then(|| holder.record.record()).flatten()
    }

    /// The `resourceVersion` that a Secret of a token's was last seen with.
    pub(in crate::controller) fn version(&self, namespace: &str, secret: &str) -> Option<u64> {
        self.lock().holders.get(&ObjectKey::new(namespace, secret)).map(|holder| holder.version)
    }

    /// The Secrets of a namespace, or of all, are about to be listed: the API server's history may have gone back.
    pub(in crate::controller) fn listing(&self, namespace: Option<&str>) {
        let mut inner = self.lock();
        let within = |key: &ObjectKey| namespace.is_none_or(|namespace| key.namespace() == namespace);
        inner.holders.iter_mut().filter(|(key, _)| within(key)).for_each(|(_, holder)| holder.version = 0);
    }

    /// A Secret isn't there.
    pub(in crate::controller) fn gone(&self, namespace: &str, name: &str) {
        self.lock().forget(&ObjectKey::new(namespace, name));
    }

    /// The same of all Secrets that hold the credential of a token of this name.
    pub(in crate::controller) fn mints_of(&self, namespace: &str, token: &str) -> Vec<Mint> {
        self.lock().held_by(namespace, token).filter_map(|(_, holder)| holder.mint()).collect()
    }

    /// The Secrets of a namespace, or of all, were listed: there are no others than these.
    pub(in crate::controller) fn listed(&self, namespace: Option<&str>, there: &HashSet<ObjectKey>) {
        let mut inner = self.lock();
        let within = |key: &ObjectKey| namespace.is_none_or(|namespace| key.namespace() == namespace);
        let gone: Vec<ObjectKey> =
            inner.holders.keys().filter(|key| within(key) && !there.contains(*key)).cloned().collect();
        for key in gone {
            inner.forget(&key);
        }
        inner.listed.insert(namespace.map(str::to_owned));
        self.listed.notify_waiters();
    }

    /// Waits until the Secrets of a namespace were listed; when the process is new, and not for long.
    pub(in crate::controller) async fn first_list(&self, namespace: &str) {
        let listed = async {
            loop {
                let next = self.listed.notified();
                if self.knows(namespace) {
                    return;
                }
                next.await;
            }
        };
        // What isn't known by then is read.
        drop(tokio::time::timeout_at(self.began + PATIENCE, listed).await);
    }

    /// Whether the Secrets of a namespace were listed since the process began.
    pub(in crate::controller) fn knows(&self, namespace: &str) -> bool {
        let inner = self.lock();
        inner.listed.contains(&None) || inner.listed.contains(&Some(namespace.to_owned()))
    }

    /// The names of the Secrets that a token's credential is said to be in.
    pub(in crate::controller) fn of(&self, token: &Identity) -> Vec<String> {
        let inner = self.lock();
        let held =
            inner.held_by(&token.namespace, &token.name).filter(|(_, holder)| holder.token().as_ref() == Some(token));
        let mut names: Vec<String> = held.map(|(key, _)| key.name().to_owned()).collect();
        names.sort_unstable();
        names
    }
}

impl Holder {
    /// Whose credential it is.
    fn token(&self) -> Option<Identity> {
        self.record.holder()
    }

    /// What the record says of the client secret that minted its credential; `None` if it can't be read.
    fn mint(&self) -> Option<Mint> {
        self.record.record().as_ref().map(Mint::of)
    }
}

impl Inner {
    /// The Secrets that hold the credential of a token of this name.
    fn held_by(&self, namespace: &str, token: &str) -> impl Iterator<Item = (&ObjectKey, &Holder)> {
        let keys = self.secrets.get(&self.hasher.hash_one(Some((namespace, token)))).into_iter().flatten();
        let held = keys.filter_map(|key| Some((key, self.holders.get(key)?)));
        held.filter(move |(_, holder)| holder.record.place() == Some((namespace, token)))
    }

    fn put(&mut self, key: ObjectKey, holder: Holder) {
        let token = self.hasher.hash_one(holder.record.place());
        // Most have one.
        self.secrets.entry(token).or_insert_with(|| Vec::with_capacity(1)).push(key.clone());
        self.holders.insert(key, holder);
    }

    fn take(&mut self, key: &ObjectKey) -> Option<Holder> {
        let holder = self.holders.remove(key)?;
        let token = self.hasher.hash_one(holder.record.place());
        if let Some(secrets) = self.secrets.get_mut(&token) {
            secrets.retain(|secret| secret != key);
            if secrets.is_empty() {
                self.secrets.remove(&token);
            }
        }
        Some(holder)
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some(holder) = self.take(key) {
            self.texts.forget(holder.record);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    fn secret(namespace: &str, name: &str, holder: Option<&str>) -> Secret {
        let mut annotations = json!({"tokens.shopify-operator.dev/secret": name.trim_start_matches("copy-of-")});
        if let Some(holder) = holder {
            annotations["tokens.shopify-operator.dev/token"] = json!(holder);
        }
        let metadata = json!({"namespace": namespace, "name": name, "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn web() -> Identity {
        "shop/web/1".parse().unwrap()
    }

    #[test]
    fn each_secret_counts_once_and_for_whom_it_says_now() {
        let holdings = Holdings::default();
        let noted = |before, now, minted| Noted { before, now, minted };
        let first = secret("shop", "a", Some("shop/web/1"));
        assert_eq!(holdings.note(&first, false), noted(None, Some(web()), true));
        assert_eq!(holdings.note(&first, false), noted(Some(web()), Some(web()), false));
        holdings.note(&secret("shop", "b", Some("shop/web/1")), false);
        holdings.note(&secret("other", "c", Some("shop/web/1")), false);
        holdings.note(&secret("shop", "copy-of-a", Some("shop/web/1")), false);
        assert_eq!(holdings.of(&web()), ["a", "b"], "no copy, and none of another namespace");
        assert_eq!(holdings.note(&secret("shop", "a", Some("shop/web/2")), false).before, Some(web()));
        assert_eq!(holdings.note(&secret("shop", "b", None), false), noted(Some(web()), None, true));
        assert!(holdings.of(&web()).is_empty());
        holdings.note(&secret("shop", "a", Some("shop/web/2")), true);
        let inner = holdings.lock();
        assert!(
            inner.holders.is_empty() && inner.secrets.is_empty() && inner.texts.is_empty(),
            "nothing is kept for what is gone"
        );
    }

    #[test]
    fn what_was_before_does_not_come_back_with_a_late_event() {
        let holdings = Holdings::default();
        let of = |version: &str, holder| {
            let mut secret = secret("shop", "a", Some(holder));
            secret.metadata.resource_version = Some(version.into());
            secret
        };
        let other: Identity = "shop/web/2".parse().unwrap();
        holdings.note(&of("10", "shop/web/2"), false);
        let late = holdings.note(&of("9", "shop/web/1"), false);
        assert_eq!((late.now, late.minted), (Some(other.clone()), false));
        assert_eq!((holdings.of(&other), holdings.version("shop", "a")), (vec!["a".to_owned()], Some(10)));
        holdings.note(&of("9", "shop/web/1"), true);
        assert_eq!(holdings.of(&other), ["a"], "another has taken the place of the one that went");
        // What an own write was answered with is known when its event comes; that it went counts, of whatever version.
        assert!(!holdings.note(&of("10", "shop/web/1"), false).minted);
        assert_eq!(holdings.of(&other), ["a"]);
        // The API server was restored: its list counts, whatever its numbers.
        holdings.listing(None);
        holdings.note(&of("9", "shop/web/1"), false);
        assert_eq!(holdings.of(&web()), ["a"]);
    }

    #[test]
    fn a_list_takes_out_what_went_meanwhile() {
        let holdings = Holdings::default();
        for name in ["a", "b"] {
            holdings.note(&secret("shop", name, Some("shop/web/1")), false);
        }
        assert!(!holdings.knows("shop"));
        holdings.listed(Some("shop"), &HashSet::from([ObjectKey::new("shop", "b")]));
        assert!(holdings.knows("shop") && !holdings.knows("other"));
        assert_eq!(holdings.of(&web()), ["b"]);
        holdings.listed(Some("other"), &HashSet::new());
        assert_eq!(holdings.of(&web()), ["b"]);
        holdings.listed(None, &HashSet::new());
        assert!(holdings.knows("any") && holdings.of(&web()).is_empty());
    }
}
