//! A bound on the work under way in each place, as at one shop, so that one that hangs can't take everything. Who finds no
//! slot waits in line, and the most urgent is woken when one is free.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a slot is held for who was woken and doesn't come.
const HELD: Duration = Duration::from_secs(10);

/// The slots of all places `P`, for work of `K`; `U` says how urgent it is, the smallest first.
pub struct Slots<P, K, U> {
    each: usize,
    lines: Arc<Mutex<HashMap<P, Line<K, U>>>>,
    wake: Arc<dyn Fn(K) + Send + Sync>,
}

/// Who works in a place, and who waits.
struct Line<K, U> {
    taken: usize,
    /// By urgency, then by who came first.
    waiting: BTreeSet<(U, u64, K)>,
    numbers: HashMap<K, (U, u64)>,
    /// Who was woken to take a slot.
    woken: HashMap<K, Woken<U>>,
    came: u64,
}

/// Somebody for whom a slot is held.
struct Woken<U> {
    number: (U, u64),
    since: Instant,
    /// The slot was passed on to the next. Who comes after all is before everybody that was woken later.
    late: bool,
}

/// Leave to work in a place, until it is dropped.
#[must_use = "the slot is given back when this is dropped"]
pub struct Slot<P: Key, K: Key, U: Ord + Clone> {
    place: P,
    slots: Slots<P, K, U>,
}

/// A place, or who can wait for a slot there.
pub trait Key: Clone + Ord + Hash {}

impl<K: Clone + Ord + Hash> Key for K {}

impl<P, K, U> Clone for Slots<P, K, U> {
    fn clone(&self) -> Self {
        Self { each: self.each, lines: Arc::clone(&self.lines), wake: Arc::clone(&self.wake) }
    }
}

impl<P, K, U> fmt::Debug for Slots<P, K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("each", &self.each).finish_non_exhaustive()
    }
}

impl<K, U> Default for Line<K, U> {
    fn default() -> Self {
        Self { taken: 0, waiting: BTreeSet::new(), numbers: HashMap::new(), woken: HashMap::new(), came: 0 }
    }
}

