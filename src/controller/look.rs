//! Looks at the objects of a kind as each is due: one look at each at a time, and so many at all of them.

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    context::Context,
    error::Error,
    key::ObjectKey,
    watch::{Objects, relations::Stored, store::Store},
};
use crate::{
    core::renewal,
    kubernetes::Lenient,
    queue::{Again, Taken},
};

/// What is done for the objects of a kind.
pub(super) struct Work<K, F> {
    pub(super) reconcile: fn(Arc<Lenient<K>>, Arc<Context>) -> F,
    /// How many at a time, in one namespace or in all.
    pub(super) under_way: usize,
    /// Called for one that was to be reconciled, and isn't there.
    pub(super) on_missing: fn(&Context, &ObjectKey),
}

impl<K, F> Clone for Work<K, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, F> Copy for Work<K, F> {}

/// Looks at what is due, once it was listed, until `shutdown` is cancelled and the reconciles under way have ended.
pub(super) async fn look<K, F>(
    context: &Arc<Context>,
    objects: &Objects,
    store: Store<K>,
    work: Work<K, F>,
    shutdown: &CancellationToken,
) where
    K: Stored + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Again, Error>> + Send + 'static,
{
    // What was never listed has nothing under way, and would wait for its list for ever.
    if shutdown.run_until_cancelled(store.listed()).await.is_none() {
        return;
    }
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // A panic is in the log, and its object comes again.
            Some(_) = under_way.join_next() => {}
            due = objects.next(), if under_way.len() < work.under_way => {
                under_way.spawn(once(Arc::clone(context), store.clone(), due, work));
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Reconciles an object, and says when to do that again.
async fn once<K, F>(context: Arc<Context>, store: Store<K>, due: Taken<ObjectKey>, work: Work<K, F>)
where
    K: Stored + Clone + Debug,
    F: Future<Output = Result<Again, Error>>,
{
    let key = due.what();
    let Some(object) = store.get(key) else {
        context.errors.remove(&key.reference::<K>().to_string());
        (work.on_missing)(&context, key);
        return due.done(Again::OnChange);
    };
    let reconciled = AssertUnwindSafe((work.reconcile)(Arc::clone(&object), Arc::clone(&context))).catch_unwind();
    // Of what is guarded none gets here.
    let reconciled = reconciled.await.unwrap_or(Err(Error::Panicked));
    let again = reconciled.unwrap_or_else(|error| {
        log::<K>(key, &error);
        retry(&context, &object, &error)
    });
    due.done(again);
}

fn retry<K: Resource<DynamicType = ()>>(context: &Context, object: &Lenient<K>, error: &Error) -> Again {
    let uid = object.uid().unwrap_or_default();
    let count = context.errors.change(ObjectRef::from_obj(object).to_string(), |count| {
        *count = count.saturating_add(1);
        *count
    });
    error.retry_after(count, renewal::share(&uid)).map_or(Again::OnChange, Again::After)
}

fn log<K: Resource<DynamicType = ()>>(key: &ObjectKey, error: &Error) {
    let (namespace, name) = key.parts();
    if error.is_conflict() {
        tracing::debug!(kind = %K::kind(&()), namespace, name, %error, "another's write came first");
    } else {
        tracing::warn!(kind = %K::kind(&()), namespace, name, %error, "reconcile ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use kube::runtime::watcher::Event;
    use serde_json::json;
    use tokio::{
        task::JoinHandle,
        time::{Instant, sleep, timeout},
    };

    use super::*;
    use crate::{
        api::{ShopifyToken, SourceKind},
        controller::{
            context::nowhere,
            watch::{Stores, Wakes},
        },
        core::scene::healthy,
    };

    /// A look takes this long.
    const LOOK: Duration = Duration::from_secs(1);

    /// What happened: reconciles that began and ended, and what wasn't there.
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    /// Tests that look at it, one at a time.
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    static PANICS: AtomicBool = AtomicBool::new(false);

    fn see(what: String) {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn seen() -> Vec<String> {
        std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn reconcile(token: Arc<Lenient<ShopifyToken>>, _: Arc<Context>) -> Result<Again, Error> {
        see(format!("begin {}", token.name_any()));
        assert!(!PANICS.swap(false, Ordering::SeqCst), "nobody guards this");
        sleep(LOOK).await;
        see(format!("end {}", token.name_any()));
        Ok(Again::OnChange)
    }

    struct Looks {
        objects: Objects,
        store: Store<ShopifyToken>,
        context: Arc<Context>,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
    }

    /// Two looks at a time; nothing is listed yet.
    fn looks() -> Looks {
        drop(seen());
        let store = Store::default();
        let (mut wakes, shutdown) = (Wakes::default(), CancellationToken::new());
        let objects = wakes.route(None).tokens;
        let context = Context::of_parts(nowhere(), Stores::default(), wakes);
        let task = {
            let (context, objects, shutdown) = (Arc::clone(&context), Arc::clone(&objects), shutdown.clone());
            let store = store.clone();
            let on_missing = |_: &Context, token: &ObjectKey| see(format!("missing {}", token.name()));
            let work = Work { reconcile, under_way: 2, on_missing };
            tokio::spawn(async move { look(&context, &objects, store, work, &shutdown).await })
        };
        Looks { objects, store, context, shutdown, task }
    }

    impl Looks {
        fn list(&mut self, names: &[&str]) {
            self.store.note(&Event::Init);
            for name in names {
                let mut token = healthy(SourceKind::ClientCredentials, json!({})).token;
                token.metadata.name = Some((*name).to_owned());
                self.store.note(&Event::InitApply(Arc::new(Lenient(Ok(token)))));
            }
            self.store.note(&Event::InitDone);
        }

        fn wake(&self, name: &str) {
            self.objects.at_once(ObjectKey::new("shop", name));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_a_time_once_they_are_listed_and_what_is_under_way_ends() {
        let _one = ONE.lock().await;
        let mut looks = looks();
        for name in ["a", "b", "c", "gone"] {
            looks.wake(name);
        }
        sleep(LOOK).await;
        assert!(seen().is_empty(), "nothing is known of them yet");
        looks.list(&["a", "b", "c"]);
        sleep(LOOK / 2).await;
        assert_eq!(seen(), ["begin a", "begin b"]);
        sleep(LOOK).await;
        let mut next = seen();
        next.sort_unstable();
        assert_eq!(next, ["begin c", "end a", "end b", "missing gone"]);
        looks.wake("a");
        looks.shutdown.cancel();
        looks.task.await.unwrap();
        assert_eq!(seen(), ["end c"], "nothing begins any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_listed_ends_all_the_same() {
        let _one = ONE.lock().await;
        let looks = looks();
        looks.wake("a");
        looks.shutdown.cancel();
        timeout(LOOK, looks.task).await.unwrap().unwrap();
        assert!(seen().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_that_nobody_guards_against_is_looked_at_again_after_a_while() {
        let _one = ONE.lock().await;
        let mut looks = looks();
        looks.list(&["a"]);
        PANICS.store(true, Ordering::SeqCst);
        let began = Instant::now();
        looks.wake("a");
        sleep(LOOK).await;
        assert_eq!(seen(), ["begin a"]);
        assert_eq!(looks.context.errors.keys().len(), 1);
        while seen().is_empty() {
            sleep(LOOK).await;
        }
        assert!(began.elapsed() >= Duration::from_mins(5), "{:?}", began.elapsed());
        looks.shutdown.cancel();
        looks.task.await.unwrap();
    }
}
