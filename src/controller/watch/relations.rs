//! Which tokens and apps have to do with what: what spares a walk over all of them at each event.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    marker::PhantomData,
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use kube::{Resource, ResourceExt, runtime::watcher::Event};

use crate::api::{ShopifyApp, ShopifyToken};
use crate::kubernetes::Lenient;

/// Namespace and name of an object.
pub(super) type Key = (String, String);

/// What an object may have to do with. Of two texts the first is a namespace, the second a name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Relation<'a> {
    /// It is in this namespace.
    Namespace(&'a str),
    /// It reads or writes this Secret by itself.
    Secret(&'a str, Cow<'a, str>),
    /// It is a token that is issued with this app.
    App(&'a str, &'a str),
    /// It is a token that is made with this admin token.
    Admin(&'a str, &'a str),
    /// It is an offline token of this shop.
    Offline(&'a str),
    /// It is an app that grants something.
    Grants,
}

/// What has relations.
pub(super) trait Related: Resource<DynamicType = ()> {
    /// All that it has to do with.
    fn relations(&self) -> Vec<Relation<'_>>;
}

impl Related for ShopifyToken {
    fn relations(&self) -> Vec<Relation<'_>> {
        let here = self.metadata.namespace.as_deref().unwrap_or_default();
        let mut secrets = vec![Cow::Borrowed(self.secret_name())];
        secrets.extend(self.credentials_secret().map(Cow::Borrowed));
        secrets.extend(self.record_secret().map(Cow::Owned));
        let mut all = vec![Relation::Namespace(here)];
        all.extend(secrets.into_iter().map(|name| Relation::Secret(here, name)));
        all.extend(self.app().map(|(namespace, name)| Relation::App(namespace, name)));
        all.extend(self.admin_token().map(|name| Relation::Admin(here, name)));
        all.extend(self.spec.source.offline.as_ref().map(|_| Relation::Offline(&self.spec.shop)));
        all
    }
}

impl Related for ShopifyApp {
    fn relations(&self) -> Vec<Relation<'_>> {
        let here = self.metadata.namespace.as_deref().unwrap_or_default();
        let mut all =
            vec![Relation::Namespace(here), Relation::Secret(here, Cow::Borrowed(&self.spec.credentials_ref.name))];
        all.extend((!self.spec.grants.is_empty()).then_some(Relation::Grants));
        all
    }
}

/// What an object that may be beyond reading has to do with: then with nothing but its namespace.
pub(super) fn of_guarded<K: Related>(object: &Lenient<K>) -> Vec<Relation<'_>> {
    let here = object.meta().namespace.as_deref().unwrap_or_default();
    object.0.as_ref().map_or_else(|_| vec![Relation::Namespace(here)], K::relations)
}

/// The objects of a watch by what they have to do with. It follows the same events as the store.
pub(super) struct Relations<K> {
    hasher: RandomState,
    inner: RwLock<Inner>,
    of: PhantomData<fn(K)>,
}

#[derive(Default)]
struct Inner {
    current: Index,
    /// What a list has brought so far.
    listed: Index,
}

/// A relation takes eight bytes, for there may be very many: of what shares them, whoever asks sees the object itself.
#[derive(Default)]
struct Index {
    of: HashMap<Arc<Key>, Box<[u64]>>,
    objects: HashMap<u64, BTreeSet<Arc<Key>>>,
}

impl<K> Default for Relations<K> {
    fn default() -> Self {
        Self { hasher: RandomState::default(), inner: RwLock::default(), of: PhantomData }
    }
}

