//! The objects of a kind as the watch holds them, by their names and by what they have to do with: what spares a walk over all
//! of them at each event.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use kube::{Resource, runtime::watcher::Event};
use tokio::sync::SetOnce;

use super::relations::{Relation, Stored, of_guarded};
use crate::{controller::key::ObjectKey, kubernetes::Lenient};

/// An object as many hold it.
pub(in crate::controller) type Held<K> = Arc<Lenient<K>>;

/// What an event has changed.
pub(in crate::controller) struct Noted<K> {
    /// The object had to do with something else before, or, at the end of a list, any object.
    pub(in crate::controller) moved: bool,
    /// What isn't there any more though no event has told so: others have their names by now, or nobody.
    pub(in crate::controller) gone: Vec<Held<K>>,
}

impl<K> Noted<K> {
    /// A list has begun, or goes on: it counts once it is over.
    const fn nothing() -> Self {
        Self { moved: false, gone: Vec::new() }
    }
}

/// The objects of a kind, in one namespace or in all. Whoever has a share of it sees the same.
pub(in crate::controller) struct Store<K>(Arc<Shared<K>>);

struct Shared<K> {
    inner: RwLock<Inner<K>>,
    listed: SetOnce<()>,
    /// How many objects those were shown that asked for several.
    #[cfg(test)]
    shown: std::sync::atomic::AtomicUsize,
}

struct Inner<K> {
    current: Index<K>,
    /// What a list has brought so far.
    coming: Index<K>,
}

/// There may be very many: each has its name once. Of relations that share a hash, whoever asks sees the object itself.
struct Index<K> {
    objects: HashMap<ObjectKey, Held<K>>,
    /// By the hash of the relation, in the order of their names.
    related: HashMap<u64, Vec<ObjectKey>>,
    hasher: RandomState,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        let inner = RwLock::new(Inner { current: Index::default(), coming: Index::default() });
        Self(Arc::new(Shared {
            inner,
            listed: SetOnce::new(),
            #[cfg(test)]
            shown: std::sync::atomic::AtomicUsize::default(),
        }))
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { objects: HashMap::new(), related: HashMap::new(), hasher: RandomState::new() }
    }
}

impl<K: Stored> Store<K> {
    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.0.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an event.
    pub(in crate::controller) fn note(&self, event: &Event<Held<K>>) -> Noted<K> {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        let mut inner = self.0.inner.write().unwrap_or_else(PoisonError::into_inner);
        let of_one = |object: &Held<K>, before: Option<Held<K>>| Noted {
            moved: before.as_ref().is_some_and(|before| of_guarded(before) != of_guarded(object)),
            gone: before.into_iter().filter(|before| before.meta().uid != object.meta().uid).collect(),
        };
        match event {
            Event::Apply(object) => of_one(object, inner.current.put(object)),
            Event::Delete(object) => of_one(object, inner.current.remove(&ObjectKey::of_object(&**object))),
            Event::Init => {
                inner.coming = Index::default();
                Noted::nothing()
            }
            Event::InitApply(object) => {
                inner.coming.put(object);
                Noted::nothing()
            }
            Event::InitDone => {
                let coming = mem::take(&mut inner.coming);
                let before = mem::replace(&mut inner.current, coming);
                // It was listed before, otherwise.
                drop(self.0.listed.set(()));
                before.to(&inner.current)
            }
        }
    }

    /// Waits until they have been listed once.
    pub(in crate::controller) async fn listed(&self) {
        self.0.listed.wait().await;
    }

    /// Whether they have.
    pub(in crate::controller) fn is_listed(&self) -> bool {
        self.0.listed.initialized()
    }

    /// An object, whether it could be read or not.
    pub(in crate::controller) fn get(&self, key: &ObjectKey) -> Option<Held<K>> {
        self.read().current.objects.get(key).cloned()
    }

    /// The key of an object, as it is kept here if it is.
    pub(in crate::controller) fn key(&self, object: &Lenient<K>) -> ObjectKey {
        let key = ObjectKey::of_object(object);
        self.read().current.objects.get_key_value(&key).map_or(key, |(kept, _)| kept.clone())
    }

    /// The keys of all of them.
    pub(in crate::controller) fn keys(&self) -> Vec<ObjectKey> {
        self.read().current.objects.keys().cloned().collect()
    }

    /// All of them.
    pub(in crate::controller) fn all(&self) -> Vec<Held<K>> {
        let all: Vec<_> = self.read().current.objects.values().cloned().collect();
        #[cfg(test)]
        self.0.shown.fetch_add(all.len(), std::sync::atomic::Ordering::SeqCst);
        all
    }