impl<P: Key, K: Key, U: Ord + Clone> Slots<P, K, U> {
    /// So many slots in each place. `wake` is called for who waits when there is one for it.
    pub fn new(each: usize, wake: impl Fn(K) + Send + Sync + 'static) -> Self {
        Self { each, lines: Arc::default(), wake: Arc::new(wake) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<P, Line<K, U>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot in a place, unless all are taken, or held for others: then `who` is woken when there is one for it.
    #[must_use]
    pub fn take(&self, place: &P, who: &K, urgency: U) -> Option<Slot<P, K, U>> {
        let mut lines = self.lock();
        let line = lines.entry(place.clone()).or_default();
        let admitted = match line.woken.remove(who) {
            Some(_) if line.taken < self.each => true,
            Some(Woken { number, .. }) => {
                line.queue(who, number);
                false
            }
            None => line.is_free(self.each) && line.waiting.is_empty(),
        };
        if !admitted {
            line.wait(who, urgency);
            return None;
        }
        line.taken += 1;
        line.give_way(self.each);
        Some(Slot { place: place.clone(), slots: self.clone() })
    }

    /// A slot in a place, if one is free: who finds none waits for none.
    #[must_use]
    pub fn free(&self, place: &P) -> Option<Slot<P, K, U>> {
        let mut lines = self.lock();
        let free = |line: &Line<K, U>| line.is_free(self.each) && line.waiting.is_empty();
        lines.get(place).map_or(self.each > 0, free).then(|| {
            lines.entry(place.clone()).or_default().taken += 1;
            Slot { place: place.clone(), slots: self.clone() }
        })
    }

    /// A slot for who had one there and goes on with the same work: it waits for nobody, and others wait the longer.
    pub fn resume(&self, place: &P) -> Slot<P, K, U> {
        self.lock().entry(place.clone()).or_default().taken += 1;
        Slot { place: place.clone(), slots: self.clone() }
    }

    /// Whether `who` waits for a slot in a place, or was woken for one.
    #[must_use]
    pub fn waits(&self, place: &P, who: &K) -> bool {
        self.lock().get(place).is_some_and(|line| line.knows(who))
    }

    /// Whether a slot is held for `who`.
    #[must_use]
    pub fn holds(&self, place: &P, who: &K) -> bool {
        self.lock().get(place).is_some_and(|line| line.woken.contains_key(who))
    }

    /// Whether more than half of the slots of a place are taken, or held for who was woken.
    #[must_use]
    pub fn is_busy(&self, place: &P) -> bool {
        self.lock().get(place).is_some_and(|line| line.claimed() > self.each / 2)
    }

    /// `who` wants none any more.
    pub fn leave(&self, place: &P, who: &K, now: Instant) {
        if let Some(line) = self.lock().get_mut(place) {
            line.woken.remove(who);
            line.leave(who);
        }
        self.pass_on(place, now);
    }

    /// `who` doesn't exist any more.
    pub fn forget(&self, who: &K, now: Instant) {
        let waits: Vec<P> =
            self.lock().iter().filter(|(_, line)| line.knows(who)).map(|(place, _)| place.clone()).collect();
        for place in &waits {
            self.leave(place, who, now);
        }
    }

    /// Passes on what is held for those who didn't come.
    pub fn expire(&self, now: Instant) {
        let mut passed_on = Vec::new();
        for (place, line) in self.lock().iter_mut() {
            let mut late = line.woken.values_mut().filter(|woken| !woken.late && woken.since + HELD <= now).peekable();
            if late.peek().is_some() {
                passed_on.push(place.clone());
            }
            late.for_each(|woken| woken.late = true);
        }
        for place in &passed_on {
            self.pass_on(place, now);
        }
    }

    /// Wakes those who wait, as far as there are slots.
    fn pass_on(&self, place: &P, now: Instant) {
        let mut woken = Vec::new();
        {
            let mut lines = self.lock();
            let Some(line) = lines.get_mut(place) else { return };
            while line.is_free(self.each)
                && let Some((urgency, came, who)) = line.waiting.pop_first()
            {
                line.numbers.remove(&who);
                line.woken.insert(who.clone(), Woken { number: (urgency, came), since: now, late: false });
                woken.push(who);
            }
            if line.taken == 0 && line.woken.is_empty() {
                lines.remove(place);
            }
        }
        for who in woken {
            (self.wake)(who);
        }
    }
}

impl<K: Key, U: Ord + Clone> Line<K, U> {
    /// Slots that are taken, or held for who was woken.
    fn claimed(&self) -> usize {
        self.taken + self.woken.values().filter(|woken| !woken.late).count()
    }

    fn is_free(&self, each: usize) -> bool {
        self.claimed() < each
    }

    fn knows(&self, who: &K) -> bool {
        self.woken.contains_key(who) || self.numbers.contains_key(who)
    }

    /// Where more is claimed than there is, the last of those who were woken goes back into the line.
    fn give_way(&mut self, each: usize) {
        let held = self.woken.iter().filter(|(_, woken)| !woken.late);
        let last = held.max_by_key(|(_, woken)| &woken.number).map(|(who, _)| who.clone());
        if self.claimed() > each
            && let Some(who) = last
            && let Some(Woken { number, .. }) = self.woken.remove(&who)
        {
            self.queue(&who, number);
        }
    }

    /// Who asks again keeps its number, and becomes no less urgent.
    fn wait(&mut self, who: &K, urgency: U) {
        self.came += 1;
        let number = match self.numbers.get(who) {
            Some((before, came)) => (urgency.min(before.clone()), *came),
            None => (urgency, self.came),
        };
        self.leave(who);
        self.queue(who, number);
    }

    fn queue(&mut self, who: &K, number: (U, u64)) {
        self.waiting.insert((number.0.clone(), number.1, who.clone()));
        self.numbers.insert(who.clone(), number);
    }

    fn leave(&mut self, who: &K) {
        if let Some((urgency, came)) = self.numbers.remove(who) {
            self.waiting.remove(&(urgency, came, who.clone()));
        }
    }
}

impl<P: Key, K: Key, U: Ord + Clone> Drop for Slot<P, K, U> {
    fn drop(&mut self) {
        if let Some(line) = self.slots.lock().get_mut(&self.place) {
            line.taken = line.taken.saturating_sub(1);
        }
        self.slots.pass_on(&self.place, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names = Arc<Mutex<Vec<&'static str>>>;

    /// Two slots in each place, and who was woken.
    fn slots() -> (Slots<&'static str, &'static str, u8>, Names) {
        let woken = Names::default();
        let told = Arc::clone(&woken);
        (Slots::new(2, move |who| told.lock().unwrap().push(who)), woken)
    }

    #[test]
    fn who_finds_none_free_waits_for_none_unless_it_wants_to() {
        let (slots, names) = slots();
        let both = [slots.free(&"a"), slots.free(&"a")];
        assert!(both.iter().all(Option::is_some) && slots.free(&"a").is_none());
        assert!(slots.take(&"a", &"1", 0).is_none());
        drop(both);
        assert_eq!(*names.lock().unwrap(), ["1"]);
        let held = [slots.take(&"a", &"1", 0), slots.free(&"a")];
        assert!(held.iter().all(Option::is_some));
        drop(held);
        let none: Slots<_, &str, u8> = Slots::new(0, |_| ());
        assert!(none.free(&"a").is_none());
        assert!(none.lock().is_empty() && slots.lock().is_empty(), "nothing is kept of a place where nobody is");
    }

    #[test]
    fn one_place_cannot_take_every_slot() {
        let (slots, _) = slots();
        let both = (slots.take(&"a", &"1", 0), slots.take(&"a", &"2", 0));
        assert!(both.0.is_some() && both.1.is_some());
        assert!(slots.take(&"a", &"3", 0).is_none());
        let other = slots.take(&"b", &"4", 0);
        assert!(other.is_some());
        drop((both, other));
        slots.leave(&"a", &"3", Instant::now());
        assert!(slots.lock().is_empty(), "nothing is kept for nobody");
    }

    #[test]
    fn the_most_urgent_is_woken_and_nobody_takes_its_slot() {
        let (slots, woken) = slots();
        let a = "a";
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
        let a = "a";
        let both = (slots.take(&a, &"1", 0), slots.take(&a, &"2", 0));
        for who in ["first", "second", "first"] {
            assert!(slots.take(&a, &who, 5).is_none());
        }
        drop(both);
        assert_eq!(*woken.lock().unwrap(), ["first", "second"]);
    }

    #[test]
    fn who_comes_late_each_time_still_gets_its_slot() {
        let (slots, woken) = slots();
        let a = "a";
        let both = (slots.take(&a, &"1", 0), slots.take(&a, &"2", 0));
        let line = ["first", "second", "third", "fourth", "fifth", "sixth"];
        for who in line {
            assert!(slots.take(&a, &who, 5).is_none());
        }
        drop(both);
        let mut worked = Vec::new();
        // Everybody comes a second after the slot was passed on to the next.
        for round in 1..=8 {
            let coming = std::mem::take(&mut *woken.lock().unwrap());
            slots.expire(Instant::now() + HELD * round);
            for who in coming {
                let again = worked.contains(&who);
                worked.extend(slots.take(&a, &who, 5).filter(|_| !again).map(|_done| who));
            }
        }
        assert_eq!(worked, line, "in the order of the line");
    }

    #[test]
    fn for_who_comes_late_the_last_that_was_woken_gives_way() {
        let (slots, woken) = slots();
        let a = "a";
        let both = (slots.take(&a, &"1", 0), slots.take(&a, &"2", 0));
        for who in ["late", "later", "next", "last", "behind"] {
            assert!(slots.take(&a, &who, 5).is_none());
        }
        drop(both);
        slots.expire(Instant::now() + HELD);
        assert_eq!(*woken.lock().unwrap(), ["late", "later", "next", "last"]);
        let first = slots.take(&a, &"late", 5);
        assert!(first.is_some(), "nobody works, whomever the slots are held for");
        assert!(slots.take(&a, &"last", 5).is_none(), "it gave way");
        let second = slots.take(&a, &"next", 5);
        assert!(second.is_some());
        assert!(slots.take(&a, &"later", 5).is_none(), "all are taken by now");
        drop((first, second));
        assert_eq!(woken.lock().unwrap()[4..], ["later", "last"], "each with the number it had, before those behind");
    }
}
