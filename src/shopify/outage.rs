//! Who may ask a shop that doesn't answer: one at a time, every 10 seconds at most, for all that wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    ops::Bound::{Excluded, Unbounded},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;

use super::Shop;
use crate::time::Timestamp;

/// Between two probes, and how long a designated waiter has to begin its own.
const INTERVAL: TimeDelta = TimeDelta::seconds(10);
/// After this a probe that nobody reports on is given up: longer than a call may take.
const LOST: TimeDelta = TimeDelta::seconds(30);

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Make it, and report with [`Outages::silent`] or [`Outages::answered`].
    Go,
    /// Don't; [`Outages::answered`] or [`Outages::due`] names the caller when it is time.
    Wait {
        /// When somebody may ask again, if nothing is heard before.
        until: Timestamp,
    },
}

/// The shops that don't answer, and who (`K`) waits for which. Pure: `now` is an argument.
#[derive(Debug)]
pub struct Outages<K>(Mutex<State<K>>);

#[derive(Debug)]
struct State<K> {
    outages: BTreeMap<Shop, Outage<K>>,
    up_since: BTreeMap<Shop, Timestamp>,
}

#[derive(Debug)]
struct Outage<K> {
    waiting: BTreeSet<K>,
    /// Who had the last turn: the next one is who comes after, round robin.
    last_turn: Option<K>,
    probe: Probe<K>,
}

#[derive(Debug)]
enum Probe<K> {
    /// Whoever asks first from then on.
    Due(Timestamp),
    /// It is this waiter's turn.
    Designated(K, Timestamp),
    /// This caller is asking the shop now.
    InFlight(K, Timestamp),
}

impl<K> Default for Outages<K> {
    fn default() -> Self {
        Self(Mutex::new(State { outages: BTreeMap::new(), up_since: BTreeMap::new() }))
    }
}

impl<K: Clone + Ord> Outages<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `who` may call the shop now. Who must wait is remembered.
    #[must_use]
    pub fn admit(&self, shop: &Shop, who: &K, now: Timestamp) -> Admission {
        match self.state().outages.get_mut(shop) {
            None => Admission::Go,
            Some(outage) => outage.admit(who, now),
        }
    }

    /// A call of `who` got no answer: the outage begins or goes on.
    pub fn silent(&self, shop: &Shop, who: &K, now: Timestamp) {
        let mut state = self.state();
        state.up_since.remove(shop);
        state
            .outages
            .entry(shop.clone())
            .or_insert_with(|| Outage { waiting: BTreeSet::new(), last_turn: None, probe: Probe::Due(now) })
            .silent(who, now);
    }

    /// The shop has answered somebody, whatever it said: the outage is over. Wake these.
    #[must_use]
    pub fn answered(&self, shop: &Shop, now: Timestamp) -> Vec<K> {
        let mut state = self.state();
        let Some(outage) = state.outages.remove(shop) else {
            return Vec::new();
        };
        state.up_since.insert(shop.clone(), now);
        outage.waiting.into_iter().collect()
    }

    /// For each shop whose probe is due: the waiter whose turn it is. Wake these.
    ///
    /// Each has 10 seconds to ask; then it is the next one's turn.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<K> {
        let mut state = self.state();
        let turns = state.outages.values_mut();
        turns.filter_map(|outage| outage.next_turn(now)).collect()
    }

    /// Since when a shop answers again. `None` if it doesn't, or never failed to.
    #[must_use]
    pub fn up_since(&self, shop: &Shop) -> Option<Timestamp> {
        self.state().up_since.get(shop).copied()
    }

    /// Whether nobody gets an answer of the shop just now.
    #[must_use]
    pub fn is_down(&self, shop: &Shop) -> bool {
        self.state().outages.contains_key(shop)
    }

    /// `who` doesn't exist any more.
    pub fn forget(&self, who: &K) {
        for outage in self.state().outages.values_mut() {
            outage.waiting.remove(who);
            let free_from = match &outage.probe {
                Probe::Designated(holder, until) if holder == who => *until - INTERVAL,
                Probe::InFlight(holder, until) if holder == who => *until - LOST + INTERVAL,
                _ => continue,
            };
            outage.probe = Probe::Due(free_from);
        }
    }
}

impl<K: Clone + Ord> Outage<K> {
    fn admit(&mut self, who: &K, now: Timestamp) -> Admission {
        self.expire(now);
        let until = match &self.probe {
            Probe::Due(at) if *at <= now => return self.go(who, now),
            Probe::Designated(holder, _) if holder == who => return self.go(who, now),
            Probe::Due(until) | Probe::Designated(_, until) | Probe::InFlight(_, until) => *until,
        };
        self.waiting.insert(who.clone());
        Admission::Wait { until }
    }