    /// Those that have to do with this, in the order of their names.
    pub(super) fn related(&self, relation: &Relation<'_>) -> Vec<Held<K>> {
        let Inner { current, .. } = &*self.read();
        let objects = current.related(relation).iter().filter_map(|key| current.objects.get(key));
        let related: Vec<_> = objects.filter(|object| of_guarded(object).contains(relation)).cloned().collect();
        #[cfg(test)]
        self.0.shown.fetch_add(related.len(), std::sync::atomic::Ordering::SeqCst);
        related
    }

    /// How many objects were shown since this was last asked.
    #[cfg(test)]
    pub(in crate::controller) fn shown(&self) -> usize {
        self.0.shown.swap(0, std::sync::atomic::Ordering::SeqCst)
    }

    /// How many there are.
    pub(super) fn count(&self, relation: &Relation<'_>) -> usize {
        self.read().current.related(relation).len()
    }
}

impl<K: Stored> Index<K> {
    /// Returns what was in its place.
    fn put(&mut self, object: &Held<K>) -> Option<Held<K>> {
        let key = match self.objects.entry(ObjectKey::of_object(&**object)) {
            Entry::Occupied(mut place) if of_guarded(place.get()) == of_guarded(object) => {
                return Some(place.insert(Arc::clone(object)));
            }
            Entry::Occupied(place) => place.key().clone(),
            Entry::Vacant(place) => place.into_key(),
        };
        let before = self.remove(&key);
        for relation in of_guarded(object) {
            // Most are of one alone.
            let keys = self.related.entry(self.hasher.hash_one(relation)).or_insert_with(|| Vec::with_capacity(1));
            if let Err(place) = keys.binary_search(&key) {
                keys.insert(place, key.clone());
            }
        }
        self.objects.insert(key, Arc::clone(object));
        before
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Held<K>> {
        let before = self.objects.remove(key)?;
        for relation in of_guarded(&before) {
            let Entry::Occupied(mut keys) = self.related.entry(self.hasher.hash_one(relation)) else { continue };
            if let Ok(place) = keys.get().binary_search(key) {
                keys.get_mut().remove(place);
            }
            if keys.get().is_empty() {
                keys.remove();
            }
        }
        Some(before)
    }

    fn related(&self, relation: &Relation<'_>) -> &[ObjectKey] {
        self.related.get(&self.hasher.hash_one(relation)).map_or(&[], Vec::as_slice)
    }

    /// What has changed from this one to the next.
    fn to(self, next: &Self) -> Noted<K> {
        let same = |(key, object): (_, &Held<K>)| {
            next.objects.get(key).is_some_and(|next| of_guarded(next) == of_guarded(object))
        };
        let as_before = self.objects.len() == next.objects.len() && self.objects.iter().all(same);
        let moved = !self.objects.is_empty() && !as_before;
        let stays = |(key, object): &(ObjectKey, Held<K>)| {
            next.objects.get(key).is_some_and(|next| next.meta().uid == object.meta().uid)
        };
        Noted {
            moved,
            gone: self.objects.into_iter().filter(|object| !stays(object)).map(|(_, object)| object).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, collections::BTreeMap};

    use futures::FutureExt;
    use kube::{ResourceExt, core::error_boundary::InvalidObject};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::ShopifyToken;

    fn token(name: &str, spec: &Value) -> Held<ShopifyToken> {
        let mut object = json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {"shop": "acme.myshopify.com"},
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        Arc::new(Lenient(Ok(serde_json::from_value(object).unwrap())))
    }

    fn names(store: &Store<ShopifyToken>, relation: &Relation<'_>) -> Vec<String> {
        let names: Vec<String> = store.related(relation).iter().map(|token| token.name_any()).collect();
        assert_eq!(store.count(relation), names.len());
        names
    }

    #[test]
    fn a_token_is_found_by_all_it_has_to_do_with_and_by_nothing_that_it_had() {
        let store = Store::default();
        let moved = |event| store.note(&event).moved;
        let secret = |name| Relation::Secret("shop", Cow::Borrowed(name));
        let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme", "namespace": "apps"}}}});
        assert!(!moved(Event::Apply(token("admin", &grant))), "it is new");
        assert!(!moved(Event::Apply(token("admin", &grant))), "it is as it was");
        assert_eq!(names(&store, &Relation::App("apps", "acme")), ["admin"]);
        assert!(names(&store, &Relation::App("shop", "acme")).is_empty());
        let storefront =
            json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "secret": {"name": "s"}});
        store.note(&Event::Apply(token("web", &storefront)));
        assert_eq!(names(&store, &Relation::Admin("shop", "admin")), ["web"]);
        assert_eq!(names(&store, &secret("s")), ["web"]);
        let offline = json!({"source": {"offline": {"appRef": {"name": "acme"}}}});
        assert!(moved(Event::Apply(token("web", &offline))), "it had to do with another");
        assert!(names(&store, &Relation::Admin("shop", "admin")).is_empty());
        for relation in [Relation::Offline("acme.myshopify.com"), secret("web-record"), Relation::App("shop", "acme")] {
            assert_eq!(names(&store, &relation), ["web"], "{relation:?}");
        }
        assert_eq!(names(&store, &Relation::Namespace("shop")), ["admin", "web"]);

        // One that can't be read any more has to do with its namespace alone, and a list takes the place of all before.
        let metadata = token("web", &offline).0.as_ref().unwrap().metadata.clone();
        let invalid = InvalidObject { error: "odd".to_owned(), metadata };
        assert!(moved(Event::Apply(Arc::new(Lenient(Err(invalid))))));
        assert!(names(&store, &Relation::App("shop", "acme")).is_empty());
        assert_eq!(names(&store, &Relation::Namespace("shop")), ["admin", "web"]);
        store.note(&Event::Init);
        store.note(&Event::InitApply(token("new", &grant)));
        assert_eq!(names(&store, &Relation::Namespace("shop")), ["admin", "web"], "it isn't over yet");
        assert!(!store.is_listed() && store.listed().now_or_never().is_none());
        assert!(moved(Event::InitDone), "others are gone");
        assert!(store.is_listed() && store.clone().listed().now_or_never().is_some());
        assert_eq!(names(&store, &Relation::Namespace("shop")), ["new"]);
        store.note(&Event::Init);
        store.note(&Event::InitApply(token("new", &grant)));
        assert!(!moved(Event::InitDone), "all is as it was");
        assert!(moved(Event::Delete(token("new", &storefront))), "what it named last was never told");
        assert!(names(&store, &Relation::Namespace("shop")).is_empty());
    }

