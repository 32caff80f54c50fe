//! Live lists that are shared: whoever needs what is there from now on waits for the next list, which begins after that
//! moment, and so do all the others that come while one is under way.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Mutex as Turn;

/// Lists of something, by what is listed.
pub struct SharedLists<T>(Mutex<HashMap<String, Arc<Shared<T>>>>);

struct Shared<T> {
    /// How many have asked so far.
    asked: AtomicU64,
    /// The last list, and how many had asked when it began: it is theirs.
    last: Turn<Option<(u64, Arc<T>)>>,
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
    /// Those of `make`.
    pub async fn get<E>(&self, what: &str, make: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let shared = {
            let mut all = self.lock();
            // Whoever waits has a share of one: a list is kept no longer than for those.
            all.retain(|_, shared| Arc::strong_count(shared) > 1);
            let new = || Shared { asked: AtomicU64::new(0), last: Turn::new(None) };
            Arc::clone(all.entry(what.to_owned()).or_insert_with(|| Arc::new(new())))
        };
        let mine = shared.asked.fetch_add(1, Ordering::SeqCst);
        let mut newest = shared.last.lock().await;
        if let Some((asked, list)) = &*newest
            && mine < *asked
        {
            return Ok(Arc::clone(list));
        }
        let asked = shared.asked.load(Ordering::SeqCst);
        let list = Arc::new(make().await?);
        *newest = Some((asked, Arc::clone(&list)));
        drop(newest);
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_come_during_a_list_share_the_next_one() {
        let (lists, made) = (SharedLists::default(), AtomicU64::new(0));
        let get = || {
            lists.get("shop", async || {
                let number = made.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, Infallible>(number)
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
        drop(lists.get("other", async || Ok::<_, Infallible>(9)).await);
        assert_eq!(lists.lock().len(), 1, "nothing is kept for nobody");
    }

    #[tokio::test]
    async fn a_list_that_failed_is_made_by_the_next() {
        let lists: SharedLists<u8> = SharedLists::default();
        assert!(lists.get("shop", async || Err("cut")).await.is_err());
        assert_eq!(lists.get("shop", async || Ok::<_, &str>(1)).await.map(|list| *list), Ok(1));
    }
}
