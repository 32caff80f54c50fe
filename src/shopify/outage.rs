//! Who may ask where nobody gets an answer: one at a time, at growing or fixed pauses, for all that wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;

use super::{Place, Shop, place::LONGEST, turns::Outage};
use crate::time::Timestamp;

/// Whether a call may be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Make it, and report for each place: with [`Outages::silent`], [`Outages::answered`] or [`Outages::unused`]; for
    /// credentials also with [`Outages::accepted`], [`Outages::doubted`] or [`Outages::inconclusive`].
    Go,
    /// Don't; [`Outages::answered`] or [`Outages::due`] names the caller when it is time.
    Wait {
        /// For what.
        place: Place,
        /// When somebody may ask again, if nothing is heard before.
        until: Timestamp,
    },
}

/// The places that are out of order, and who (`K`) waits for which. Pure: `now` is an argument.
#[derive(Debug)]
pub struct Outages<K>(Mutex<State<K>>);

#[derive(Debug)]
struct State<K> {
    outages: BTreeMap<Place, Outage<K>>,
    /// Where somebody's last call fell silent, as long as that lasts.
    fell_silent: BTreeMap<K, Place>,
    /// When the place where somebody's last call fell silent was in order again.
    released: BTreeMap<K, Timestamp>,
    /// The shops that have accepted an app's credentials, and not refused them since.
    accepted: BTreeMap<Place, BTreeSet<Shop>>,
    /// The shops that have refused an app's credentials in words that may concern the shop alone, while none accepts them.
    doubted: BTreeMap<Place, BTreeSet<Shop>>,
    /// The shops of those that wait.
    shops: BTreeMap<K, Shop>,
}

impl<K: Ord> State<K> {
    /// Whether `who` could hear of another shop what those before it didn't.
    fn is_unheard(&self, place: &Place, who: &K) -> bool {
        let shops = self.doubted.get(place).zip(self.shops.get(who));
        shops.is_some_and(|(doubted, shop)| !doubted.contains(shop))
    }
}

impl<K> Default for Outages<K> {
    fn default() -> Self {
        Self(Mutex::new(State {
            outages: BTreeMap::new(),
            fell_silent: BTreeMap::new(),
            released: BTreeMap::new(),
            accepted: BTreeMap::new(),
            doubted: BTreeMap::new(),
            shops: BTreeMap::new(),
        }))
    }
}