    /// What a step of a watch brings: an object of this name, of which UID and which app's.
    type Step = (u8, u8, u8, u8);

    fn step() -> impl Strategy<Value = Step> {
        (0..6_u8, 0..4_u8, 0..2_u8, 0..3_u8)
    }

    fn object(name: u8, uid: u8, app: u8) -> Held<ShopifyToken> {
        let source = match app {
            0 => json!({"offline": {"appRef": {"name": "app-0"}}}),
            app => json!({"clientCredentials": {"appRef": {"name": format!("app-{app}")}}}),
        };
        let mut object = Arc::unwrap_or_clone(token(&format!("t-{name}"), &json!({"source": source})));
        object.meta_mut().uid = Some(uid.to_string());
        Arc::new(object)
    }

    /// All that is said of an object.
    fn told(object: &Held<ShopifyToken>) -> (String, Option<String>) {
        (object.name_any(), object.uid())
    }

    proptest! {
        /// Whatever comes, the store holds what a plain list of it would, and tells what went unseen.
        #[test]
        fn what_is_held_is_what_came_last(steps in proptest::collection::vec(step(), 0..60)) {
            let store = Store::default();
            let (mut now, mut coming) = (BTreeMap::new(), BTreeMap::new());
            for (step, name, uid, app) in steps {
                let (object, before) = (object(name, uid, app), now.clone());
                let event = match step {
                    0 | 1 => {
                        now.insert(name, Arc::clone(&object));
                        Event::Apply(object)
                    }
                    2 => Event::Delete(now.remove(&name).unwrap_or(object)),
                    3 => {
                        coming.clear();
                        Event::Init
                    }
                    4 => {
                        coming.insert(name, Arc::clone(&object));
                        Event::InitApply(object)
                    }
                    _ => {
                        now = mem::take(&mut coming);
                        Event::InitDone
                    }
                };
                let noted = store.note(&event);
                let seen = match &event {
                    Event::Delete(object) => Some(told(object)),
                    _ => None,
                };
                let here: Vec<_> = now.values().map(told).collect();
                let went = before.values().map(told).filter(|it| !here.contains(it) && Some(it) != seen.as_ref());
                let mut gone: Vec<_> = noted.gone.iter().map(told).collect();
                gone.sort();
                prop_assert_eq!(gone, went.collect::<Vec<_>>());
                let mut all: Vec<_> = store.all().iter().map(told).collect();
                all.sort();
                prop_assert_eq!(all, here);
                let relations = (0..3).map(|app| format!("app-{app}")).collect::<Vec<_>>();
                let relations = relations.iter().map(|app| Relation::App("shop", app));
                for relation in relations.chain([Relation::Namespace("shop"), Relation::Offline("acme.myshopify.com")]) {
                    let related = now.values().filter(|object| of_guarded(object).contains(&relation));
                    let related: Vec<_> = related.map(|object| object.name_any()).collect();
                    prop_assert_eq!(names(&store, &relation), related, "{:?}", relation);
                }
            }
            for object in now.values() {
                store.note(&Event::Delete(Arc::clone(object)));
            }
            let inner = store.read();
            prop_assert!(inner.current.objects.is_empty() && inner.current.related.is_empty());
        }
    }
}