impl<K: Related> Relations<K> {
    /// Takes note of an event, once the store has. Says whether the object had to do with something else before, or, at the
    /// end of a list, any object.
    pub(super) fn note(&self, event: &Event<Lenient<K>>) -> bool {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) => inner.current.put(key(object), self.relations(object)),
            Event::Delete(object) => {
                let before = inner.current.remove(&key(object));
                before.is_some_and(|before| before != self.relations(object))
            }
            Event::Init => {
                inner.listed = Index::default();
                false
            }
            Event::InitApply(object) => inner.listed.put(key(object), self.relations(object)),
            Event::InitDone => {
                let listed = mem::take(&mut inner.listed);
                let before = mem::replace(&mut inner.current, listed);
                !before.of.is_empty() && before.of != inner.current.of
            }
        }
    }

    /// The objects that have to do with this, by namespace and name.
    pub(super) fn of(&self, relation: &Relation<'_>) -> Vec<Arc<Key>> {
        self.read().current.objects.get(&self.hasher.hash_one(relation)).into_iter().flatten().cloned().collect()
    }

    /// How many there are.
    pub(super) fn count(&self, relation: &Relation<'_>) -> usize {
        self.read().current.objects.get(&self.hasher.hash_one(relation)).map_or(0, BTreeSet::len)
    }

    fn relations(&self, object: &Lenient<K>) -> Box<[u64]> {
        of_guarded(object).iter().map(|relation| self.hasher.hash_one(relation)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Says whether there were other relations before.
    fn put(&mut self, key: Key, now: Box<[u64]>) -> bool {
        let before = self.of.get(&key);
        if before == Some(&now) {
            return false;
        }
        let moved = before.is_some();
        self.remove(&key);
        let key = Arc::new(key);
        for relation in &now {
            self.objects.entry(*relation).or_default().insert(Arc::clone(&key));
        }
        self.of.insert(key, now);
        moved
    }

    fn remove(&mut self, key: &Key) -> Option<Box<[u64]>> {
        let before = self.of.remove(key)?;
        for relation in &before {
            if let Some(objects) = self.objects.get_mut(relation) {
                objects.remove(key);
                if objects.is_empty() {
                    self.objects.remove(relation);
                }
            }
        }
        Some(before)
    }
}

fn key<K: Related>(object: &Lenient<K>) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use kube::core::error_boundary::InvalidObject;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn token(name: &str, spec: &Value) -> Lenient<ShopifyToken> {
        let mut object = json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {"shop": "acme.myshopify.com"},
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        Lenient(Ok(serde_json::from_value(object).unwrap()))
    }

    fn names(relations: &Relations<ShopifyToken>, relation: &Relation<'_>) -> Vec<String> {
        relations.of(relation).iter().map(|key| key.1.clone()).collect()
    }

    #[test]
    fn a_token_is_found_by_all_it_has_to_do_with_and_by_nothing_that_it_had() {
        let relations = Relations::default();
        let secret = |name| Relation::Secret("shop", Cow::Borrowed(name));
        let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme", "namespace": "apps"}}}});
        assert!(!relations.note(&Event::Apply(token("admin", &grant))), "it is new");
        assert!(!relations.note(&Event::Apply(token("admin", &grant))), "it is as it was");
        assert_eq!(names(&relations, &Relation::App("apps", "acme")), ["admin"]);
        assert!(names(&relations, &Relation::App("shop", "acme")).is_empty());
        let storefront =
            json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "secret": {"name": "s"}});
        relations.note(&Event::Apply(token("web", &storefront)));
        assert_eq!(names(&relations, &Relation::Admin("shop", "admin")), ["web"]);
        assert_eq!(names(&relations, &secret("s")), ["web"]);
        let offline = json!({"source": {"offline": {"appRef": {"name": "acme"}}}});
        assert!(relations.note(&Event::Apply(token("web", &offline))), "it had to do with another");
        assert!(names(&relations, &Relation::Admin("shop", "admin")).is_empty());
        for relation in [Relation::Offline("acme.myshopify.com"), secret("web-record"), Relation::App("shop", "acme")] {
            assert_eq!(names(&relations, &relation), ["web"], "{relation:?}");
        }
        assert_eq!(names(&relations, &Relation::Namespace("shop")), ["admin", "web"]);

        // One that can't be read any more has to do with its namespace alone, and a list takes the place of all before.
        let metadata = token("web", &offline).0.unwrap().metadata;
        let invalid = InvalidObject { error: "odd".to_owned(), metadata };
        assert!(relations.note(&Event::Apply(Lenient(Err(invalid)))));
        assert!(names(&relations, &Relation::App("shop", "acme")).is_empty());
        assert_eq!(names(&relations, &Relation::Namespace("shop")), ["admin", "web"]);
        relations.note(&Event::Init);
        relations.note(&Event::InitApply(token("new", &grant)));
        assert_eq!(names(&relations, &Relation::Namespace("shop")), ["admin", "web"], "it isn't over yet");
        assert!(relations.note(&Event::InitDone), "others are gone");
        assert_eq!(names(&relations, &Relation::Namespace("shop")), ["new"]);
        relations.note(&Event::Init);
        relations.note(&Event::InitApply(token("new", &grant)));
        assert!(!relations.note(&Event::InitDone), "all is as it was");
        assert!(relations.note(&Event::Delete(token("new", &storefront))), "what it named last was never told");
        assert!(names(&relations, &Relation::Namespace("shop")).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_kept_for_what_is_gone(steps in proptest::collection::vec((0..4_u8, 0..4_u8, any::<bool>()), 0..40)) {
            let relations = Relations::default();
            for (name, app, gone) in steps {
                let source = json!({"source": {"clientCredentials": {"appRef": {"name": format!("app-{app}")}}}});
                let object = token(&format!("t-{name}"), &source);
                relations.note(&if gone { Event::Delete(object) } else { Event::Apply(object) });
            }
            for name in 0..4 {
                let source = json!({"source": {"clientCredentials": {"appRef": {"name": "x"}}}});
                relations.note(&Event::Delete(token(&format!("t-{name}"), &source)));
            }
            let inner = relations.read();
            prop_assert!(inner.current.of.is_empty() && inner.current.objects.is_empty());
        }
    }
}
