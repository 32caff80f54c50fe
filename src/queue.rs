//! What is to be looked at, and when: each thing once at a time, at the earliest of the times that were asked for. Of what is
//! due, that goes first for which something is held.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The events of one write arrive apart: one look is enough for all of them.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a thing waits at most whose events don't stop.
const LONGEST: Duration = Duration::from_millis(500);
/// When that is looked at again which was left without a word, as by a panic.
const LEFT: Duration = Duration::from_mins(5);
/// Later than anything that is asked for.
const NEVER: Duration = Duration::from_hours(24 * 365 * 30);

/// When a thing is looked at again, if nothing of it changes before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Again {
    /// Not by itself.
    OnChange,
    /// After this time.
    After(Duration),
}

/// Things to be looked at, which tasks share. Each is kept twice, so that what names one should be small.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    /// Something goes before all that was.
    sooner: Notify,
}

#[derive(Debug)]
struct State<K> {
    things: HashMap<K, Thing>,
    /// Those that have a time and aren't being looked at, in their order.
    due: BTreeMap<Due, K>,
    /// How many have come.
    came: u64,
}

/// What goes first is least.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Due {
    turn: Turn,
    at: Instant,
    /// Of two of the same time the one that came first goes first.
    number: u64,
}

/// Whether others wait for what is held for a thing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Turn {
    /// They do, and its time has come.
    Held,
    /// Its time counts.
    Timed,
}

#[derive(Debug, Default)]
struct Thing {
    /// Its time, and its number.
    time: Option<(Time, u64)>,
    under_way: bool,
}

/// When a thing is due.
#[derive(Clone, Copy, Debug)]
struct Time {
    turn: Turn,
    at: Instant,
    /// Until when further events put it off, if they do.
    put_off_until: Option<Instant>,
}