    fn go(&mut self, who: &K, now: Timestamp) -> Admission {
        self.waiting.remove(who);
        self.probe = Probe::InFlight(who.clone(), now + LOST);
        Admission::Go
    }

    fn silent(&mut self, who: &K, now: Timestamp) {
        self.expire(now);
        self.waiting.insert(who.clone());
        match &self.probe {
            // A call from before the outage says nothing of the probe under way.
            Probe::InFlight(holder, _) if holder != who => {}
            Probe::Designated(..) => {}
            Probe::InFlight(..) | Probe::Due(_) => self.probe = Probe::Due(now + INTERVAL),
        }
    }

    fn next_turn(&mut self, now: Timestamp) -> Option<K> {
        self.expire(now);
        match self.probe {
            Probe::Due(at) if at <= now => {
                let next = self.after_last_turn()?;
                self.last_turn = Some(next.clone());
                self.probe = Probe::Designated(next.clone(), now + INTERVAL);
                Some(next)
            }
            _ => None,
        }
    }

    fn after_last_turn(&self) -> Option<K> {
        let after = self.last_turn.as_ref().and_then(|last| {
            let rest = (Excluded(last), Unbounded);
            self.waiting.range(rest).next()
        });
        after.or_else(|| self.waiting.first()).cloned()
    }

    /// Takes the probe away from who doesn't use it. A clock set back makes nobody wait longer.
    fn expire(&mut self, now: Timestamp) {
        let probe = mem::replace(&mut self.probe, Probe::Due(now));
        self.probe = match probe {
            Probe::Due(at) => Probe::Due(at.min(now + INTERVAL)),
            Probe::Designated(_, until) | Probe::InFlight(_, until) if until <= now => {
                if let Probe::InFlight(who, _) = probe {
                    self.waiting.insert(who.clone());
                }
                Probe::Due(until)
            }
            Probe::Designated(who, until) => Probe::Designated(who, until.min(now + INTERVAL)),
            Probe::InFlight(who, until) => Probe::InFlight(who, until.min(now + LOST)),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    fn shop(name: &str) -> Shop {
        format!("{name}.myshopify.com").parse().unwrap()
    }

    fn wait(seconds: i64) -> Admission {
        Admission::Wait { until: at(seconds) }
    }

    #[test]
    fn one_probe_at_a_time_every_ten_seconds() {
        let (outages, a) = (Outages::default(), shop("a"));
        assert_eq!(outages.admit(&a, &1, at(0)), Admission::Go);
        assert_eq!(outages.admit(&a, &2, at(0)), Admission::Go, "no outage yet");
        outages.silent(&a, &1, at(5));
        outages.silent(&a, &2, at(6));
        assert_eq!(outages.admit(&a, &3, at(7)), wait(16));
        assert_eq!(outages.admit(&shop("b"), &3, at(7)), Admission::Go, "other shops go on");
        assert_eq!(outages.admit(&a, &4, at(16)), Admission::Go, "who asks first");
        assert_eq!(outages.admit(&a, &1, at(17)), wait(46), "one is in flight");
        outages.silent(&a, &4, at(20));
        assert_eq!(outages.admit(&a, &1, at(29)), wait(30));
        assert_eq!(outages.admit(&a, &1, at(30)), Admission::Go);
        assert_eq!(outages.up_since(&a), None);
        assert_eq!(outages.answered(&a, at(31)), [2, 3, 4], "all that wait, each once");
        assert_eq!(outages.up_since(&a), Some(at(31)));
        assert_eq!(outages.admit(&a, &3, at(31)), Admission::Go);
        assert!(outages.answered(&a, at(32)).is_empty());
        assert_eq!(outages.up_since(&a), Some(at(31)));
        outages.silent(&a, &3, at(40));
        assert_eq!(outages.up_since(&a), None);
    }

    #[test]
    fn waiters_take_turns() {
        let (outages, a) = (Outages::default(), shop("a"));
        for who in 1..=3 {
            outages.silent(&a, &who, at(0));
        }
        assert!(outages.due(at(9)).is_empty());
        assert_eq!(outages.due(at(10)), [1]);
        assert!(outages.due(at(15)).is_empty(), "it is 1's turn");
        assert_eq!(outages.admit(&a, &2, at(15)), wait(20));
        assert_eq!(outages.admit(&a, &1, at(16)), Admission::Go);
        assert!(outages.due(at(25)).is_empty(), "1 is asking");
        outages.silent(&a, &1, at(26));
        assert_eq!(outages.due(at(36)), [2]);
        assert_eq!(outages.due(at(46)), [3], "2 never came");
        assert_eq!(outages.due(at(56)), [1]);
        assert_eq!(outages.admit(&a, &9, at(66)), Admission::Go, "1 never came, and 9 is first");
        assert_eq!(outages.due(at(66)), Vec::<i32>::new());
    }

    #[test]
    fn a_probe_that_nobody_reports_on_is_given_up() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(0));
        assert_eq!(outages.admit(&a, &1, at(10)), Admission::Go);
        assert_eq!(outages.admit(&a, &1, at(11)), wait(40), "even by the same caller");
        assert_eq!(outages.due(at(39)), Vec::<i32>::new());
        assert_eq!(outages.due(at(40)), [1]);
        assert_eq!(outages.answered(&a, at(41)), [1]);
    }

