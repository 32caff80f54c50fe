//! A bound on the work under way for each shop, so that one that hangs can't take everything. Who finds no slot waits in
//! line, and the most urgent is woken when one is free.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Shop;

/// How long a slot is held for who was woken and doesn't come.
const HELD: Duration = Duration::from_secs(10);

/// The slots of all shops, for work of `K`; `U` says how urgent it is, the smallest first.
pub struct Slots<K, U> {
    per_shop: usize,
    lines: Arc<Mutex<HashMap<Shop, Line<K, U>>>>,
    wake: Arc<dyn Fn(K) + Send + Sync>,
}

/// Who works for a shop, and who waits.
struct Line<K, U> {
    taken: usize,
    /// By urgency, then by who came first.
    waiting: BTreeSet<(U, u64, K)>,
    places: HashMap<K, (U, u64)>,
    /// Slots that are free for those who were woken.
    held: BTreeMap<K, Instant>,
    came: u64,
}

/// Leave to work for a shop, until it is dropped.
#[must_use = "the slot is given back when this is dropped"]
pub struct Slot<K: Key, U: Ord + Clone> {
    shop: Shop,
    slots: Slots<K, U>,
}

/// Who can wait for a slot.
pub trait Key: Clone + Ord + std::hash::Hash {}

impl<K: Clone + Ord + std::hash::Hash> Key for K {}

impl<K, U> Clone for Slots<K, U> {
    fn clone(&self) -> Self {
        Self { per_shop: self.per_shop, lines: Arc::clone(&self.lines), wake: Arc::clone(&self.wake) }
    }
}

impl<K, U> fmt::Debug for Slots<K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("per_shop", &self.per_shop).finish_non_exhaustive()
    }
}

impl<K, U> Default for Line<K, U> {
    fn default() -> Self {
        Self { taken: 0, waiting: BTreeSet::new(), places: HashMap::new(), held: BTreeMap::new(), came: 0 }
    }
}