/// A thing that is being looked at, by nobody else meanwhile. What becomes of it then is told by [`Taken::done`].
#[derive(Debug)]
#[must_use = "it is looked at by nobody else until this is dropped"]
pub struct Taken<K: Clone + Eq + Hash> {
    queue: Arc<Queue<K>>,
    what: K,
    again: Again,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        let state = State { things: HashMap::new(), due: BTreeMap::new(), came: 0 };
        Self { state: Mutex::new(state), sooner: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of it has changed: it is looked at after a pause in which nothing else does, and soon in any case.
    pub fn changed(&self, what: K) {
        let now = Instant::now();
        let (paused, latest) = (now + PAUSE, now + LONGEST);
        self.ask(what, |before| match before {
            Some(Time { put_off_until: Some(until), .. }) => Time::put_off(paused, until),
            Some(before) if before.at <= paused => before,
            // A time of its own isn't put off.
            Some(before) => Time::put_off(paused, latest.min(before.at)),
            None => Time::put_off(paused, latest),
        });
    }

    /// It is looked at without a pause in which its other events might come: something is held for it meanwhile.
    pub fn at_once(&self, what: K) {
        let now = Instant::now();
        self.ask(what, |before| Time { turn: Turn::Held, ..Time::fixed(before.map_or(now, |it| it.at.min(now))) });
    }

    fn ask(&self, what: K, time: impl FnOnce(Option<Time>) -> Time) {
        let sooner = {
            let mut state = self.lock();
            let what = state.things.get_key_value(&what).map_or(what, |(what, _)| what.clone());
            state.set(what, time)
        };
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// What is due next, once it is. Whoever stops waiting has taken nothing.
    pub async fn next(self: &Arc<Self>) -> Taken<K> {
        loop {
            let sooner = self.sooner.notified();
            let taken = self.lock().take(Instant::now());
            match taken {
                Ok(what) => return Taken { queue: Arc::clone(self), what, again: Again::After(LEFT) },
                Err(None) => sooner.await,
                Err(Some(first)) => tokio::select! {
                    () = sooner => {}
                    () = sleep_until(first) => {}
                },
            }
        }
    }
}

impl Time {
    const fn fixed(at: Instant) -> Self {
        Self { turn: Turn::Timed, at, put_off_until: None }
    }

    /// At this time, or, if more events come, at that at the latest.
    fn put_off(at: Instant, until: Instant) -> Self {
        Self { turn: Turn::Timed, at: at.min(until), put_off_until: Some(until) }
    }

    const fn due(self, number: u64) -> Due {
        Due { turn: self.turn, at: self.at, number }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// Gives a thing its time. Says whether it goes before all others then.
    fn set(&mut self, what: K, time: impl FnOnce(Option<Time>) -> Time) -> bool {
        let thing = self.things.entry(what.clone()).or_default();
        let before = thing.time;
        let time = time(before.map(|(before, _)| before));
        if let Some((_, number)) = before.filter(|(before, _)| (before.turn, before.at) == (time.turn, time.at)) {
            thing.time = Some((time, number));
            return false;
        }
        self.came += 1;
        thing.time = Some((time, self.came));
        if thing.under_way {
            return false;
        }
        if let Some((before, number)) = before {
            self.due.remove(&before.due(number));
        }
        self.due.insert(time.due(self.came), what);
        self.due.first_key_value().is_some_and(|(first, _)| first.number == self.came)
    }

    /// The first that is due, or when it will be.
    fn take(&mut self, now: Instant) -> Result<K, Option<Instant>> {
        let Some(first) = self.due.first_entry() else { return Err(None) };
        if first.key().at > now {
            return Err(Some(first.key().at));
        }
        let what = first.remove();
        self.things.insert(what.clone(), Thing { under_way: true, ..Thing::default() });
        Ok(what)
    }
}

impl<K: Clone + Eq + Hash> Taken<K> {
    /// What is looked at.
    #[must_use]
    pub fn what(&self) -> &K {
        &self.what
    }

    /// It has been looked at.
    pub fn done(mut self, again: Again) {
        self.again = again;
    }
}

impl<K: Clone + Eq + Hash> Drop for Taken<K> {
    fn drop(&mut self) {
        let now = Instant::now();
        let again = match self.again {
            Again::OnChange => None,
            Again::After(pause) => Some(now.checked_add(pause).unwrap_or(now + NEVER)),
        };
        let sooner = {
            let mut state = self.queue.lock();
            let asked = state.things.remove(&self.what).and_then(|thing| thing.time);
            let time = match (asked.map(|(asked, _)| asked), again) {
                (None, None) => return,
                (None, Some(at)) => Time::fixed(at),
                (Some(asked), Some(at)) if at <= asked.at => Time { turn: asked.turn, ..Time::fixed(at) },
                (Some(asked), again) => {
                    let until = asked.put_off_until.map(|until| again.map_or(until, |at| until.min(at)));
                    Time { put_off_until: until, ..asked }
                }
            };
            state.set(self.what.clone(), |_| time)
        };
        if sooner {
            self.queue.sooner.notify_one();
        }
    }
}

#[cfg(test)]
impl<K: Clone + Eq + Hash> Queue<K> {
    /// How many there are that have a time, or are being looked at.
    fn len(&self) -> usize {
        self.lock().things.len()
    }

    /// Takes out all that has a time, whenever that is, in its order.
    pub(crate) fn empty(&self) -> Vec<K> {
        let mut state = self.lock();
        let all = std::mem::take(&mut state.due).into_values();
        all.filter_map(|what| state.things.remove(&what).map(|_| what)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures::FutureExt;
    use proptest::prelude::*;
    use tokio::time::{advance, sleep};

    use super::*;

    fn queue() -> Arc<Queue<&'static str>> {
        Arc::default()
    }

    /// What is due now.
    fn due(queue: &Arc<Queue<&'static str>>) -> Option<Taken<&'static str>> {
        queue.next().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn events_of_one_thing_are_one_look_and_no_number_of_them_makes_it_wait_longer() {
        let queue = queue();
        for _ in 0..3 {
            queue.changed("a");
            queue.changed("b");
        }
        assert!(due(&queue).is_none());
        advance(PAUSE).await;
        for expected in ["a", "b"] {
            let taken = due(&queue).unwrap();
            assert_eq!(*taken.what(), expected);
            taken.done(Again::OnChange);
        }
        assert_eq!(queue.len(), 0);
        let began = Instant::now();
        let feed = async {
            for _ in 0..100 {
                queue.changed("a");
                sleep(Duration::from_millis(10)).await;
            }
        };
        let looks = async {
            let mut times = Vec::new();
            for _ in 0..2 {
                queue.next().await.done(Again::OnChange);
                times.push(began.elapsed().as_millis());
            }
            times
        };
        let ((), times) = tokio::join!(feed, looks);
        assert!(matches!(times[..], [500..=520, 1_000..=1_030]), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_of_the_times_counts() {
        let queue = queue();
        queue.at_once("a");
        due(&queue).unwrap().done(Again::After(Duration::from_mins(1)));
        advance(Duration::from_secs(59)).await;
        assert!(due(&queue).is_none());
        advance(Duration::from_millis(980)).await;
        // Its own time comes before the end of the pause, and isn't put off.
        for _ in 0..5 {
            queue.changed("a");
        }
        advance(Duration::from_millis(20)).await;
        due(&queue).unwrap().done(Again::After(Duration::from_mins(1)));
        queue.changed("a");
        queue.at_once("a");
        due(&queue).unwrap().done(Again::After(Duration::MAX));
        assert_eq!(queue.len(), 1);
        advance(Duration::from_hours(24)).await;
        assert!(due(&queue).is_none());
        queue.changed("a");
        advance(PAUSE).await;
        due(&queue).unwrap().done(Again::OnChange);
        assert_eq!(queue.len(), 0, "one look is for all that was asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_looked_at_is_looked_at_by_nobody_else_and_again_if_it_changes() {
        let queue = queue();
        queue.at_once("a");
        let look = due(&queue).unwrap();
        queue.at_once("a");
        queue.at_once("b");
        due(&queue).unwrap().done(Again::OnChange);
        assert!(due(&queue).is_none(), "it is under way");
        look.done(Again::After(Duration::from_mins(1)));
        let look = due(&queue).expect("it has changed meanwhile");
        assert_eq!(*look.what(), "a");
        look.done(Again::OnChange);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_of_what_is_due_sooner_and_what_was_left_comes_again() {
        let queue = queue();
        queue.at_once("late");
        due(&queue).unwrap().done(Again::After(Duration::from_mins(2)));
        let began = Instant::now();
        let next = async { *queue.next().await.what() };
        let ask = async {
            sleep(Duration::from_mins(1)).await;
            queue.changed("soon");
        };
        assert_eq!(tokio::join!(next, ask).0, "soon");
        assert_eq!(began.elapsed(), Duration::from_mins(1) + PAUSE);
        // Nobody said what became of it.
        queue.next().await.done(Again::OnChange);
        assert_eq!(*queue.next().await.what(), "soon");
        assert_eq!(began.elapsed(), Duration::from_mins(1) + PAUSE + LEFT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_something_is_held_for_goes_first() {
        let queue = queue();
        for what in ["a", "b"] {
            queue.changed(what);
        }
        advance(LONGEST).await;
        queue.at_once("c");
        queue.at_once("b");
        let look = due(&queue).unwrap();
        assert_eq!(*look.what(), "b", "which was due before");
        queue.at_once("b");
        let mut then = Vec::new();
        while let Some(next) = due(&queue) {
            then.push(*next.what());
            next.done(Again::OnChange);
        }
        assert_eq!(then, ["c", "a"]);
        queue.changed("a");
        look.done(Again::After(Duration::ZERO));
        assert_eq!(*due(&queue).unwrap().what(), "b");
    }

    /// A timer's grain.
    const TICK: Duration = Duration::from_millis(2);

    /// Until when each has to be taken, and which are under way.
    #[derive(Default)]
    struct Promised {
        by: HashMap<u8, Instant>,
        under_way: HashSet<u8>,
    }

    impl Promised {
        fn promise(&mut self, what: u8, at: Instant) {
            self.by.entry(what).and_modify(|by| *by = at.min(*by)).or_insert(at);
        }

        fn begins(&mut self, what: u8) {
            assert!(self.under_way.insert(what), "twice at a time");
            let by = self.by.remove(&what).expect("somebody has asked for it");
            assert!(Instant::now() <= by + TICK, "late by {:?}", Instant::now() - by);
        }

        fn ends(&mut self, what: u8, again: Option<Duration>) {
            let now = Instant::now();
            self.under_way.remove(&what);
            // What was asked for meanwhile is due now at the earliest.
            self.by.entry(what).and_modify(|by| *by = now.max(*by));
            if let Some(pause) = again {
                self.promise(what, now + pause);
            }
        }
    }

    type Looks = Vec<(u64, Option<u64>)>;

    /// Looks at whatever is due, at all of it at a time: how long each takes, and when it is looked at again.
    async fn consume(queue: Arc<Queue<u8>>, promised: Arc<Mutex<Promised>>, looks: Looks) {
        for (takes, again) in looks.into_iter().cycle() {
            let look = queue.next().await;
            let (what, promised) = (*look.what(), Arc::clone(&promised));
            promised.lock().unwrap().begins(what);
            tokio::spawn(async move {
                sleep(Duration::from_millis(takes)).await;
                let again = again.map(Duration::from_millis);
                promised.lock().unwrap().ends(what, again);
                look.done(again.map_or(Again::OnChange, Again::After));
            });
        }
    }

    proptest! {
        /// Whatever is asked for and whenever, who waits takes what is due, nothing twice at a time, and nothing late.
        #[test]
        fn nothing_is_lost_and_nothing_is_looked_at_twice_at_a_time(
            steps in proptest::collection::vec((0_u8..3, 0_u8..4, 0_u64..700), 1..60),
            looks in proptest::collection::vec((0_u64..400, proptest::option::of(0_u64..900)), 1..20),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let (queue, promised) = (Arc::new(Queue::<u8>::default()), Arc::<Mutex<Promised>>::default());
                let consumer = tokio::spawn(consume(Arc::clone(&queue), Arc::clone(&promised), looks));
                for (step, what, millis) in steps {
                    let now = Instant::now();
                    match step {
                        0 => {
                            promised.lock().unwrap().promise(what, now + LONGEST);
                            queue.changed(what);
                        }
                        1 => {
                            promised.lock().unwrap().promise(what, now);
                            queue.at_once(what);
                        }
                        _ => sleep(Duration::from_millis(millis)).await,
                    }
                }
                sleep(Duration::from_secs(5)).await;
                let now = Instant::now();
                {
                    let Promised { by, under_way } = &*promised.lock().unwrap();
                    assert!(by.iter().all(|(what, by)| *by + TICK >= now || under_way.contains(what)), "lost");
                }
                consumer.abort();
                let ended = consumer.await;
                assert!(ended.as_ref().is_err_and(tokio::task::JoinError::is_cancelled), "{ended:?}");
            });
        }
    }
}