    #[test]
    fn a_late_silence_does_not_touch_the_probe_under_way() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(0));
        assert_eq!(outages.due(at(10)), [1]);
        outages.silent(&a, &2, at(11));
        assert_eq!(outages.admit(&a, &1, at(12)), Admission::Go, "still 1's turn");
        outages.silent(&a, &3, at(13));
        assert_eq!(outages.admit(&a, &4, at(24)), wait(42), "1 is asking");
        assert_eq!(outages.answered(&a, at(25)), [2, 3, 4]);
    }

    #[test]
    fn the_forgotten_are_not_waited_for() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(0));
        outages.silent(&a, &2, at(0));
        assert_eq!(outages.due(at(10)), [1]);
        outages.forget(&1);
        assert_eq!(outages.due(at(10)), [2], "the turn passes on at once");
        outages.forget(&2);
        assert_eq!(outages.admit(&a, &3, at(11)), Admission::Go);
        assert!(outages.answered(&a, at(12)).is_empty());
    }

    #[test]
    fn a_clock_set_back_makes_nobody_wait_longer() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(10_000));
        assert_eq!(outages.admit(&a, &2, at(1000)), wait(1010));
        assert_eq!(outages.admit(&a, &2, at(1010)), Admission::Go);
        assert_eq!(outages.admit(&a, &1, at(0)), wait(30));
    }

    /// What a shop's outage is known to be: the time of the last Go, who waits, and who was let in.
    type Known = (Option<i64>, BTreeSet<u8>, BTreeSet<u8>);

    #[derive(Clone, Debug)]
    enum Event {
        Admit(u8, u8),
        Silent(u8, u8),
        Answered(u8),
        Due,
        Forget(u8),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..2u8, 0..5u8).prop_map(|(s, w)| Event::Admit(s, w)),
            2 => (0..2u8, 0..5u8).prop_map(|(s, w)| Event::Silent(s, w)),
            1 => (0..2u8).prop_map(Event::Answered),
            3 => Just(Event::Due),
            1 => (0..5u8).prop_map(Event::Forget),
        ]
    }

    proptest! {
        /// In an outage at most one Go per 10 seconds; its end wakes everyone who was told to wait,
        /// was silent, or was let in and never heard of, unless forgotten.
        #[test]
        fn probes_are_spaced_and_nobody_is_left_behind(events in prop::collection::vec((0..8i64, event()), 1..200)) {
            let outages = Outages::default();
            let shops = [shop("a"), shop("b")];
            let mut now = 0;
            let mut model: BTreeMap<u8, Known> = BTreeMap::new();
            for (pause, event) in events {
                now += pause;
                match event {
                    Event::Admit(s, who) => {
                        let admission = outages.admit(&shops[usize::from(s)], &who, at(now));
                        match (model.get_mut(&s), admission) {
                            (None, admission) => prop_assert_eq!(admission, Admission::Go),
                            (Some((last, waiting, asking)), Admission::Go) => {
                                prop_assert!(last.is_none_or(|last| now - last >= 10), "{:?} {}", last, now);
                                *last = Some(now);
                                waiting.remove(&who);
                                asking.insert(who);
                            }
                            (Some((_, waiting, _)), Admission::Wait { until }) => {
                                prop_assert!(until > at(now) && until <= at(now + 30));
                                waiting.insert(who);
                            }
                        }
                    }
                    Event::Silent(s, who) => {
                        outages.silent(&shops[usize::from(s)], &who, at(now));
                        model.entry(s).or_default().1.insert(who);
                    }
                    Event::Answered(s) => {
                        let woken: BTreeSet<u8> = outages.answered(&shops[usize::from(s)], at(now)).into_iter().collect();
                        let (_, waiting, asking) = model.remove(&s).unwrap_or_default();
                        prop_assert!(woken.is_superset(&waiting), "{woken:?} {waiting:?}");
                        prop_assert!(woken.is_subset(&(&waiting | &asking)), "{woken:?} {waiting:?}");
                    }
                    Event::Due => {
                        for who in outages.due(at(now)) {
                            prop_assert!(model.values().any(|(_, waiting, asking)| waiting.contains(&who) || asking.contains(&who)));
                        }
                    }
                    Event::Forget(who) => {
                        outages.forget(&who);
                        for (_, waiting, asking) in model.values_mut() {
                            waiting.remove(&who);
                            asking.remove(&who);
                        }
                    }
                }
            }
        }
    }
}
