//! Memory that tasks share: a map, and locks by key. Never held across an await.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A map with room for so many entries keeps it.
const ROOM: usize = 256;

/// A map that tasks share. Never held across an await.
pub struct Shared<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Shared<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        // A panic elsewhere leaves a whole map: every change of it is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the entry.
    pub fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    /// Sets the entry, and returns what it was before.
    pub fn put(&self, key: K, value: V) -> Option<V> {
        self.lock().insert(key, value)
    }

    /// Changes the entry, which begins as the default.
    pub fn change<T>(&self, key: K, change: impl FnOnce(&mut V) -> T) -> T
    where
        V: Default,
    {
        change(self.lock().entry(key).or_default())
    }

    /// The keys of all entries.
    pub fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        self.lock().keys().cloned().collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = HashMap::new();
    }

    /// Keeps the entries that are wanted.
    pub fn retain(&self, mut wanted: impl FnMut(&K, &V) -> bool) {
        let mut map = self.lock();
        map.retain(|key, value| wanted(key, value));
        give_up_room(&mut map);
    }

    /// Takes the entry out.
    pub fn remove(&self, key: &K) -> Option<V> {
        let mut map = self.lock();
        let removed = map.remove(key);
        give_up_room(&mut map);
        removed
    }
}

/// A burst may have had thousands of entries for a moment: a map keeps room for as many, unless told otherwise.
fn give_up_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > ROOM && map.len() < map.capacity() / 8 {
        map.shrink_to((map.len() * 2).max(ROOM));
    }
}

/// One holder at a time for each key.
#[derive(Default)]
pub struct Locks(Shared<String, Arc<tokio::sync::Mutex<()>>>);

impl Locks {
    /// Waits for the key.
    pub async fn lock(&self, key: String) -> tokio::sync::OwnedMutexGuard<()> {
        // Whoever holds one or waits for it has a share of it: the others nobody needs.
        self.0.retain(|_, mutex| Arc::strong_count(mutex) > 1);
        self.0.change(key, |mutex| Arc::clone(mutex)).lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_a_burst_took_is_given_back() {
        let map: Shared<u32, String> = Shared::default();
        (0..10_000).for_each(|key| drop(map.put(key, key.to_string())));
        (10..10_000).for_each(|key| drop(map.remove(&key)));
        assert_eq!(map.keys().len(), 10);
        assert!(map.lock().capacity() <= ROOM * 2, "{}", map.lock().capacity());
        (0..10_000).for_each(|key| drop(map.put(key, key.to_string())));
        map.retain(|key, _| *key == 7);
        assert!(map.get(&7).is_some() && map.lock().capacity() <= ROOM * 2);
    }

    #[tokio::test]
    async fn a_lock_is_kept_while_somebody_holds_it_or_waits() {
        let locks = Locks::default();
        let held = locks.lock("a".into()).await;
        let mut waiting = Box::pin(locks.lock("a".into()));
        assert!(waiting.as_mut().now_or_never().is_none());
        for other in 0..100 {
            drop(locks.lock(other.to_string()).await);
        }
        assert!(locks.0.keys().len() <= 2, "{:?}", locks.0.keys());
        assert!(waiting.as_mut().now_or_never().is_none(), "it is held still");
        drop(held);
        let _held = waiting.await;
        assert!(locks.lock("a".into()).now_or_never().is_none(), "the same lock as before");
    }
}
