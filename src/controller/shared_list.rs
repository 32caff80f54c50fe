//! Live reads and lists that are shared: whoever needs what is there from now on waits for the next one, which begins after
//! that moment, and so do all the others that come while one is under way.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Mutex as Turn;

use super::error::again;

/// Lists of something, by what is listed.
pub struct SharedLists<T>(Mutex<HashMap<String, Arc<Shared<T>>>>);

struct Shared<T> {
    /// How many have asked so far.
    asked: AtomicU64,
    /// What the last one brought, and how many had asked when it began: it is theirs.
    last: Turn<Option<(u64, Brought<T>)>>,
}

/// A list, or why there is none.
type Brought<T> = Result<Arc<T>, kube::Error>;

/// The share of one who asks.
struct Share<'a, T> {
    lists: &'a SharedLists<T>,
    what: &'a str,
    shared: Arc<Shared<T>>,
}

impl<T> Drop for Share<'_, T> {
    fn drop(&mut self) {
        let mut all = self.lists.lock();
        // Beside this one there is the map's: a list is kept no longer than for those that wait for it.
        if Arc::strong_count(&self.shared) == 2 {
            all.remove(self.what);
        }
    }
}

impl<T> Default for SharedLists<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> SharedLists<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Shared<T>>>> {
        // A panic elsewhere leaves a whole map: every change of it is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list that has begun after this was called: made now, or by another one that waits for the same.
    ///
    /// # Errors
    /// Those of `make`, for all that waited for it.
    pub async fn get(
        &self,
        what: &str,
        make: impl AsyncFnOnce() -> Result<T, kube::Error>,
    ) -> Result<Arc<T>, kube::Error> {
        let new = || Shared { asked: AtomicU64::new(0), last: Turn::new(None) };
        let shared = Arc::clone(self.lock().entry(what.to_owned()).or_insert_with(|| Arc::new(new())));
        let share = Share { lists: self, what, shared };
        let mine = share.shared.asked.fetch_add(1, Ordering::SeqCst);
        let mut last = share.shared.last.lock().await;
        if let Some((asked, brought)) = &*last
            && mine < *asked
        {
            return brought.as_ref().map(Arc::clone).map_err(again);
        }
        let asked = share.shared.asked.load(Ordering::SeqCst);
        let brought = make().await.map(Arc::new);
        let mine = brought.as_ref().map(Arc::clone).map_err(again);
        *last = Some((asked, brought));
        mine
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;

    fn cut() -> kube::Error {
        kube::Error::Service("cut".into())
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_come_during_a_list_share_the_next_one() {
        let (lists, made) = (SharedLists::default(), AtomicU64::new(0));
        let get = || {
            lists.get("shop", async || {
                let number = made.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(number)
            })
        };
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            join_all((0..100).map(|_| get())).await
        };
        let (first, late) = tokio::join!(get(), late);
        assert_eq!(*first.unwrap(), 0);
        // What was listed before they asked may be of before what they ask for.
        assert!(late.into_iter().all(|list| *list.unwrap() == 1));
        assert_eq!(*get().await.unwrap(), 2);
        drop(lists.get("other", async || Ok(9)).await);
        assert!(lists.lock().is_empty(), "nothing is kept for nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_that_of_all_that_waited_for_it() {
        let (lists, made) = (SharedLists::<u8>::default(), AtomicU64::new(0));
        let get = || {
            lists.get("shop", async || {
                made.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err(cut())
            })
        };
        let got = join_all((0..100).map(|_| get())).await;
        assert!(got.into_iter().all(|list| list.is_err()));
        assert!(made.load(Ordering::SeqCst) <= 2, "{made:?}");
    }

    #[tokio::test]
    async fn a_list_that_failed_is_made_by_the_next() {
        let lists: SharedLists<u8> = SharedLists::default();
        assert!(lists.get("shop", async || Err(cut())).await.is_err());
        assert_eq!(*lists.get("shop", async || Ok(1)).await.unwrap(), 1);
    }
}
