//! How many things are worked at at a time. Who finds no worker begins nothing, and is woken when there is one. Who only
//! waits for somebody else's answer gives its worker back meanwhile: a shop that hangs holds none.

use std::{
    cmp::Reverse,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use crate::slots::{Key, Slot, Slots};

tokio::task_local! {
    static WORKER: Box<dyn Lends>;
}

/// All of them are in one place, and those for whom something is held go first.
type Places<K> = Slots<(), K, Reverse<bool>>;

/// Leave to work, while there is one.
type Place<K> = Slot<(), K, Reverse<bool>>;

/// The workers there are, for work of `K`.
#[derive(Clone, Debug)]
pub struct Workers<K> {
    places: Places<K>,
    closed: Arc<AtomicBool>,
}

/// The worker of a piece of work.
#[must_use = "the worker is given back when this is dropped"]
pub struct Worker<K: Key> {
    places: Places<K>,
    /// Not while it is lent.
    here: Mutex<Option<Place<K>>>,
}

impl<K: Key> Workers<K> {
    /// So many, one at least. `wake` is called for who waits when there is one for it.
    #[must_use]
    pub fn new(count: usize, wake: impl Fn(K) + Send + Sync + 'static) -> Self {
        Self { places: Slots::new(count.max(1), wake), closed: Arc::default() }
    }

    /// A worker, if one is free: else `who` is woken when there is one for it, unless nothing begins any more. With `held`
    /// something is held for it that others wait for: it goes before those without.
    #[must_use]
    pub fn begin(&self, who: &K, held: bool) -> Option<Worker<K>> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let slot = self.places.take(&(), who, Reverse(held))?;
        Some(Worker { places: self.places.clone(), here: Mutex::new(Some(slot)) })
    }

    /// Whether somebody waits for one that there will be.
    #[must_use]
    pub fn are_short(&self) -> bool {
        !self.closed.load(Ordering::Acquire) && self.places.is_short(&())
    }

    /// Begins nothing any more; what is under way goes on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Passes on what is held for those who were woken and didn't come.
    pub fn expire(&self, now: Instant) {
        self.places.expire(now);
    }

    /// `who` doesn't exist any more.
    pub fn forget(&self, who: &K) {
        self.places.leave(&(), who, Instant::now());
    }
}

impl<K: Key + Send + Sync + 'static> Worker<K> {
    /// Does a piece of work.
    pub async fn work<F: Future>(self, work: F) -> F::Output {
        WORKER.scope(Box::new(self), work).await
    }
}

impl<K: Key> Worker<K> {
    fn put(&self, slot: Option<Place<K>>) -> Option<Place<K>> {
        std::mem::replace(&mut self.here.lock().unwrap_or_else(PoisonError::into_inner), slot)
    }
}

/// A worker of whatever work.
trait Lends: Send + Sync {
    /// Lets others have it. Says whether it was there.
    fn lend(&self) -> bool;
    /// Takes it back.
    fn take_back(&self);
}

impl<K: Key + Send + Sync> Lends for Worker<K> {
    fn lend(&self) -> bool {
        self.put(None).is_some()
    }

    fn take_back(&self) {
        drop(self.put(Some(self.places.resume(&()))));
    }
}

/// Waits for something that others do. The worker of this piece of work is free for others as long as that takes. Who comes
/// back waits for nobody, for what it brings may be lost by then: as many more are at work until one of them has ended.
pub async fn waiting<F: Future>(wait: F) -> F::Output {
    let lent = WORKER.try_with(|worker| worker.lend()).unwrap_or_default();
    let output = wait.await;
    if lent {
        // It was there before the wait, and is so still.
        WORKER.try_with(|worker| worker.take_back()).ok();
    }
    output
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{FutureExt, future::join_all};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// So many, and who was woken.
    fn workers(count: usize) -> (Workers<u32>, Arc<Mutex<Vec<u32>>>) {
        let woken = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&woken);
        (Workers::new(count, move |who| told.lock().unwrap().push(who)), woken)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_others_holds_no_worker_and_who_works_does() {
        let ((workers, woken), began) = (workers(2), Instant::now());
        let mut waits = Vec::new();
        for who in 0..40 {
            let worker = workers.begin(&who, false).expect("none of those before holds one");
            let mut work = Box::pin(worker.work(waiting(sleep(Duration::from_mins(1)))));
            assert!(work.as_mut().now_or_never().is_none());
            waits.push(work);
        }
        let works = [100, 101].map(|who| workers.begin(&who, false).unwrap());
        assert!(workers.begin(&102, false).is_none() && workers.begin(&103, false).is_none());
        let [first, second] = works.map(|worker| worker.work(sleep(Duration::from_secs(1))));
        first.await;
        assert_eq!(*woken.lock().unwrap(), [102]);
        second.await;
        assert_eq!(*woken.lock().unwrap(), [102, 103]);
        join_all(waits).await;
        assert_eq!(began.elapsed(), Duration::from_mins(1));
        workers.forget(&102);
        workers.forget(&103);
        assert!(workers.begin(&104, false).is_some() && workers.begin(&105, false).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_with_an_answer_waits_for_nobody() {
        let ((workers, woken), began) = (workers(1), Instant::now());
        let comes_back = workers.begin(&0, false).unwrap().work(async {
            waiting(sleep(Duration::from_secs(1))).await;
            let back = began.elapsed();
            sleep(Duration::from_secs(30)).await;
            back
        });
        let works = async {
            tokio::task::yield_now().await;
            let worker = workers.begin(&1, false).unwrap();
            assert!(workers.begin(&2, false).is_none());
            worker.work(sleep(Duration::from_secs(20))).await;
            assert!(woken.lock().unwrap().is_empty(), "who begins waits for the one that came back");
        };
        let (back, ()) = tokio::join!(comes_back, works);
        assert_eq!(back, Duration::from_secs(1), "what it brings is lost if it takes longer than a reconcile may");
        assert_eq!(*woken.lock().unwrap(), [2]);
    }

    #[tokio::test]
    async fn whom_others_wait_for_goes_first() {
        let (workers, woken) = workers(1);
        let busy = workers.begin(&0, false);
        for (who, held) in [(1, false), (2, false), (3, true), (1, true)] {
            assert!(workers.begin(&who, held).is_none());
        }
        drop(busy);
        for next in [1, 3, 2] {
            assert_eq!(woken.lock().unwrap().last(), Some(&next));
            assert!(workers.begin(&next, false).is_some());
        }
    }

    #[tokio::test]
    async fn nothing_begins_after_the_end_and_what_is_under_way_goes_on() {
        let (workers, woken) = workers(1);
        let under_way = workers.begin(&0, false).unwrap();
        assert!(workers.begin(&1, false).is_none());
        workers.close();
        under_way.work(waiting(async {})).await;
        assert_eq!(*woken.lock().unwrap(), [1]);
        assert!(workers.begin(&1, false).is_none());
    }

    #[tokio::test]
    async fn a_wait_without_a_worker_is_just_a_wait() {
        assert_eq!(waiting(async { 7 }).await, 7);
    }
}
