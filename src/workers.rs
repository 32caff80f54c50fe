//! How many things are worked at at a time. Who finds no worker begins nothing, and is woken when there is one, the most urgent first.
//! Who only waits for somebody else's answer gives its worker back meanwhile: a shop that hangs holds none.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use crate::slots::{Key, Slot, Slots};

tokio::task_local! {
    static WORKER: Box<dyn Lends>;
}

/// All of them are in one place.
type Places<K, U> = Slots<(), K, U>;

/// Leave to work, while there is one.
type Place<K, U> = Slot<(), K, U>;

/// The workers there are, for work of `K`; `U` says how urgent it is, the smallest first.
#[derive(Clone, Debug)]
pub struct Workers<K, U> {
    places: Places<K, U>,
    ended: CancellationToken,
}

/// The worker of a piece of work.
#[must_use = "the worker is given back when this is dropped"]
pub struct Worker<K: Key, U: Ord + Clone> {
    places: Places<K, U>,
    /// Not while it is lent.
    here: Mutex<Option<Place<K, U>>>,
}

impl<K: Key, U: Ord + Clone> Workers<K, U> {
    /// So many, one at least, who begin nothing any more from the moment on that `ended` is cancelled; what is under way goes on.
    /// `wake` is called for who waits when there is one for it.
    #[must_use]
    pub fn until(ended: CancellationToken, count: usize, wake: impl Fn(K) + Send + Sync + 'static) -> Self {
        Self { places: Slots::new(count.max(1), wake), ended }
    }

    /// A worker, if one is free: else `who` is woken when there is one for it, unless nothing begins any more.
    #[must_use]
    pub fn begin(&self, who: &K, urgency: U) -> Option<Worker<K, U>> {
        if self.are_closed() {
            return None;
        }
        let slot = self.places.take(&(), who, urgency)?;
        Some(Worker { places: self.places.clone(), here: Mutex::new(Some(slot)) })
    }

    /// Whether nothing begins any more: neither does who has only waited since it began.
    #[must_use]
    pub fn are_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether more than half of them are at work.
    #[must_use]
    pub fn are_busy(&self) -> bool {
        !self.are_closed() && self.places.is_busy(&())
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

impl<K: Key + Send + Sync + 'static, U: Ord + Clone + Send + Sync + 'static> Worker<K, U> {
    /// Does a piece of work.
    pub async fn work<F: Future>(self, work: F) -> F::Output {
        WORKER.scope(Box::new(self), work).await
    }
}

impl<K: Key, U: Ord + Clone> Worker<K, U> {
    fn put(&self, slot: Option<Place<K, U>>) -> Option<Place<K, U>> {
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

impl<K: Key + Send + Sync, U: Ord + Clone + Send + Sync> Lends for Worker<K, U> {
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
    use std::{sync::Arc, time::Duration};

    use futures::{FutureExt, future::join_all};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// So many, and who was woken.
    fn workers(count: usize) -> (Workers<u32, u8>, Arc<Mutex<Vec<u32>>>) {
        let woken = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&woken);
        (Workers::until(CancellationToken::new(), count, move |who| told.lock().unwrap().push(who)), woken)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_others_holds_no_worker_and_who_works_does() {
        let ((workers, woken), began) = (workers(2), Instant::now());
        let mut waits = Vec::new();
        for who in 0..40 {
            let worker = workers.begin(&who, 1).expect("none of those before holds one");
            let mut work = Box::pin(worker.work(waiting(sleep(Duration::from_mins(1)))));
            assert!(work.as_mut().now_or_never().is_none());
            waits.push(work);
        }
        assert!(!workers.are_busy());
        let works = [100, 101].map(|who| workers.begin(&who, 1).unwrap());
        assert!(workers.are_busy());
        assert!(workers.begin(&102, 1).is_none() && workers.begin(&103, 1).is_none());
        let [first, second] = works.map(|worker| worker.work(sleep(Duration::from_secs(1))));
        first.await;
        assert_eq!(*woken.lock().unwrap(), [102]);
        second.await;
        assert_eq!(*woken.lock().unwrap(), [102, 103]);
        join_all(waits).await;
        assert_eq!(began.elapsed(), Duration::from_mins(1));
        workers.forget(&102);
        workers.forget(&103);
        assert!(workers.begin(&104, 1).is_some() && workers.begin(&105, 1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_with_an_answer_waits_for_nobody() {
        let ((workers, woken), began) = (workers(1), Instant::now());
        let comes_back = workers.begin(&0, 1).unwrap().work(async {
            waiting(sleep(Duration::from_secs(1))).await;
            let back = began.elapsed();
            sleep(Duration::from_secs(30)).await;
            back
        });
        let works = async {
            tokio::task::yield_now().await;
            let worker = workers.begin(&1, 1).unwrap();
            assert!(workers.begin(&2, 1).is_none());
            worker.work(sleep(Duration::from_secs(20))).await;
            assert!(woken.lock().unwrap().is_empty(), "who begins waits for the one that came back");
        };
        let (back, ()) = tokio::join!(comes_back, works);
        assert_eq!(back, Duration::from_secs(1), "what it brings is lost if it takes longer than a reconcile may");
        assert_eq!(*woken.lock().unwrap(), [2]);
    }

    #[tokio::test]
    async fn the_most_urgent_goes_first() {
        let (workers, woken) = workers(1);
        let busy = workers.begin(&0, 1);
        for (who, urgency) in [(1, 1), (2, 1), (3, 0), (1, 0)] {
            assert!(workers.begin(&who, urgency).is_none());
        }
        drop(busy);
        for next in [1, 3, 2] {
            assert_eq!(woken.lock().unwrap().last(), Some(&next));
            assert!(workers.begin(&next, 1).is_some());
        }
    }

    #[tokio::test]
    async fn nothing_begins_after_the_end_and_what_is_under_way_goes_on() {
        let (workers, woken) = workers(1);
        let under_way = workers.begin(&0, 1).unwrap();
        assert!(workers.begin(&1, 1).is_none());
        workers.ended.cancel();
        under_way.work(waiting(async {})).await;
        assert_eq!(*woken.lock().unwrap(), [1]);
        assert!(workers.begin(&1, 1).is_none());
    }

    #[tokio::test]
    async fn a_wait_without_a_worker_is_just_a_wait() {
        assert_eq!(waiting(async { 7 }).await, 7);
    }
}