impl<K: Clone + Ord> Outages<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `who` may make a call that needs these places now. Who must wait is remembered.
    #[must_use]
    pub fn admit(&self, places: &[Place], who: &K, now: Timestamp) -> Admission {
        let mut state = self.state();
        let shop = places.iter().find_map(|place| match place {
            Place::Surface(shop, _) => Some(shop),
            Place::Credentials(_) => None,
        });
        if let Some(shop) = shop {
            state.shops.insert(who.clone(), shop.clone());
        }
        for place in places {
            if let Some(until) = state.outages.get_mut(place).and_then(|outage| outage.wait(who, now)) {
                return Admission::Wait { place: place.clone(), until };
            }
        }
        for place in places {
            if let Some(outage) = state.outages.get_mut(place) {
                outage.go(who, now);
            }
        }
        Admission::Go
    }

    /// `who` got no answer, or the credentials are rejected for sure: the outage begins or goes on.
    pub fn silent(&self, place: &Place, who: &K, now: Timestamp) {
        let mut state = self.state();
        state.doubted.remove(place);
        Self::failed(&mut state, place, who, now);
    }

    fn failed(state: &mut State<K>, place: &Place, who: &K, now: Timestamp) {
        state.accepted.remove(place);
        state.released.remove(who);
        state.fell_silent.insert(who.clone(), place.clone());
        let outage = state.outages.entry(place.clone()).or_insert_with(|| Outage::begun(place, now));
        outage.silent(place, who, now);
    }

    /// Shopify asked for a pause (`Retry-After`): nobody asks before, unless it is longer than 10 minutes.
    pub fn hold_off(&self, place: &Place, wait: TimeDelta, now: Timestamp) {
        if let Some(outage) = self.state().outages.get_mut(place) {
            outage.hold_off(wait.min(LONGEST), now);
        }
    }

    /// Somebody was answered, whatever was said: the outage is over. Wake these.
    #[must_use]
    pub fn answered(&self, place: &Place, now: Timestamp) -> Vec<K> {
        let mut state = self.state();
        let Some(outage) = state.outages.remove(place) else {
            return Vec::new();
        };
        let State { fell_silent, released, .. } = &mut *state;
        fell_silent.retain(|who, silent| {
            let over = silent == place;
            if over {
                released.insert(who.clone(), now);
            }
            !over
        });
        outage.waiting().into_iter().collect()
    }

    /// `who` has called, and was answered by all it asked.
    pub fn heard(&self, who: &K) {
        self.state().fell_silent.remove(who);
    }

    /// `who` has called: unless it waits for something now, nobody needs to know of which shop it is.
    pub fn settled(&self, who: &K) {
        let mut state = self.state();
        if !state.outages.values().any(|outage| outage.concerns(who)) {
            state.shops.remove(who);
        }
    }

    /// A shop accepted the credentials: the outage is over. Wake these.
    #[must_use]
    pub fn accepted(&self, place: &Place, shop: &Shop, now: Timestamp) -> Vec<K> {
        let mut state = self.state();
        state.doubted.remove(place);
        state.accepted.entry(place.clone()).or_default().insert(shop.clone());
        drop(state);
        self.answered(place, now)
    }

    /// A shop told `who` that it rejects the credentials, or that the app isn't installed there. They are taken for
    /// rejected unless other shops accept them, and a shop that wasn't heard yet is asked before those that were.
    pub fn doubted(&self, place: &Place, shop: &Shop, who: &K, now: Timestamp) {
        let mut state = self.state();
        let accepted = state.accepted.get_mut(place);
        let others = accepted.is_some_and(|shops| {
            shops.remove(shop);
            !shops.is_empty()
        });
        if others {
            drop(state);
            self.inconclusive(place, who, now);
        } else {
            state.doubted.entry(place.clone()).or_default().insert(shop.clone());
            Self::failed(&mut state, place, who, now);
        }
    }

    /// `who` asked, and what it was told says nothing of the credentials: the next one asks in 10 seconds.
    pub fn inconclusive(&self, place: &Place, who: &K, now: Timestamp) {
        if let Some(outage) = self.state().outages.get_mut(place) {
            outage.inconclusive(who, now);
        }
    }

    /// `who` was let in and didn't ask: the turn passes on at once. Wake this one.
    #[must_use]
    pub fn unused(&self, place: &Place, who: &K, now: Timestamp) -> Option<K> {
        self.state().outages.get_mut(place)?.unused(who, now)
    }

    /// `who` wants nothing at present: its turns pass on at once. Wake these.
    #[must_use]
    pub fn pass(&self, who: &K, now: Timestamp) -> Vec<K> {
        self.keep_to(&[], who, now)
    }

    /// `who` waits for none but these places: its turns elsewhere pass on at once. Wake these.
    #[must_use]
    pub fn keep_to(&self, places: &[Place], who: &K, now: Timestamp) -> Vec<K> {
        let mut state = self.state();
        let elsewhere = state.outages.iter_mut().filter(|(place, _)| !places.contains(place));
        elsewhere.filter_map(|(_, outage)| outage.pass(who, now)).collect()
    }

    /// For each place whose probe is due: the waiter whose turn it is. Wake these.
    ///
    /// Each has 10 seconds to ask; then it is the next one's turn.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<K> {
        let mut state = self.state();
        let mut outages = mem::take(&mut state.outages);
        let turns = outages.iter_mut();
        let due =
            turns.filter_map(|(place, outage)| outage.next_turn(|who| state.is_unheard(place, who), now)).collect();
        state.outages = outages;
        due
    }

    /// Since when the place where the last call of `who` fell silent is in order again. `None` if none ever did.
    #[must_use]
    pub fn released(&self, who: &K) -> Option<Timestamp> {
        self.state().released.get(who).copied()
    }

    /// Whether `who` waits for a place, or is the one who asks.
    #[must_use]
    pub fn waits(&self, who: &K) -> bool {
        self.state().outages.values().any(|outage| outage.concerns(who))
    }

    /// Whether the last call of `who` fell silent, where it still is: when to try again isn't up to its own back-off.
    #[must_use]
    pub fn fell_silent(&self, who: &K) -> bool {
        self.state().fell_silent.contains_key(who)
    }

    /// `who` doesn't exist any more. Wake these.
    #[must_use]
    pub fn forget(&self, who: &K, now: Timestamp) -> Vec<K> {
        self.heard(who);
        self.state().released.remove(who);
        self.state().shops.remove(who);
        self.pass(who, now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{super::Surface, *};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    fn shop(name: &str) -> Place {
        Place::Surface(format!("{name}.myshopify.com").parse().unwrap(), Surface::AdminApi)
    }

    fn one(place: &Place) -> &[Place] {
        std::slice::from_ref(place)
    }

    fn wait(seconds: i64) -> Admission {
        Admission::Wait { place: shop("a"), until: at(seconds) }
    }

    #[test]
    fn one_probe_at_a_time_every_ten_seconds() {
        let (outages, a) = (Outages::default(), shop("a"));
        assert_eq!(outages.admit(one(&a), &1, at(0)), Admission::Go);
        assert_eq!(outages.admit(one(&a), &2, at(0)), Admission::Go, "no outage yet");
        outages.silent(&a, &1, at(5));
        outages.silent(&a, &2, at(6));
        assert_eq!(outages.admit(one(&a), &3, at(7)), wait(16));
        assert_eq!(outages.admit(&[shop("b")], &3, at(7)), Admission::Go, "other shops go on");
        assert_eq!(outages.admit(one(&a), &4, at(16)), Admission::Go, "who asks first");
        assert_eq!(outages.admit(one(&a), &1, at(17)), wait(46), "one is in flight");
        outages.silent(&a, &4, at(20));
        assert_eq!(outages.admit(one(&a), &1, at(29)), wait(30));
        assert_eq!(outages.admit(one(&a), &1, at(30)), Admission::Go);
        assert!(outages.waits(&1) && outages.waits(&2) && !outages.waits(&9));
        assert_eq!(outages.released(&2), None);
        assert_eq!(outages.answered(&a, at(31)), [2, 3, 4], "all that wait, each once");
        assert_eq!((outages.released(&2), outages.waits(&2)), (Some(at(31)), false));
        assert_eq!(outages.released(&3), None, "it never asked: nothing of its own failed");
        assert_eq!(outages.admit(one(&a), &3, at(31)), Admission::Go);
        assert!(outages.answered(&a, at(32)).is_empty());
        outages.silent(&a, &3, at(40));
        assert_eq!(outages.released(&3), None);
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
        assert_eq!(outages.admit(one(&a), &2, at(15)), wait(20));
        assert_eq!(outages.admit(one(&a), &1, at(16)), Admission::Go);
        assert!(outages.due(at(25)).is_empty(), "1 is asking");
        outages.silent(&a, &1, at(26));
        assert_eq!(outages.due(at(36)), [2]);
        assert_eq!(outages.due(at(46)), [3], "2 never came");
        assert_eq!(outages.due(at(56)), [1]);
        assert_eq!(outages.admit(one(&a), &9, at(66)), Admission::Go, "1 never came, and 9 is first");
        assert_eq!(outages.due(at(66)), Vec::<i32>::new());
    }

    #[test]
    fn a_shop_that_was_not_heard_yet_is_asked_before_those_that_refuse() {
        let (outages, credentials) = (Outages::default(), Place::Credentials("hash".into()));
        let of = |name: &str| format!("{name}.myshopify.com").parse::<Shop>().unwrap();
        let places = |name: &str| [credentials.clone(), Place::Surface(of(name), Surface::TokenEndpoint)];
        let mut now = 0;
        // After a restart nothing is due but what a shop refuses: the pauses grow.
        for failures in 1..8 {
            assert_eq!(outages.admit(&places("bad"), &1, at(now)), Admission::Go, "{failures}");
            outages.doubted(&credentials, &of("bad"), &1, at(now));
            now += credentials.pause(failures).num_seconds();
        }
        now -= 500;
        // Two others fall due.
        for (who, name) in [(2, "good"), (3, "bad")] {
            assert!(matches!(outages.admit(&places(name), &who, at(now)), Admission::Wait { .. }));
        }
        assert_eq!(outages.due(at(now)), [2], "its shop wasn't heard yet");
        assert_eq!(outages.admit(&places("good"), &2, at(now)), Admission::Go);
        let mut woken = outages.accepted(&credentials, &of("good"), at(now));
        woken.sort_unstable();
        assert_eq!(woken, [1, 3]);
        // A secret that is refused for sure says the same of every shop.
        outages.silent(&credentials, &2, at(now));
        assert!(matches!(outages.admit(&places("other"), &4, at(now + 1)), Admission::Wait { .. }));
        assert!(outages.due(at(now + 9)).is_empty());
    }

    #[test]
    fn a_probe_that_nobody_reports_on_is_given_up() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(0));
        assert_eq!(outages.admit(one(&a), &1, at(10)), Admission::Go);
        assert_eq!(outages.admit(one(&a), &1, at(11)), wait(40), "even by the same caller");
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
        assert_eq!(outages.admit(one(&a), &1, at(12)), Admission::Go, "still 1's turn");
        outages.silent(&a, &3, at(13));
        assert_eq!(outages.admit(one(&a), &4, at(24)), wait(42), "1 is asking");
        assert_eq!(outages.answered(&a, at(25)), [2, 3, 4]);
    }

    #[test]
    fn the_forgotten_are_not_waited_for() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(0));
        outages.silent(&a, &2, at(0));
        assert_eq!(outages.due(at(10)), [1]);
        assert_eq!(outages.forget(&1, at(10)), [2], "the turn passes on at once");
        assert!(outages.forget(&2, at(10)).is_empty());
        assert_eq!(outages.admit(one(&a), &3, at(11)), Admission::Go);
        assert!(outages.answered(&a, at(12)).is_empty());
    }

    #[test]
    fn who_wants_nothing_delays_nobody() {
        let (outages, a) = (Outages::default(), shop("a"));
        for who in 1..=15 {
            outages.silent(&a, &who, at(0));
        }
        let mut turn = outages.due(at(10));
        for who in 1..15 {
            assert_eq!(turn, [who]);
            turn = outages.pass(&who, at(10));
        }
        assert_eq!(turn, [15]);
        assert_eq!(outages.admit(one(&a), &15, at(10)), Admission::Go);
        assert_eq!(outages.unused(&a, &15, at(11)), None, "nobody else waits");
        assert_eq!(outages.admit(one(&a), &3, at(11)), Admission::Go, "and no call was made");
    }

    #[test]
    fn each_place_is_out_of_order_by_itself() {
        let outages = Outages::default();
        let (admin, credentials) = (shop("a"), Place::Credentials("hash".into()));
        let both = [credentials.clone(), admin.clone()];
        outages.silent(&credentials, &1, at(0));
        assert_eq!(outages.admit(one(&admin), &2, at(1)), Admission::Go);
        let waits = |until| Admission::Wait { place: credentials.clone(), until: at(until) };
        assert_eq!(outages.admit(&both, &2, at(1)), waits(10));
        assert!(outages.answered(&admin, at(2)).is_empty(), "one's answer is none of the other");
        assert_eq!(outages.admit(&both, &2, at(10)), Admission::Go);
        outages.silent(&admin, &2, at(11));
        assert_eq!(outages.unused(&credentials, &2, at(11)), Some(1), "the turn that wasn't used is the next one's");
        // Each one's own failure is known.
        assert!(outages.fell_silent(&1) && outages.fell_silent(&2) && !outages.fell_silent(&3));
        outages.heard(&2);
        assert!(!outages.fell_silent(&2) && outages.waits(&2));
        assert_eq!(outages.answered(&credentials, at(12)), [1]);
        assert_eq!((outages.fell_silent(&1), outages.released(&1)), (false, Some(at(12))));
    }

    #[test]
    fn shopifys_own_wait_counts_for_all() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(0));
        outages.hold_off(&a, TimeDelta::seconds(120), at(0));
        outages.silent(&a, &2, at(5));
        assert!(outages.due(at(119)).is_empty());
        assert_eq!(outages.admit(one(&a), &3, at(124)), wait(125));
        assert_eq!(outages.admit(one(&a), &3, at(125)), Admission::Go);
        outages.silent(&a, &3, at(130));
        assert_eq!(outages.admit(one(&a), &3, at(131)), wait(140), "it asked for it once");
        outages.hold_off(&a, TimeDelta::hours(1), at(131));
        assert_eq!(outages.admit(one(&a), &3, at(132)), wait(731));
    }

    #[test]
    fn a_turn_that_cannot_be_used_passes_on() {
        let (outages, a, credentials) = (Outages::default(), shop("a"), Place::Credentials("hash".into()));
        for who in 1..=3 {
            outages.silent(&credentials, &who, at(0));
        }
        outages.silent(&a, &9, at(5));
        assert_eq!(outages.due(at(10)), [1]);
        assert_eq!(outages.admit(&[a.clone(), credentials.clone()], &1, at(10)), wait(15));
        assert_eq!(outages.keep_to(one(&a), &1, at(10)), [2], "1 waits for something else first");
        assert_eq!(outages.admit(one(&credentials), &2, at(10)), Admission::Go);
        assert_eq!(outages.answered(&credentials, at(10)), [3]);
        assert_eq!(outages.answered(&a, at(10)), [1, 9]);
    }

    #[test]
    fn what_says_nothing_of_the_credentials_is_followed_by_a_pause() {
        let (outages, place) = (Outages::default(), Place::Credentials("hash".into()));
        for who in 1..=3 {
            outages.silent(&place, &who, at(0));
        }
        assert_eq!(outages.due(at(10)), [1]);
        assert_eq!(outages.admit(one(&place), &1, at(10)), Admission::Go);
        outages.inconclusive(&place, &1, at(11));
        assert!(!outages.waits(&1), "its own back-off counts");
        assert!(outages.due(at(20)).is_empty());
        assert_eq!(outages.due(at(21)), [2]);
    }

    #[test]
    fn what_other_shops_accept_is_not_rejected_for_all() {
        let (outages, place) = (Outages::default(), Place::Credentials("hash".into()));
        let [a, b]: [Shop; 2] = ["a", "b"].map(|name| format!("{name}.myshopify.com").parse().unwrap());
        let goes = |who| outages.admit(one(&place), &who, at(1)) == Admission::Go;
        assert!(outages.accepted(&place, &a, at(0)).is_empty());
        outages.doubted(&place, &b, &1, at(0));
        assert!(goes(2), "it isn't installed on b");
        outages.doubted(&place, &a, &2, at(1));
        assert!(!goes(3), "nobody accepts it any more");
        assert_eq!(outages.accepted(&place, &b, at(2)), [2, 3]);
        outages.silent(&place, &1, at(2));
        assert!(!goes(2), "rejected for sure");
        assert_eq!(outages.answered(&place, at(3)), [1, 2]);
        outages.doubted(&place, &a, &1, at(3));
        assert!(!goes(2), "what was accepted before counts no more");
    }

    #[test]
    fn rejected_credentials_are_tried_at_growing_pauses() {
        let (outages, place) = (Outages::default(), Place::Credentials("hash".into()));
        let (mut now, mut pauses) = (0, Vec::new());
        for who in 1..=3 {
            outages.silent(&place, &who, at(0));
        }
        for _ in 0..9 {
            let Admission::Wait { until, .. } = outages.admit(one(&place), &9, at(now)) else { panic!("no pause") };
            pauses.push(until.timestamp() - now);
            now = until.timestamp();
            assert_eq!(outages.admit(one(&place), &9, at(now)), Admission::Go);
            outages.silent(&place, &9, at(now));
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(outages.answered(&place, at(now)).len(), 4);
    }

    #[test]
    fn a_clock_set_back_makes_nobody_wait_longer() {
        let (outages, a) = (Outages::default(), shop("a"));
        outages.silent(&a, &1, at(10_000));
        assert_eq!(outages.admit(one(&a), &2, at(1000)), wait(1010));
        assert_eq!(outages.admit(one(&a), &2, at(1010)), Admission::Go);
        assert_eq!(outages.admit(one(&a), &1, at(0)), wait(30));
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
                        let admission = outages.admit(one(&shops[usize::from(s)]), &who, at(now));
                        match (model.get_mut(&s), admission) {
                            (None, admission) => prop_assert_eq!(admission, Admission::Go),
                            (Some((last, waiting, asking)), Admission::Go) => {
                                prop_assert!(last.is_none_or(|last| now - last >= 10), "{:?} {}", last, now);
                                *last = Some(now);
                                waiting.remove(&who);
                                asking.insert(who);
                            }
                            (Some((_, waiting, _)), Admission::Wait { until, .. }) => {
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
                        drop(outages.forget(&who, at(now)));
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
