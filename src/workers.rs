//! How many things are worked at at a time. Who only waits for somebody else's answer gives its worker back meanwhile: a
//! shop that hangs holds none.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    static WORKER: Worker;
}

/// The worker of a piece of work, while it has one.
struct Worker {
    free: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Worker {
    fn put(&self, permit: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
        std::mem::replace(&mut self.permit.lock().unwrap_or_else(PoisonError::into_inner), permit)
    }
}

/// The workers there are.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Semaphore>);

impl Workers {
    /// So many, one at least.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.max(1))))
    }

    /// Does a piece of work once there is a worker for it.
    pub async fn work<F: Future>(&self, work: F) -> F::Output {
        // Nobody closes the semaphore: there is a permit in the end.
        let permit = Arc::clone(&self.0).acquire_owned().await.ok();
        let worker = Worker { free: Arc::clone(&self.0), permit: Mutex::new(permit) };
        WORKER.scope(worker, work).await
    }
}

/// Waits for something that others do. The worker of this piece of work is free for others as long as that takes.
pub async fn waiting<F: Future>(wait: F) -> F::Output {
    let lent = WORKER.try_with(|worker| worker.put(None).map(|_free| Arc::clone(&worker.free))).ok().flatten();
    let output = wait.await;
    if let Some(free) = lent {
        let permit = free.acquire_owned().await.ok();
        // It was there before the wait, and is so still.
        drop(WORKER.try_with(|worker| worker.put(permit)));
    }
    output
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_others_holds_no_worker_and_who_works_does() {
        let (workers, began) = (Workers::new(2), Instant::now());
        let work = || workers.work(async { sleep(Duration::from_secs(1)).await });
        let wait = || workers.work(waiting(sleep(Duration::from_mins(1))));
        let waits = join_all((0..40).map(|_| wait()));
        let works = async {
            tokio::task::yield_now().await;
            join_all((0..4).map(|_| work())).await;
            began.elapsed()
        };
        let (_, worked) = tokio::join!(waits, works);
        assert_eq!(worked, Duration::from_secs(2), "four, by two");
        assert_eq!(began.elapsed(), Duration::from_mins(1));
        assert_eq!(workers.0.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_wait_without_a_worker_is_just_a_wait() {
        assert_eq!(waiting(async { 7 }).await, 7);
    }
}