impl<K: Key, U: Ord + Clone> Slots<K, U> {
    /// So many slots for each shop. `wake` is called for who waits when there is one for it.
    pub fn new(per_shop: usize, wake: impl Fn(K) + Send + Sync + 'static) -> Self {
        Self { per_shop, lines: Arc::default(), wake: Arc::new(wake) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Shop, Line<K, U>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot of the shop's, unless all are taken, or free for others that wait: then `who` is woken when it is its turn.
    #[must_use]
    pub fn take(&self, shop: &Shop, who: &K, urgency: U) -> Option<Slot<K, U>> {
        let mut lines = self.lock();
        let line = lines.entry(shop.clone()).or_default();
        let turn = line.held.remove(who).is_some();
        if turn || (line.taken + line.held.len() < self.per_shop && line.waiting.is_empty()) {
            line.leave(who);
            line.taken += 1;
            return Some(Slot { shop: shop.clone(), slots: self.clone() });
        }
        line.wait(who, urgency);
        None
    }

    /// Whether `who` waits for a slot of the shop's, or was woken for one.
    #[must_use]
    pub fn waits(&self, shop: &Shop, who: &K) -> bool {
        self.lock().get(shop).is_some_and(|line| line.held.contains_key(who) || line.places.contains_key(who))
    }

    /// `who` wants none any more.
    pub fn leave(&self, shop: &Shop, who: &K, now: Instant) {
        if let Some(line) = self.lock().get_mut(shop) {
            line.held.remove(who);
            line.leave(who);
        }
        self.pass_on(shop, now);
    }

    /// `who` doesn't exist any more.
    pub fn forget(&self, who: &K, now: Instant) {
        let waits: Vec<Shop> = {
            let lines = self.lock();
            let concerned = |line: &Line<K, U>| line.held.contains_key(who) || line.places.contains_key(who);
            lines.iter().filter(|(_, line)| concerned(line)).map(|(shop, _)| shop.clone()).collect()
        };
        for shop in &waits {
            self.leave(shop, who, now);
        }
    }

    /// Passes on what is free for those who didn't come.
    pub fn expire(&self, now: Instant) {
        let mut late = Vec::new();
        for (shop, line) in self.lock().iter_mut() {
            let before = line.held.len();
            line.held.retain(|_, since| now.saturating_duration_since(*since) < HELD);
            if line.held.len() < before {
                late.push(shop.clone());
            }
        }
        for shop in &late {
            self.pass_on(shop, now);
        }
    }

    /// Wakes those who wait, as far as there are slots.
    fn pass_on(&self, shop: &Shop, now: Instant) {
        let mut woken = Vec::new();
        {
            let mut lines = self.lock();
            let Some(line) = lines.get_mut(shop) else { return };
            while line.taken + line.held.len() < self.per_shop
                && let Some((_, _, who)) = line.waiting.pop_first()
            {
                line.places.remove(&who);
                line.held.insert(who.clone(), now);
                woken.push(who);
            }
            if line.taken == 0 && line.held.is_empty() {
                lines.remove(shop);
            }
        }
        for who in woken {
            (self.wake)(who);
        }
    }
}

impl<K: Key, U: Ord + Clone> Line<K, U> {
    fn wait(&mut self, who: &K, urgency: U) {
        self.came += 1;
        let came = self.places.get(who).map_or(self.came, |(_, came)| *came);
        self.leave(who);
        self.places.insert(who.clone(), (urgency.clone(), came));
        self.waiting.insert((urgency, came, who.clone()));
    }

    fn leave(&mut self, who: &K) {
        if let Some((urgency, came)) = self.places.remove(who) {
            self.waiting.remove(&(urgency, came, who.clone()));
        }
    }
}

impl<K: Key, U: Ord + Clone> Drop for Slot<K, U> {
    fn drop(&mut self) {
        if let Some(line) = self.slots.lock().get_mut(&self.shop) {
            line.taken = line.taken.saturating_sub(1);
        }
        self.slots.pass_on(&self.shop, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(name: &str) -> Shop {
        format!("{name}.myshopify.com").parse().unwrap()
    }

    /// Two slots a shop, and who was woken.
    fn slots() -> (Slots<&'static str, u8>, Arc<Mutex<Vec<&'static str>>>) {
        let woken = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&woken);
        (Slots::new(2, move |who| told.lock().unwrap().push(who)), woken)
    }

    #[test]
    fn one_shop_cannot_take_every_slot() {
        let (slots, _) = slots();
        let both = (slots.take(&shop("a"), &"1", 0), slots.take(&shop("a"), &"2", 0));
        assert!(both.0.is_some() && both.1.is_some());
        assert!(slots.take(&shop("a"), &"3", 0).is_none());
        let other = slots.take(&shop("b"), &"4", 0);
        assert!(other.is_some());
        drop((both, other));
        slots.leave(&shop("a"), &"3", Instant::now());
        assert!(slots.lock().is_empty(), "nothing is kept for nobody");
    }

    #[test]
    fn the_most_urgent_is_woken_and_nobody_takes_its_slot() {
        let (slots, woken) = slots();
        let a = shop("a");
        let (first, second) = (slots.take(&a, &"1", 0), slots.take(&a, &"2", 0));
        for (who, urgency) in [("late", 9), ("urgent", 1), ("later", 9), ("urgent too", 1)] {
            assert!(slots.take(&a, &who, urgency).is_none() && slots.waits(&a, &who));
        }
        assert!(woken.lock().unwrap().is_empty());
        drop(first);
        assert_eq!(*woken.lock().unwrap(), ["urgent"]);
        assert!(slots.take(&a, &"new", 0).is_none(), "it is free for who was woken");
        let third = slots.take(&a, &"urgent", 1);
        assert!(third.is_some() && !slots.waits(&a, &"urgent"));
        drop(second);
        assert_eq!(*woken.lock().unwrap(), ["urgent", "new"], "the more urgent one that came meanwhile");
        // Who doesn't come keeps nobody.
        slots.expire(Instant::now() + HELD);
        assert_eq!(*woken.lock().unwrap(), ["urgent", "new", "urgent too"]);
        slots.leave(&a, &"urgent too", Instant::now());
        assert_eq!(woken.lock().unwrap().last(), Some(&"late"), "by who came first");
        drop(third);
        assert_eq!(woken.lock().unwrap().last(), Some(&"later"));
    }

    #[test]
    fn who_asks_again_keeps_its_place() {
        let (slots, woken) = slots();
        let a = shop("a");
        let both = (slots.take(&a, &"1", 0), slots.take(&a, &"2", 0));
        for who in ["first", "second", "first"] {
            assert!(slots.take(&a, &who, 5).is_none());
        }
        drop(both);
        assert_eq!(*woken.lock().unwrap(), ["first", "second"]);
    }
}
